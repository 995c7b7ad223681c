//! What has to be done at all: from the target back to the first thing that the cache can answer.
//!
//! Pure. A step whose result is in the cache asks for nothing; one that has to run asks for its input and for what it
//! reads. So a rebuild in which the last step hits never looks at the build stage, and never unpacks its base.

use std::collections::{BTreeMap, BTreeSet};

use jettison_plan::{Action, Fs, ImageId, MountKind, Plan, Source, StepId};

use crate::schedule::Graph;

/// A piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// Unpack an image.
    Unpack(ImageId),
    /// Fetch the layers of an image, without unpacking.
    Fetch(ImageId),
    /// Carry out a step.
    Step(StepId),
    /// Encode the layer that a step made.
    Encode(StepId),
}

/// The work in an order in which each piece stands after what it needs, and the graph over it.
#[derive(Debug)]
pub(crate) struct Demand {
    pub(crate) work: Vec<Work>,
    pub(crate) graph: Graph,
}

/// The file systems that `step` reads besides its input.
pub(crate) fn sources(plan: &Plan, step: StepId) -> Vec<Fs> {
    let mut sources = Vec::new();
    match &plan.steps[step].action {
        Action::Copy(copy) => {
            if let Source::Fs(fs) = copy.from {
                sources.push(fs);
            }
        }
        Action::Run(run) => {
            for mount in &run.mounts {
                match &mount.kind {
                    MountKind::Bind { from: Source::Fs(fs), .. }
                    | MountKind::Cache { from: Some(fs), .. } => {
                        sources.push(*fs);
                    }
                    _ => {}
                }
            }
        }
        Action::Workdir(_) => {}
    }
    sources
}

/// The steps from the base to `fs`, in order, and what they stand on.
pub(crate) fn chain(plan: &Plan, mut fs: Fs) -> (Fs, Vec<StepId>) {
    let mut steps = Vec::new();
    while let Fs::Step(step) = fs {
        steps.push(step);
        fs = plan.steps[step].input;
    }
    steps.reverse();
    (fs, steps)
}

/// Works out the demand. `has_result` says which steps the cache answers; `lend_base` whether the result needs the
/// blobs of its base image, `encode` whether it needs layers at all (a folder of files does not).
pub(crate) fn demand(plan: &Plan, has_result: &[bool], lend_base: bool, encode: bool) -> Demand {
    let mut work: BTreeMap<Work, BTreeSet<Work>> = BTreeMap::new();
    let (base, steps) = chain(plan, plan.target().result);
    let mut pending = vec![plan.target().result];
    while let Some(fs) = pending.pop() {
        match fs {
            Fs::Scratch => {}
            Fs::Image(image) => {
                work.entry(Work::Unpack(image)).or_default();
            }
            Fs::Step(step) if has_result[step] || work.contains_key(&Work::Step(step)) => {}
            Fs::Step(step) => {
                let mut needs = sources(plan, step);
                needs.push(plan.steps[step].input);
                work.insert(
                    Work::Step(step),
                    needs.iter().filter_map(|fs| work_of(*fs, has_result)).collect(),
                );
                pending.extend(needs);
            }
        }
    }
    // An image as the whole result, without a step, has no files to be made.
    if steps.is_empty() && encode {
        work.clear();
    }
    if encode {
        for step in steps.iter().filter(|step| !has_result[**step]) {
            if work.contains_key(&Work::Step(*step)) {
                work.insert(Work::Encode(*step), BTreeSet::from([Work::Step(*step)]));
            }
        }
    }
    if let (Fs::Image(image), true) = (base, lend_base)
        && !work.contains_key(&Work::Unpack(image))
    {
        work.insert(Work::Fetch(image), BTreeSet::new());
    }
    let order: Vec<Work> = work.keys().copied().collect();
    let position = |w: &Work| order.binary_search(w).expect("every need is demanded itself");
    let needs = order.iter().map(|w| work[w].iter().map(position).collect()).collect();
    Demand { graph: Graph { needs }, work: order }
}

fn work_of(fs: Fs, has_result: &[bool]) -> Option<Work> {
    match fs {
        Fs::Scratch => None,
        Fs::Image(image) => Some(Work::Unpack(image)),
        Fs::Step(step) if has_result[step] => None,
        Fs::Step(step) => Some(Work::Step(step)),
    }
}
