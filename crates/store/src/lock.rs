//! Locks between processes: flock on files below `locks/`. The kernel frees them with their process, however it ends.
//!
//! Order, so that nobody waits in a circle: use lock → step locks → caches by name → the database.
//!
//! What another build may hold for as long as it runs (steps, caches, downloads) is waited for only as long as our own
//! build goes on: one that has failed ends at once, and does not wait for a lock to say so.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jettison_oci::Digest;
use rustix::fs::FlockOperation;

use crate::{Error, Result, Store};

/// Pauses between two tries to get a lock that somebody holds: from the first, doubled up to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// A held lock; dropping it frees it.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
    /// Whether its last holder removes the file.
    passing: bool,
}

/// Held while one step is carried out.
#[derive(Debug)]
pub struct StepGuard {
    _lock: Lock,
}

/// Held by every command that reads blobs and snapshots; garbage collection waits for it.
#[derive(Debug)]
pub struct UseGuard {
    _lock: Lock,
}

impl Lock {
    /// Has the last holder remove the file, so that locks of steps, downloads and processes do not pile up. It is
    /// safe because whoever gets a lock looks whether its file still has its name ([`is_at`]), else begins again.
    pub(crate) fn passing(mut self) -> Self {
        self.passing = true;
        self
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let alone = || rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if self.passing && alone() && is_at(&self.file, &self.path) {
            // A file that stays behind is only a file.
            let _ = std::fs::remove_file(&self.path);
        }
        // Said explicitly: a child that is just being started may still hold a copy of the descriptor.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

fn open(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(Error::io("open the lock", path))
}

/// Whether the open file is the one that `path` names.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (rustix::fs::fstat(file), rustix::fs::lstat(path)) else { return false };
    (open.st_dev, open.st_ino) == (named.st_dev, named.st_ino)
}

/// Takes the lock at `path`; `None` if that would mean to wait and `operation` does not.
fn acquire(path: &Path, operation: FlockOperation) -> Result<Option<Lock>> {
    loop {
        let file = open(path)?;
        match rustix::fs::flock(&file, operation) {
            Ok(()) if is_at(&file, path) => {
                return Ok(Some(Lock { file, path: path.to_owned(), passing: false }));
            }
            // Its last holder has removed the file while we waited for it, or a signal came.
            Ok(()) | Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(Error::io("lock", path)(errno.into())),
        }
    }
}

/// Takes the lock at `path` if nobody holds it.
pub(crate) fn try_exclusive(path: &Path) -> Result<Option<Lock>> {
    acquire(path, FlockOperation::NonBlockingLockExclusive)
}

/// Takes a share of the lock at `path` if nobody holds all of it.
pub(crate) fn try_shared(path: &Path) -> Result<Option<Lock>> {
    acquire(path, FlockOperation::NonBlockingLockShared)
}

/// Waits for the lock at `path` until `give_up` is set.
pub(crate) fn exclusive_until(path: &Path, give_up: &AtomicBool) -> Result<Lock> {
    let (mut pause, longest) = PAUSES;
    loop {
        if let Some(lock) = try_exclusive(path)? {
            return Ok(lock);
        }
        if give_up.load(Ordering::SeqCst) {
            return Err(Error::GivenUp);
        }
        std::thread::sleep(pause);
        pause = longest.min(pause * 2);
    }
}

/// Waits for the lock at `path`, which nobody holds for long.
pub(crate) fn exclusive(path: &Path) -> Result<Lock> {
    waiting(path, FlockOperation::LockExclusive)
}

fn waiting(path: &Path, operation: FlockOperation) -> Result<Lock> {
    Ok(acquire(path, operation)?.expect("a waiting flock never says that it would have to wait"))
}

impl Store {
    /// Waits until no other process or thread carries out the step `key`, or `give_up` is set.
    ///
    /// # Errors
    /// [`Error::GivenUp`] if it was set while somebody else carried it out.
    pub fn lock_step(&self, key: &str, give_up: &AtomicBool) -> Result<StepGuard> {
        let name = Digest::sha256(key.as_bytes());
        let path = self.root().join("locks/steps").join(&name.hex()[..32]);
        Ok(StepGuard { _lock: exclusive_until(&path, give_up)?.passing() })
    }

    /// Says that blobs and snapshots are being used.
    pub fn use_shared(&self) -> Result<UseGuard> {
        Ok(UseGuard { _lock: waiting(&self.root().join("locks/use"), FlockOperation::LockShared)? })
    }

    /// Waits until nobody uses blobs and snapshots. `None` if `wait` is false and somebody does.
    pub(crate) fn use_exclusive(&self, wait: bool) -> Result<Option<Lock>> {
        let path = self.root().join("locks/use");
        if wait { exclusive(&path).map(Some) } else { try_exclusive(&path) }
    }
}
