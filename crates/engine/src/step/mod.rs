//! Carrying out one step, one file per kind: run, copy, workdir.
//!
//! Around each of them the same frame: compute the key (what the step reads is there now), take the step's lock so
//! that equal steps of other processes run once, look into the cache again, do it into a draft, commit, remember.

mod copy;
mod output_tail;
mod run;
mod run_mounts;
mod ssh_agent;
mod workdir;

use std::sync::PoisonError;

use jettison_plan::{Action, StepId};
use jettison_store::{SnapshotId, StepResult};

use crate::build::Build;
use crate::error::Error;
use crate::keys::Progress;
use crate::tasks::Done;

impl Build<'_> {
    /// Makes sure that the result of `step` exists.
    pub(crate) fn step(&self, step: StepId) -> Result<Done, Error> {
        if self.images.cancel.is_raised() {
            return Err(Error::Canceled);
        }
        let key = self.step_key(step)?.expect("everything that the step reads was made before it");
        let _guard = self.images.store.lock_step(&key.to_string())?;
        if let Some(snapshot) = self.look_up(step, &key)? {
            self.set_progress(step, Progress { key: Some(key), snapshot: Some(snapshot) });
            return Ok(Done::Cached);
        }
        let input =
            self.fs_snapshot(self.plan.steps[step].input)?.expect("the input was made before the step");
        let snapshot = self.perform(step, input.as_ref())?;
        let result = StepResult { snapshot: snapshot.clone() };
        self.images.store.record_result(&key.to_string(), &result, &self.plan.steps[step].name)?;
        self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(key, snapshot.clone());
        self.set_progress(step, Progress { key: Some(key), snapshot: Some(snapshot) });
        Ok(Done::Ran)
    }

    fn perform(&self, step: StepId, input: Option<&SnapshotId>) -> Result<SnapshotId, Error> {
        match &self.plan.steps[step].action {
            Action::Run(run) => self.perform_run(step, run, input),
            Action::Copy(copy) => self.perform_copy(step, copy, input),
            Action::Workdir(workdir) => self.perform_workdir(step, workdir, input),
        }
    }
}
