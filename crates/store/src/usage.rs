//! What takes how much space.

use std::fs;
use std::path::Path;

use crate::{Result, Store, tree};

/// Bytes by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Blobs: layers, configs, manifests.
    pub blobs_bytes: u64,
    /// How many blobs.
    pub blobs: u64,
    /// Files of unpacked images and of steps.
    pub snapshots_bytes: u64,
    /// How many snapshots.
    pub snapshots: u64,
    /// Cache mounts.
    pub caches_bytes: u64,
    /// Unfinished downloads and temporary files.
    pub temporary_bytes: u64,
}

impl Store {
    /// Adds up what lies in the store.
    pub fn du(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        for algorithm in ["sha256", "sha512"] {
            for entry in
                fs::read_dir(self.root().join("blobs").join(algorithm)).into_iter().flatten().flatten()
            {
                usage.blobs += 1;
                usage.blobs_bytes += entry.metadata().map_or(0, |m| m.len());
            }
        }
        let connection = self.connection();
        let (count, bytes): (i64, i64) = connection
            .query_row("SELECT count(*), coalesce(sum(size), 0) FROM snapshots", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .map_err(self.index_error())?;
        (usage.snapshots, usage.snapshots_bytes) = (count.unsigned_abs(), bytes.unsigned_abs());
        usage.caches_bytes = directory_bytes(&self.root().join("caches"));
        usage.temporary_bytes =
            directory_bytes(&self.root().join("tmp")) + directory_bytes(&self.root().join("partial"));
        Ok(usage)
    }
}

/// Bytes of all files below `path`, links not followed; what cannot be read counts as nothing.
pub(crate) fn directory_bytes(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => tree::bytes(path).unwrap_or(0),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    }
}
