//! Directories of `RUN --mount=type=cache`: they outlive builds and are shared as the mount says.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jettison_oci::Digest;

use crate::lock::{self, Lock};
use crate::{Error, Result, Store};

/// How concurrent steps share a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// All use one directory.
    Shared,
    /// A second concurrent user gets a directory of its own.
    Private,
    /// A second concurrent user waits.
    Locked,
}

/// A cache directory in use.
#[derive(Debug)]
pub struct CacheLock {
    path: PathBuf,
    _lock: Option<Lock>,
}

impl CacheLock {
    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Store {
    /// The directory of the cache `id`, made with this mode and owner if it is new.
    pub fn cache_mount(
        &self,
        id: &str,
        sharing: Sharing,
        mode: u32,
        uid: u32,
        gid: u32,
    ) -> Result<CacheLock> {
        let folder = self.root().join("caches").join(&Digest::sha256(id.as_bytes()).hex()[..32]);
        fs::create_dir_all(&folder).map_err(Error::io("make", &folder))?;
        let directory = |number: u32| folder.join(number.to_string());
        let lock_path = |number: u32| folder.join(format!("{number}.lock"));
        let (path, lock) = match sharing {
            Sharing::Shared => (directory(0), None),
            Sharing::Locked => (directory(0), Some(lock::exclusive(&lock_path(0))?)),
            Sharing::Private => {
                let mut number = 0;
                loop {
                    if let Some(lock) = lock::try_exclusive(&lock_path(number))? {
                        break (directory(number), Some(lock));
                    }
                    number += 1;
                }
            }
        };
        match fs::create_dir(&path) {
            Ok(()) => {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode))
                    .map_err(Error::io("change the mode of", &path))?;
                if (uid, gid) != (0, 0) {
                    // A single-id sandbox cannot give files away; then all ids are one anyway.
                    let _ = std::os::unix::fs::chown(&path, Some(uid), Some(gid));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("make", &path)(error)),
        }
        Ok(CacheLock { path, _lock: lock })
    }
}
