//! What a failed RUN left, for a look at it: its files on top of its input, and the world of its process.
//!
//! Kept as a result of the cache, so that `prune` takes it when nobody has looked at it for a while. Secrets are not in
//! it: they never were in the files or in the environment that the Dockerfile makes.

use jettison_plan::Run;
use jettison_store::{Draft, SnapshotId, StepResult, Store};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The world of a process that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// What was executed.
    pub argv: Vec<String>,
    /// Its environment.
    pub env: Vec<String>,
    /// Its working directory.
    pub cwd: String,
    /// USER as written.
    pub user: String,
}

/// The files that were kept under `name`, and the world of the process; `None` if they are gone.
///
/// # Errors
/// The store cannot be read.
pub fn kept(store: &Store, name: &str) -> Result<Option<(SnapshotId, World)>, Error> {
    let Some(result) = store.result(&key(name))? else { return Ok(None) };
    let Some(info) = store.snapshot(&result.snapshot)? else { return Ok(None) };
    let world = store.memo(&key(name))?.and_then(|text| serde_json::from_str(&text).ok());
    Ok(world.map(|world| (info.id, world)))
}

/// Keeps what a step has written so far; returns its name.
pub(crate) fn keep(store: &Store, draft: Draft, run: &Run, step: &str) -> Result<String, Error> {
    let snapshot = draft.commit()?;
    let name = snapshot.to_string();
    let world =
        World { argv: run.argv.clone(), env: run.env.clone(), cwd: run.cwd.clone(), user: run.user.clone() };
    let text = serde_json::to_string(&world).expect("texts can always be written");
    store.record_result(&key(&name), &StepResult { snapshot }, &format!("what failed: {step}"))?;
    store.record_memo(&key(&name), &text)?;
    Ok(name)
}

fn key(name: &str) -> String {
    format!("failed {name}")
}
