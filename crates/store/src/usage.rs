//! Usage.
use crate::{Error, Store};

/// One part of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many of them.
    pub count: u64,
    /// Sum of file sizes, bytes.
    pub bytes: u64,
}

/// Where the bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Blobs that a tag needs; `count` counts the tags.
    pub images: Share,
    /// Snapshots, and blobs that no tag needs.
    pub build_cache: Share,
    /// Cache mounts.
    pub cache_mounts: Share,
    /// Downloads that were broken off, and what running and dead processes have in work.
    pub temporary: Share,
    /// The index itself, bytes.
    pub index_bytes: u64,
}

impl Store {
    /// Where the bytes are.
    pub fn du(&self) -> Result<Usage, Error> {
        todo!()
    }
}
