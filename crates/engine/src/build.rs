//! A build from request to outcome: the story, in order. Each chapter has its own file.
//!
//! read and plan (`prepare.rs`) → check (`checks.rs`) → look up every step in the cache (`keys.rs`) → work out what is left to do
//! (`demand.rs`) → do it side by side (`schedule.rs`, `step/`, `pull.rs`) → layers, config, manifest (`finish.rs`,
//! `assemble.rs`) → outputs (`output/`, `push.rs`).

use std::sync::{Mutex, PoisonError};

use jettison_oci::time::DEFAULT_EPOCH_SECONDS;
use jettison_plan::{Action, Plan, StepId};
use jettison_registry::Client;
use jettison_store::Store;

use crate::cancel::Cancel;
use crate::checks;
use crate::context::Contexts;
use crate::demand::{self, Work};
use crate::error::Error;
use crate::event::Sink;
use crate::images::{Image, Images};
use crate::keys::Progress;
use crate::prepare;
use crate::remote::Remotes;
use crate::request::{BuildOutcome, BuildRequest, Output};
use crate::schedule;
use crate::tasks::{Done, Tasks};

/// A build under way: what was asked, what was planned, how far each step is.
#[derive(Debug)]
pub(crate) struct Build<'a> {
    pub(crate) request: &'a BuildRequest,
    pub(crate) images: Images<'a>,
    pub(crate) tasks: Tasks<'a>,
    pub(crate) plan: Plan,
    /// The images of the plan, at the same positions.
    pub(crate) bases: Vec<Image>,
    pub(crate) contexts: Contexts,
    pub(crate) remotes: Remotes<'a>,
    /// Times of what the build makes, seconds since 1970.
    pub(crate) epoch: i64,
    progress: Vec<Mutex<Progress>>,
}

/// Builds `request` with the state in `store`.
///
/// # Errors
///
/// Whatever went wrong first. Nothing is tagged, pushed or written to an output then, and the store is as usable as
/// before; results of steps that ended well stay in the cache.
pub fn build(
    request: &BuildRequest,
    store: &Store,
    registry: &Client,
    sink: &dyn Sink,
    cancel: &Cancel,
) -> Result<BuildOutcome, Error> {
    let _in_use = store.use_shared()?;
    let images = Images { store, registry, cancel };
    let prepared = prepare::prepare(request, images, sink)?;
    let contexts = Contexts::open(request)?;
    let ignore = contexts.ignore_patterns();
    let linter = checks::of_build(&prepared.file, &request.plan, &prepared.configs, ignore, sink)?;
    let build = Build {
        request,
        images,
        tasks: Tasks::new(sink),
        progress: prepared.plan.steps.iter().map(|_| Mutex::default()).collect(),
        contexts,
        remotes: Remotes::new(images, &request.secrets, &request.agents),
        epoch: request.epoch_seconds.unwrap_or(DEFAULT_EPOCH_SECONDS),
        plan: prepared.plan,
        bases: prepared.bases,
    };
    let result = build.run();
    checks::tell(linter, sink);
    result
}

impl Build<'_> {
    fn run(&self) -> Result<BuildOutcome, Error> {
        self.refuse_what_is_missing()?;
        self.tasks.plan(self.plan.steps.iter().map(|step| step.name.clone()).collect());
        self.remotes.resolve_all(&self.plan, &self.tasks)?;
        self.look_up_all()?;
        self.carry_out()?;
        self.finish()
    }

    pub(crate) fn progress(&self, step: StepId) -> Progress {
        self.progress[step].lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_progress(&self, step: StepId, progress: Progress) {
        *self.progress[step].lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    /// Whether any output wants an image (and not only its files).
    pub(crate) fn wants_image(&self) -> bool {
        let outputs = &self.request.outputs;
        outputs.is_empty()
            || outputs.iter().any(|o| matches!(o, Output::Image { .. } | Output::Archive { .. }))
    }

    /// Whether any output wants the files of the result (and not only its layers).
    pub(crate) fn wants_files(&self) -> bool {
        self.request.outputs.iter().any(|o| matches!(o, Output::Tar { .. } | Output::Local { .. }))
    }

    /// Does everything that the cache did not answer.
    fn carry_out(&self) -> Result<(), Error> {
        let has_result = self.has_result();
        let mut demand = demand::demand(&self.plan, &has_result, self.wants_image(), self.wants_image());
        if self.wants_files() {
            self.demand_base_files(&mut demand);
        }
        for step in 0..self.plan.steps.len() {
            if !demand.work.contains(&Work::Step(step)) {
                self.tasks.cached(step);
            }
        }
        schedule::run(&demand.graph, self.request.steps_max, self.images.cancel, |index| {
            match demand.work[index] {
                Work::Unpack(image) => self.unpack_base(image),
                Work::Fetch(image) => self.fetch_base(image),
                Work::Step(step) => self.tasks.run(step, || {
                    let done = self.step(step)?;
                    self.tasks.count(done);
                    Ok(((), done))
                }),
                Work::Encode(step) => {
                    let snapshot = self.progress(step).snapshot.expect("the step before has run");
                    self.encoded(&snapshot, self.request.threads).map(drop)
                }
            }
        })
    }

    /// A result that is an image as it is still has to be unpacked when its files are wanted.
    fn demand_base_files(&self, demand: &mut demand::Demand) {
        if let (jettison_plan::Fs::Image(image), steps) = self.target_chain()
            && steps.is_empty()
            && !demand.work.contains(&Work::Unpack(image))
        {
            demand.work.push(Work::Unpack(image));
            demand.graph.needs.push(std::collections::BTreeSet::new());
        }
    }

    fn unpack_base(&self, image: usize) -> Result<(), Error> {
        let base = &self.bases[image];
        let task = self.tasks.add(format!("unpack {}", base.reference.familiar()));
        self.tasks.run(task, || {
            let span = self.plan.images[image].span;
            let there =
                base.chain_ids().last().map(|top| self.images.store.layer_snapshot(top)).transpose()?;
            if there.flatten().is_some() {
                return Ok(((), Done::Cached));
            }
            self.images
                .unpack(base, &self.tasks.progress(task))
                .map_err(|error| error.for_image(&base.reference, span))?;
            Ok(((), Done::Ran))
        })?;
        if self.wants_image() {
            self.fetch_base(image)?;
        }
        Ok(())
    }

    fn fetch_base(&self, image: usize) -> Result<(), Error> {
        let base = &self.bases[image];
        for layer in &base.manifest.layers {
            if self.images.store.has_blob(&layer.digest)?.is_none() {
                let task = self.tasks.add(format!("pull {}", base.reference.familiar()));
                return self.tasks.run(task, || {
                    let span = self.plan.images[image].span;
                    self.images
                        .fetch(base, &self.tasks.progress(task))
                        .map_err(|error| error.for_image(&base.reference, span))?;
                    Ok(((), Done::Ran))
                });
            }
        }
        Ok(())
    }

    /// Refuses what the plan asks for and no step can do yet, before anything runs.
    fn refuse_what_is_missing(&self) -> Result<(), Error> {
        for step in &self.plan.steps {
            let Action::Run(run) = &step.action else { continue };
            for mount in &run.mounts {
                match &mount.kind {
                    jettison_plan::MountKind::Ssh { id, required: true, .. }
                        if !self.request.agents.contains_key(id) =>
                    {
                        return Err(Error::Step {
                            message: format!("unset ssh forward key {id}"),
                            span: mount.span,
                            hint: Some(format!("give an agent with --ssh {id}")),
                        });
                    }
                    jettison_plan::MountKind::Secret { id, required: true, .. }
                        if !self.request.secrets.contains_key(id) =>
                    {
                        return Err(Error::Step {
                            message: format!("secret {id}: not found"),
                            span: mount.span,
                            hint: Some(format!("give it with --secret id={id},src=FILE")),
                        });
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
