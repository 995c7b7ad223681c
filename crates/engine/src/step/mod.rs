//! Carrying out one step, one file per kind: run, copy, workdir.
//!
//! Around each of them the same frame: compute the key (what the step reads is there now), take the step's lock so
//! that equal steps of other processes run once, look into the cache again, do it into a draft, commit, remember.

mod copy;
mod copy_layer;
mod output_tail;
mod run;
mod run_mounts;
mod ssh_agent;
mod workdir;

use std::sync::PoisonError;

use jettison_plan::key::Key;
use jettison_plan::{Action, Copy, StepId};
use jettison_store::{SnapshotId, StepResult};

use crate::build::Build;
use crate::demand::Held;
use crate::error::Error;
use crate::keys::{Known, Progress};
use crate::tasks::Done;

/// Files that were copied from a context.
struct FromContext {
    /// What was selected.
    copy: Copy,
    /// The stamp of the selection that was copied.
    stamp: u64,
}

impl Build<'_> {
    /// Makes sure that as much as `ask` of the result of `step` exists.
    pub(crate) fn step(&self, step: StepId, ask: Held) -> Result<Done, Error> {
        if let Some(done) = self.attempt(step, ask)? {
            return Ok(done);
        }
        // The context changed between its first look and now, maybe while long steps ran: what it is now counts.
        self.chosen().remove(&step);
        let changed = Error::ContextChanged { span: self.plan.steps[step].span };
        self.attempt(step, ask)?.ok_or(changed)
    }

    /// One try; `None` if what the key was made from is not any more what it was, so that nothing may have that key.
    fn attempt(&self, step: StepId, ask: Held) -> Result<Option<Done>, Error> {
        if self.images.cancel.is_raised() {
            return Err(Error::Canceled);
        }
        let key = self.step_key(step)?.expect("everything that the step reads was made before it");
        let _guard = self.images.store.lock_step(&key.to_string(), &self.images.cancel.flag())?;
        let known = self.look_up(step, &key)?;
        if let Some(known) = known.clone().filter(|known| known.held >= ask) {
            self.chosen().remove(&step);
            self.set_progress(step, Progress { key: Some(key), result: Some(known) });
            return Ok(Some(Done::Cached));
        }
        let input =
            self.fs_snapshot(self.plan.steps[step].input)?.expect("the input was made before the step");
        let target = Target { input: input.as_ref(), ask, again: known.map(|known| known.snapshot) };
        let known = self.perform(step, &key, &target).map_err(|error| self.in_trigger(step, error))?;
        let Some(known) = known else { return Ok(None) };
        let result = StepResult { snapshot: known.snapshot.clone() };
        self.images.store.record_result(&key.to_string(), &result, &self.plan.steps[step].name)?;
        self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(key, known.snapshot.clone());
        self.set_progress(step, Progress { key: Some(key), result: Some(known) });
        Ok(Some(Done::Ran))
    }

    /// An error of an ONBUILD trigger says which one: it stands in no line of this file.
    pub(crate) fn in_trigger(&self, step: StepId, error: Error) -> Error {
        match (error, self.plan.steps[step].name.split_once("] ONBUILD ")) {
            (Error::Step { message, span, hint }, Some((_, trigger))) => {
                let message = format!("ONBUILD trigger {trigger:?} of the base: {message}");
                Error::Step { message, span, hint }
            }
            (error, _) => error,
        }
    }

    fn perform(&self, step: StepId, key: &Key, target: &Target<'_>) -> Result<Option<Known>, Error> {
        let snapshot = match &self.plan.steps[step].action {
            Action::Copy(copy) => return self.perform_copy(step, copy, target),
            Action::Run(run) => match self.perform_run(step, key, run, target.input)? {
                Some(snapshot) => snapshot,
                None => return Ok(None),
            },
            Action::Workdir(workdir) => self.perform_workdir(step, workdir, target.input)?,
        };
        Ok(Some(Known { snapshot, held: Held::Files }))
    }

    /// Whether files that were copied from contexts are as they were when they were selected: nobody wrote to them, be it
    /// only for a moment.
    fn are_unchanged(&self, copied: &[FromContext]) -> Result<bool, Error> {
        for FromContext { copy, stamp } in copied {
            let context = self.contexts.get(&copy.from).ok_or_else(|| Self::no_context(copy))?;
            // What is gone now has changed as well.
            if !self.select(copy, &context.root, &context.ignore).is_ok_and(|now| now.stamp == *stamp) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What a step is to leave.
struct Target<'a> {
    /// The snapshot that it stands on.
    input: Option<&'a SnapshotId>,
    /// Its files, or its layer at least.
    ask: Held,
    /// The snapshot that has its name already, but not what is asked for.
    again: Option<SnapshotId>,
}
