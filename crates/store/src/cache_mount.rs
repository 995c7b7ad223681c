//! Cache mounts.
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use crate::{Error, Store};

/// How steps share a cache mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// All at the same time.
    #[default]
    Shared,
    /// A second user at the same time gets another directory.
    Private,
    /// One after the other.
    Locked,
}

impl Store {
    /// The directory of a cache mount, locked as `sharing` says; `mode`, `uid` and `gid` are for a new directory.
    pub fn cache_mount(
        &self,
        id: &str,
        sharing: Sharing,
        mode: u32,
        uid: u32,
        gid: u32,
    ) -> Result<CacheLock, Error> {
        let _ = (id, sharing, mode, uid, gid);
        todo!()
    }
    /// Like [`Store::cache_mount`], calling `waiting` while it waits (see [`Store::lock_step_with`]).
    pub fn cache_mount_with(
        &self,
        id: &str,
        sharing: Sharing,
        owner: (u32, u32, u32),
        waiting: &mut dyn FnMut(Duration) -> ControlFlow<()>,
    ) -> Result<CacheLock, Error> {
        let _ = (id, sharing, owner, waiting);
        todo!()
    }
}

/// A cache mount in use; released on drop.
#[derive(Debug)]
pub struct CacheLock {}

impl CacheLock {
    /// Its directory.
    pub fn path(&self) -> &Path {
        todo!()
    }
}
