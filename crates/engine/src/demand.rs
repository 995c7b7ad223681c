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

/// How much of a step's result there is, or is asked for; more includes less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Held {
    Nothing,
    /// Its place in the cache: neither files nor a layer of the wanted form.
    Name,
    /// Its layer in the form that this build writes, and no files.
    Layer,
    /// Its files. The layer can be made of them.
    Files,
}

/// The work in an order in which each piece stands after what it needs, and the graph over it.
#[derive(Debug)]
pub(crate) struct Demand {
    pub(crate) work: Vec<Work>,
    pub(crate) graph: Graph,
    /// What is asked of each step.
    pub(crate) asked: Vec<Held>,
}

/// What the outputs ask for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// Layers, and the blobs of the base image.
    pub(crate) image: bool,
    /// The files of the result: for an output, or to look into them.
    pub(crate) files: bool,
    /// One layer for all steps, so that those of single steps are of no use.
    pub(crate) squash: bool,
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

/// Works out the demand; `held` is what the cache has of each step.
pub(crate) fn demand(plan: &Plan, held: &[Held], wanted: Wanted) -> Demand {
    let mut work: BTreeMap<Work, BTreeSet<Work>> = BTreeMap::new();
    let (base, steps) = chain(plan, plan.target().result);
    let mut asked = vec![Held::Nothing; plan.steps.len()];
    let of_result = if wanted.image && !wanted.files { Held::Layer } else { Held::Files };
    let mut pending = vec![(plan.target().result, of_result)];
    while let Some((fs, ask)) = pending.pop() {
        match fs {
            Fs::Scratch => {}
            Fs::Image(image) => {
                work.entry(Work::Unpack(image)).or_default();
            }
            Fs::Step(step) => {
                asked[step] = asked[step].max(ask);
                if held[step] < ask && !work.contains_key(&Work::Step(step)) {
                    let mut needs = sources(plan, step);
                    needs.push(plan.steps[step].input);
                    work.insert(Work::Step(step), BTreeSet::new());
                    // Whatever a step reads it reads as files.
                    pending.extend(needs.iter().map(|fs| (*fs, Held::Files)));
                }
            }
        }
    }
    for (work, needs) in &mut work {
        if let Work::Step(step) = work {
            let read = sources(plan, *step).into_iter().chain([plan.steps[*step].input]);
            *needs = read.filter_map(|fs| work_of(fs, held)).collect();
        }
    }
    // An image as the whole result, without a step, has no files to be made.
    if steps.is_empty() && wanted.image {
        work.clear();
    }
    if wanted.image && !wanted.squash {
        for step in &steps {
            if work.contains_key(&Work::Step(*step)) {
                work.insert(Work::Encode(*step), BTreeSet::from([Work::Step(*step)]));
            }
        }
    }
    if let (Fs::Image(image), true) = (base, wanted.image)
        && !work.contains_key(&Work::Unpack(image))
    {
        work.insert(Work::Fetch(image), BTreeSet::new());
    }
    let order: Vec<Work> = work.keys().copied().collect();
    let position = |w: &Work| order.binary_search(w).expect("every need is demanded itself");
    let needs = order.iter().map(|w| work[w].iter().map(position).collect()).collect();
    Demand { graph: Graph { needs }, work: order, asked }
}

/// The work that makes the files of `fs`, if there are none.
fn work_of(fs: Fs, held: &[Held]) -> Option<Work> {
    match fs {
        Fs::Scratch => None,
        Fs::Image(image) => Some(Work::Unpack(image)),
        Fs::Step(step) if held[step] == Held::Files => None,
        Fs::Step(step) => Some(Work::Step(step)),
    }
}
