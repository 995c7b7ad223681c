//! Prune.
use crate::{Error, Store};

/// What to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneOptions {
    /// Remove everything that no tag needs, however recently used.
    pub all: bool,
    /// Remove what was not used for this many seconds.
    pub unused_for_s: Option<u64>,
    /// Remove the least recently used until the rest of the build cache fits into this many bytes.
    pub keep_bytes: Option<u64>,
    /// Only say what would be removed.
    pub dry_run: bool,
    /// Wait until nobody else uses the store, instead of failing.
    pub wait: bool,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Snapshots.
    pub snapshots: u64,
    /// Blobs.
    pub blobs: u64,
    /// Cache mounts.
    pub cache_mounts: u64,
    /// Bytes that were freed (sum of file sizes).
    pub bytes: u64,
}

impl Store {
    /// Removes what is not needed. What a tag needs is always kept.
    pub fn prune(&self, options: &PruneOptions) -> Result<PruneReport, Error> {
        let _ = options;
        todo!()
    }
}
