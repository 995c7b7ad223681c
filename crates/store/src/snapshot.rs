//! Snapshots.
use std::fmt;
use std::path::{Path, PathBuf};

use crate::{Error, Store};

/// Names a snapshot of one store. Never used again, even after the snapshot was removed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId(u64);

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Debug for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is known of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Its id.
    pub id: SnapshotId,
    /// The snapshot that it stands on.
    pub parent: Option<SnapshotId>,
    /// When it was made, seconds since 1970.
    pub created_s: i64,
    /// Sum of the sizes of its own regular files, bytes; hard links count once.
    pub size: u64,
}

impl Store {
    /// Begins a snapshot on top of `parent`.
    pub fn begin_snapshot(&self, parent: Option<&SnapshotId>) -> Result<Draft, Error> {
        let _ = parent;
        todo!()
    }
    /// What is known of a snapshot; `None` if it is not there, or not whole.
    pub fn snapshot(&self, id: &SnapshotId) -> Result<Option<SnapshotInfo>, Error> {
        let _ = id;
        todo!()
    }
    /// The directories that make up the snapshot's file system, top first; its own is the first.
    pub fn chain(&self, id: &SnapshotId) -> Result<Vec<PathBuf>, Error> {
        let _ = id;
        todo!()
    }
}

/// A snapshot that is being made. Dropped without commit, nothing remains of it.
#[derive(Debug)]
pub struct Draft {}

impl Draft {
    /// The directory that becomes the snapshot (overlayfs: upper directory).
    pub fn fs(&self) -> &Path {
        todo!()
    }
    /// An empty directory on the same file system (overlayfs: work directory).
    pub fn work(&self) -> &Path {
        todo!()
    }
    /// The directories below, top first; empty without a parent.
    pub fn lowers(&self) -> &[PathBuf] {
        todo!()
    }
    /// Puts the draft on top of another snapshot than it was begun with.
    pub fn set_parent(&mut self, parent: Option<&SnapshotId>) -> Result<(), Error> {
        let _ = parent;
        todo!()
    }
    /// Makes it a snapshot.
    pub fn commit(self) -> Result<SnapshotId, Error> {
        todo!()
    }
}
