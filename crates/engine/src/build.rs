//! A build from request to outcome: the story, in order. Each chapter has its own file.
//!
//! read and plan (`prepare.rs`) → check (`checks.rs`) → look up every step in the cache (`keys.rs`) → work out what is left to do
//! (`demand.rs`) → do it side by side (`schedule.rs`, `step/`, `pull.rs`) → layers, config, manifest (`finish.rs`,
//! `assemble.rs`) → outputs (`output/`, `push.rs`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jettison_dockerfile::{Dockerfile, Stage};
use jettison_layer::{Error as LayerError, copy};
use jettison_oci::Platform;
use jettison_oci::time::DEFAULT_EPOCH_SECONDS;
use jettison_plan::key::Key;
use jettison_plan::{self as plan, Action, Plan, StepId};
use jettison_registry::Client;
use jettison_store::{SnapshotId, Store};

use crate::cancel::Cancel;
use crate::checks;
use crate::context::Contexts;
use crate::demand::{self, Wanted, Work};
use crate::error::Error;
use crate::event::{Event, Fate, Sink, TaskId};
use crate::finish::{self, Finished};
use crate::images::{Image, Images};
use crate::keys::{Chosen, Progress};
use crate::prepare::{self, Prepared};
use crate::remote::Remotes;
use crate::request::{BuildOutcome, BuildRequest, Output};
use crate::schedule;
use crate::tasks::{Done, Tasks};
use crate::why::{self, Listing};

/// What the platforms of a build have in common.
#[derive(Debug)]
struct Shared<'a> {
    tasks: Tasks<'a>,
    contexts: Contexts,
    remotes: Remotes<'a>,
    made: Made,
}

/// Results that this very build has made, by key: a step that two platforms share runs once, `--no-cache` or not.
pub(crate) type Made = Mutex<BTreeMap<Key, SnapshotId>>;

/// One platform of a build under way: what was asked, what was planned, how far each step is.
#[derive(Debug)]
pub(crate) struct Build<'a> {
    pub(crate) request: &'a BuildRequest,
    pub(crate) images: Images<'a>,
    pub(crate) tasks: &'a Tasks<'a>,
    pub(crate) plan: Plan,
    /// The images of the plan, at the same positions.
    pub(crate) bases: Vec<Image>,
    pub(crate) contexts: &'a Contexts,
    pub(crate) remotes: &'a Remotes<'a>,
    pub(crate) made: &'a Made,
    /// Times of what the build makes, seconds since 1970.
    pub(crate) epoch: i64,
    /// The task of its first step; those of the others follow.
    first_task: TaskId,
    /// Most work at the same time.
    at_once_max: usize,
    progress: Vec<Mutex<Progress>>,
    /// What became of the steps that were asked for.
    pub(crate) fates: Mutex<BTreeMap<StepId, Fate>>,
    /// What was selected of contexts.
    pub(crate) listings: Mutex<BTreeMap<String, Arc<Listing>>>,
    /// What steps copy from contexts, from their keys on.
    pub(crate) chosen: Mutex<BTreeMap<StepId, Chosen>>,
    /// What the layer has in it that was made without a snapshot. Only the last step of a result can do that.
    pub(crate) written: Mutex<Option<(SnapshotId, Arc<copy::Listing>)>>,
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
    let images = Images { store, registry, cancel, policy: request.source_policy.as_deref() };
    let options = options_of_platforms(request);
    let mut prepared = Vec::new();
    for (position, options) in options.iter().enumerate() {
        // What is wrong with the file is said once.
        let sink: &dyn Sink = if position == 0 { sink } else { &|_| () };
        prepared.push(prepare::prepare(request, options, images, sink)?);
    }
    let shared = Shared {
        tasks: Tasks::new(sink),
        contexts: Contexts::open(request)?,
        remotes: Remotes::new(images, &request.secrets, &request.agents),
        made: Mutex::default(),
    };
    tell_of_unknown_stages(request, &prepared[0].file, sink);
    let (first, ignore) = (&prepared[0], shared.contexts.ignore_patterns());
    let linter = checks::of_build(&first.file, &options[0], &first.configs, ignore, sink)?;
    let result = carry_out(request, images, &shared, prepared);
    checks::tell(linter, sink);
    result
}

/// Says which names of `--no-cache-filter` are no stages: a misspelled one would take the old result in silence.
fn tell_of_unknown_stages(request: &BuildRequest, file: &Dockerfile, sink: &dyn Sink) {
    let named = |index: usize, stage: &Stage| {
        stage.from.name.as_ref().map_or_else(|| format!("stage-{index}"), |name| name.value.clone())
    };
    let names: Vec<String> = file.stages.iter().enumerate().map(|(i, stage)| named(i, stage)).collect();
    for wanted in &request.plan.no_cache_filter {
        if !names.iter().any(|name| name.eq_ignore_ascii_case(wanted)) {
            sink.emit(Event::Notice(format!("--no-cache-filter: there is no stage {wanted:?}")));
        }
    }
}

/// What the planner is told for each platform.
pub(crate) fn options_of_platforms(request: &BuildRequest) -> Vec<plan::Options> {
    if request.platforms.is_empty() {
        return vec![request.plan.clone()];
    }
    let of = |platform: &Platform| plan::Options { platform: Some(platform.clone()), ..request.plan.clone() };
    request.platforms.iter().map(of).collect()
}

fn carry_out(
    request: &BuildRequest,
    images: Images<'_>,
    shared: &Shared<'_>,
    prepared: Vec<Prepared>,
) -> Result<BuildOutcome, Error> {
    let mut names = Vec::new();
    let mut builds = Vec::new();
    let count = prepared.len();
    for Prepared { plan, bases, .. } in prepared {
        let first_task = names.len();
        let platform = if count > 1 { format!("{} ", plan.platform) } else { String::new() };
        // `[linux/arm64 build 2/4] RUN …`
        names.extend(plan.steps.iter().map(|step| step.name.replacen('[', &format!("[{platform}"), 1)));
        builds.push(Build {
            request,
            images,
            tasks: &shared.tasks,
            progress: plan.steps.iter().map(|_| Mutex::default()).collect(),
            chosen: Mutex::default(),
            written: Mutex::default(),
            contexts: &shared.contexts,
            remotes: &shared.remotes,
            made: &shared.made,
            epoch: request.epoch_seconds.unwrap_or(DEFAULT_EPOCH_SECONDS),
            plan,
            bases,
            first_task,
            at_once_max: (request.steps_max / count).max(1),
            fates: Mutex::default(),
            listings: Mutex::default(),
        });
    }
    for build in &builds {
        build.refuse_what_is_missing()?;
    }
    shared.tasks.plan(names);
    for build in &builds {
        shared.remotes.resolve_all(&build.plan, &shared.tasks)?;
    }
    let results = side_by_side(&builds, images.cancel);
    why::tell(&builds);
    let results = results?;
    finish::outputs(&builds, results)
}

/// Builds all platforms, each in a thread of its own; the first real error counts.
fn side_by_side(builds: &[Build<'_>], cancel: &Cancel) -> Result<Vec<Finished>, Error> {
    if let [only] = builds {
        return Ok(vec![only.run()?]);
    }
    let results: Vec<Result<Finished, Error>> = std::thread::scope(|scope| {
        let work = |build: &Build<'_>| build.run().inspect_err(|_| cancel.raise());
        let start = |build| {
            let started = std::thread::Builder::new().spawn_scoped(scope, move || work(build));
            started.map_err(Error::io("start", "a thread")).inspect_err(|_| cancel.raise())
        };
        let running: Vec<_> = builds.iter().map(start).collect();
        let join = |running: std::thread::ScopedJoinHandle<'_, _>| {
            running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        running.into_iter().map(|running| running.and_then(join)).collect()
    });
    let mut finished = Vec::new();
    let mut canceled = None;
    for result in results {
        match result {
            Ok(result) => finished.push(result),
            Err(Error::Canceled) => canceled = Some(Error::Canceled),
            Err(error) => return Err(error),
        }
    }
    canceled.map_or(Ok(finished), Err)
}

impl Build<'_> {
    fn run(&self) -> Result<Finished, Error> {
        self.look_up_all()?;
        self.carry_out()?;
        self.result()
    }

    /// The row of a step in the progress view.
    pub(crate) fn task(&self, step: StepId) -> TaskId {
        self.first_task + step
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

    /// Whether the image will be judged by its files.
    fn looks_into_files(&self) -> bool {
        let inspector = self.request.inspector.as_ref().filter(|_| self.wants_image());
        inspector.is_some_and(|inspector| inspector.looks_into_files(&self.plan.target().config))
    }

    /// Does everything that the cache did not answer.
    fn carry_out(&self) -> Result<(), Error> {
        // One layer for all steps is made of their files.
        let squash = self.request.squash && self.wants_image() && !self.target_chain().1.is_empty();
        let files = squash || self.wants_files() || self.looks_into_files();
        let wanted = Wanted { image: self.wants_image(), files, squash };
        let mut demand = demand::demand(&self.plan, &self.held(), wanted);
        if self.wants_files() {
            self.demand_base_files(&mut demand);
        }
        for step in 0..self.plan.steps.len() {
            if !demand.work.contains(&Work::Step(step)) {
                self.tasks.cached(self.task(step));
            }
        }
        schedule::run(&demand.graph, self.at_once_max, self.images.cancel, |index| match demand.work[index] {
            Work::Unpack(image) => self.unpack_base(image),
            Work::Fetch(image) => self.fetch_base(image),
            Work::Step(step) => self.tasks.run(self.task(step), || {
                let done = self
                    .step(step, demand.asked[step])
                    .map_err(|error| self.with_place(step, error))
                    .inspect_err(|_| self.note_fate(step, Fate::Failed))?;
                self.note_fate(step, if done == Done::Ran { Fate::Ran } else { Fate::Cached });
                self.tasks.count(done);
                Ok(((), done))
            }),
            Work::Encode(step) => {
                let known = self.progress(step).result.expect("the step before has run");
                let encoded = self.encoded(&known.snapshot, self.request.threads);
                encoded.map(drop).map_err(|error| self.with_place(step, error))
            }
        })
    }

    /// Says of an error in the layer of a step where that stands, if the step is at fault.
    fn with_place(&self, step: StepId, error: Error) -> Error {
        match error {
            Error::Layer { source: source @ LayerError::Marker { .. }, .. } => Error::Step {
                message: source.to_string(),
                span: self.plan.steps[step].span,
                hint: Some(
                    "rename it, or leave it out; only what stays in a build stage may have it".to_owned(),
                ),
            },
            other => other,
        }
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
        if self.images.is_fetched(base)? {
            return Ok(());
        }
        let task = self.tasks.add(format!("pull {}", base.reference.familiar()));
        self.tasks.run(task, || {
            let span = self.plan.images[image].span;
            self.images
                .fetch(base, &self.tasks.progress(task))
                .map_err(|error| error.for_image(&base.reference, span))?;
            Ok(((), Done::Ran))
        })
    }

    /// Refuses what the plan asks for and no step can do yet, before anything runs.
    fn refuse_what_is_missing(&self) -> Result<(), Error> {
        for step in &self.plan.steps {
            let Action::Run(run) = &step.action else { continue };
            let allow = self.request.allow;
            let host = run.network == plan::Network::Host && self.request.plan.network != plan::Network::Host;
            let missing = match run.security {
                plan::Security::Insecure if !allow.insecure => Some("security.insecure"),
                _ if host && !allow.host_network => Some("network.host"),
                _ => None,
            };
            if let Some(missing) = missing {
                return Err(Error::Step {
                    message: format!("{missing} is not allowed"),
                    span: step.span,
                    hint: Some(format!("allow it with --allow {missing}, if you trust this Dockerfile")),
                });
            }
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
