//! Temporary folders: one for each process below `tmp/`, locked while it lives, swept by the next when it is dead.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::lock::{self, Lock};
use crate::{Error, Result, Store, remove_tree};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A folder that is removed with everything in it when it is dropped.
#[derive(Debug)]
pub struct ScratchDir {
    path: PathBuf,
}

impl ScratchDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // What cannot be removed now is swept when the store is opened next.
        let _ = remove_tree(&self.path);
    }
}

impl Store {
    /// A new, empty, private folder on the file system of the store.
    pub fn scratch_dir(&self) -> Result<ScratchDir> {
        let path = self.temporary("dir");
        fs::create_dir(&path).map_err(Error::io("make", &path))?;
        Ok(ScratchDir { path })
    }

    /// A name below our own temporary folder that nobody else uses.
    pub(crate) fn temporary(&self, kind: &str) -> PathBuf {
        self.own.join(format!("{kind}{}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }
}

/// The lock file of a process's folder: beside it, so that sweeping removes both.
pub(crate) fn lock_path(own: &Path) -> PathBuf {
    own.with_extension("lock")
}

/// Makes and locks a folder for this process.
pub(crate) fn claim(root: &Path) -> Result<(PathBuf, Lock)> {
    loop {
        let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let own = root.join("tmp").join(name);
        let path = lock_path(&own);
        let Some(lock) = lock::try_exclusive(&path)? else { continue };
        let lock = lock.passing();
        match fs::create_dir(&own) {
            Ok(()) => return Ok((own, lock)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                remove_tree(&own).map_err(Error::io("remove", &own))?;
                fs::create_dir(&own).map_err(Error::io("make", &own))?;
                return Ok((own, lock));
            }
            Err(error) => return Err(Error::io("make", &own)(error)),
        }
    }
}

/// Removes the folders of dead processes, and snapshots that they never finished.
pub(crate) fn sweep(store: &Store) -> Result<()> {
    let tmp = store.root().join("tmp");
    let entries = fs::read_dir(&tmp).map_err(Error::io("read", &tmp))?;
    let mut somebody_died = false;
    for entry in entries.flatten() {
        // A folder without its lock is what a process left that could not remove it any more.
        let folder = entry.path().with_extension("");
        if folder == store.own {
            continue;
        }
        // Locked: its process lives.
        if let Ok(Some(lock)) = lock::try_exclusive(&lock_path(&folder)) {
            // What may not be removed by us keeps its lock file, for a process that may.
            if remove_tree(&folder).is_ok() {
                drop(lock.passing());
            }
            somebody_died = true;
        }
    }
    if somebody_died {
        sweep_step_locks(&store.root().join("locks/steps"));
    }
    Ok(())
}

/// Removes the locks of steps that nobody carries out: whoever was killed left his, and if the step was done already
/// nobody would ever take it again.
fn sweep_step_locks(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if let Ok(Some(lock)) = lock::try_exclusive(&entry.path()) {
            drop(lock.passing());
        }
    }
}
