//! Directories of `RUN --mount=type=cache`: they outlive builds and are shared as the mount says.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use jettison_oci::Digest;

use crate::lock::{self, Lock};
use crate::{Error, Result, Store};

/// How concurrent steps share a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// All who share use the first directory that nobody has for himself. That is one for all of them, unless who had an
    /// earlier one for himself has ended since.
    Shared,
    /// Has a directory for itself: the first that nobody uses.
    Private,
    /// Has the first directory for itself, and waits until nobody uses it. (BuildKit takes any that is free by then.)
    Locked,
}

/// A cache that a step asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheUse {
    /// Its name.
    pub id: String,
    /// How it is shared with other steps.
    pub sharing: Sharing,
    /// Mode and owner of its directory, if that has to be made.
    pub mode: u32,
    /// See `mode`.
    pub uid: u32,
    /// See `mode`.
    pub gid: u32,
}

/// A cache directory in use.
#[derive(Debug)]
pub struct CacheLock {
    path: PathBuf,
    _lock: Lock,
}

impl CacheLock {
    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Store {
    /// The directories of all caches that one step asks for, by their names. A cache that it asks for twice is one, shared
    /// with others as was said first (as in BuildKit: `mounts/mount.go`, `getRefCacheDir`).
    ///
    /// They are waited for in the order of their names, whoever asks: or two steps, each with what the other waits for,
    /// would wait for ever. Nobody is waited for once `give_up` is set.
    pub fn cache_mounts(
        &self,
        uses: &[CacheUse],
        give_up: &AtomicBool,
    ) -> Result<BTreeMap<String, CacheLock>> {
        let mut in_order: BTreeMap<&str, &CacheUse> = BTreeMap::new();
        for wanted in uses {
            in_order.entry(&wanted.id).or_insert(wanted);
        }
        let held = |wanted: &CacheUse| Ok((wanted.id.clone(), self.cache_mount(wanted, give_up)?));
        in_order.into_values().map(held).collect()
    }

    fn cache_mount(&self, wanted: &CacheUse, give_up: &AtomicBool) -> Result<CacheLock> {
        let CacheUse { id, sharing, mode, uid, gid } = wanted;
        let folder = self.root().join("caches").join(&Digest::sha256(id.as_bytes()).hex()[..32]);
        fs::create_dir_all(&folder).map_err(Error::io("make", &folder))?;
        let directory = |number: u32| folder.join(number.to_string());
        let lock_path = |number: u32| folder.join(format!("{number}.lock"));
        // Whoever may not wait takes the next directory. Source: BuildKit `mounts/mount.go` (getRefCacheDirNoCache).
        let first_free = |take: fn(&Path) -> Result<Option<Lock>>| {
            let mut number = 0;
            loop {
                if let Some(lock) = take(&lock_path(number))? {
                    return Ok((directory(number), lock));
                }
                number += 1;
            }
        };
        let (path, lock) = match sharing {
            Sharing::Shared => first_free(lock::try_shared)?,
            Sharing::Private => first_free(lock::try_exclusive)?,
            Sharing::Locked => (directory(0), lock::exclusive_until(&lock_path(0), give_up)?),
        };
        match fs::create_dir(&path) {
            Ok(()) => {
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode))
                    .map_err(Error::io("change the mode of", &path))?;
                if (*uid, *gid) != (0, 0) {
                    // A single-id sandbox cannot give files away; then all ids are one anyway.
                    let _ = std::os::unix::fs::chown(&path, Some(*uid), Some(*gid));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("make", &path)(error)),
        }
        Ok(CacheLock { path, _lock: lock })
    }
}
