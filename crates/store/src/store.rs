//! Opening a store: its folders, its format, what dead processes left.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jettison_oci::Digest;
use rusqlite::Connection;

use crate::files::FileMemory;
use crate::lock::Lock;
use crate::sweeper::Sweeper;
use crate::{Error, Result, index, lock, scratch};

/// A store. One value serves all threads of a process; any number of processes may have it open.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    empty: PathBuf,
    /// Our own folder below `tmp/`, locked while we live.
    pub(crate) own: PathBuf,
    own_lock: Arc<Lock>,
    connection: Arc<Mutex<Connection>>,
    pub(crate) files: Arc<FileMemory>,
    pub(crate) sweeper: Arc<Sweeper>,
    /// Blobs that this process wrote, and hashed as it did.
    pub(crate) written: Arc<Mutex<HashSet<Digest>>>,
    pub(crate) was_a_lossy_copy: bool,
}

impl Store {
    /// Opens the store at `root`, making it if it is not there, and removes what dead processes left behind.
    pub fn open(root: &Path) -> Result<Self> {
        for folder in ["blobs/sha256", "blobs/sha512", "snapshots", "caches", "tmp", "locks/steps", "empty"] {
            let path = root.join(folder);
            if !path.is_dir() {
                fs::create_dir_all(&path).map_err(Error::io("make the store's folder", &path))?;
            }
        }
        PRIVATE.iter().try_for_each(|folder| close_to_others(&root.join(folder)))?;
        // Paths are handed to mounts and to processes in other working directories.
        let root = fs::canonicalize(root).map_err(Error::io("open", root))?;
        let connection = {
            // Of several that make the same store, one writes the tables and the others wait.
            let _setup = lock::exclusive(&root.join("locks/setup"))?;
            index::open(&root)?
        };
        let (own, own_lock) = scratch::claim(&root)?;
        let mut store = Self {
            empty: root.join("empty"),
            root,
            own,
            own_lock: Arc::new(own_lock),
            connection: Arc::new(Mutex::new(connection)),
            files: Arc::default(),
            sweeper: Arc::default(),
            written: Arc::default(),
            was_a_lossy_copy: false,
        };
        scratch::sweep(&store)?;
        store.check_after_restart()?;
        store.was_a_lossy_copy = store.check_copy()?;
        Ok(store)
    }

    /// Where it lies.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A directory that is always empty: overlayfs wants two lower directories for a read-only view.
    pub fn empty_dir(&self) -> &Path {
        &self.empty
    }

    pub(crate) fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the place to an error of the index.
    pub(crate) fn index_error(&self) -> impl Fn(rusqlite::Error) -> Error + '_ {
        |source| Error::Index { path: self.root.join(index::FILE), source }
    }

    /// Runs `work` in one transaction that takes the write lock at its start: a deferred one that upgrades later
    /// fails with SQLITE_BUSY without waiting.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let mut connection = self.connection();
        let transaction = connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(self.index_error())?;
        let value = work(&transaction).map_err(self.index_error())?;
        transaction.commit().map_err(self.index_error())?;
        Ok(value)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Drafts hold clones; the last one out cleans up.
        if Arc::strong_count(&self.own_lock) > 1 {
            return;
        }
        // What fails to be written here is measured again next time.
        let _ = self.flush_file_digests();
        // Dropped here, before the folder that it works in is removed.
        drop(std::mem::take(&mut self.sweeper));
        let _ = crate::remove_tree(&self.own);
    }
}

/// Folders that hold files of images, which may be set-uid.
const PRIVATE: [&str; 3] = ["snapshots", "caches", "tmp"];

/// Keeps other users from walking into a folder and starting what is there (CVE-2021-41103 of containerd).
fn close_to_others(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::metadata(folder).map_err(Error::io("read", folder))?;
    let is_closed = metadata.permissions().mode().trailing_zeros() >= 6;
    if is_closed {
        return Ok(());
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
        .map_err(Error::io("change the mode of", folder))
}

/// Seconds since 1970. Only for deciding what was used long ago; no result depends on it.
pub(crate) fn now_s() -> i64 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    elapsed.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}
