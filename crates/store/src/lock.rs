//! Locks between processes: flock on files below `locks/`. The kernel frees them with their process, however it ends.
//!
//! Order, so that nobody waits in a circle: use lock → step locks → the database.

use std::fs::File;
use std::path::Path;

use rustix::fs::FlockOperation;

use crate::{Error, Result, Store};

/// A held lock; closing the file frees it.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
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

pub(crate) fn open(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(Error::io("open the lock", path))
}

fn acquire(file: File, operation: FlockOperation, path: &Path) -> Result<Lock> {
    loop {
        match rustix::fs::flock(&file, operation) {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Error::io("lock", path)(errno.into())),
        }
    }
}

/// Takes the lock at `path` if nobody holds it.
pub(crate) fn try_exclusive(path: &Path) -> Result<Option<Lock>> {
    let file = open(path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(Error::io("lock", path)(errno.into())),
    }
}

/// Waits for the lock at `path`.
pub(crate) fn exclusive(path: &Path) -> Result<Lock> {
    acquire(open(path)?, FlockOperation::LockExclusive, path)
}

impl Store {
    /// Waits until no other process or thread carries out the step `key`.
    ///
    /// The key's file stays: removing a lock file that somebody is about to lock would let two in. They are empty and
    /// one directory of 256 shares them by the first hex digits, so their number is bounded.
    pub fn lock_step(&self, key: &str) -> Result<StepGuard> {
        let slot = jettison_oci::Digest::sha256(key.as_bytes());
        let path = self.root().join("locks/steps").join(slot.short());
        Ok(StepGuard { _lock: exclusive(&path)? })
    }

    /// Says that blobs and snapshots are being used.
    pub fn use_shared(&self) -> Result<UseGuard> {
        let path = self.root().join("locks/use");
        Ok(UseGuard { _lock: acquire(open(&path)?, FlockOperation::LockShared, &path)? })
    }

    /// Waits until nobody uses blobs and snapshots. `None` if `wait` is false and somebody does.
    pub(crate) fn use_exclusive(&self, wait: bool) -> Result<Option<Lock>> {
        let path = self.root().join("locks/use");
        if wait { exclusive(&path).map(Some) } else { try_exclusive(&path) }
    }
}
