//! Snapshots: directories that hold what one layer or step changed, each on top of its parent.
//!
//! A draft is made in the process's temporary folder and becomes a snapshot by one rename, so a snapshot is whole or
//! not there. Names are short: the kernel's option for lower directories may have to hold hundreds of them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension, params};
use rustix::fs::{Gid, Mode, Uid};

use crate::results::insert_encoded_layer;
use crate::store::now_s;
use crate::{Error, LayerRecord, Result, Store, remove_tree, tree};

/// Names a snapshot of one store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId(pub(crate) String);

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SnapshotId {
    /// The name that was printed before. Whether there is such a snapshot is another question.
    pub fn named(name: &str) -> Option<Self> {
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_name.then(|| Self(name.to_owned()))
    }
}

/// What the index knows of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Its name.
    pub id: SnapshotId,
    /// What it stands on.
    pub parent: Option<SnapshotId>,
    /// When it was made, seconds since 1970.
    pub created_s: i64,
    /// Bytes of its files.
    pub size: u64,
}

/// What is known of a snapshot without looking at its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// What it stands on.
    pub parent: Option<SnapshotId>,
    /// Whether its files are there; else it is a layer so far.
    pub has_files: bool,
}

/// A snapshot being made. Dropped without [`Draft::commit`] it leaves nothing.
#[derive(Debug)]
pub struct Draft {
    store: Store,
    folder: PathBuf,
    fs: PathBuf,
    work: PathBuf,
    parent: Option<SnapshotId>,
    lowers: Vec<PathBuf>,
}

impl Store {
    /// Starts a snapshot on top of `parent`.
    pub fn begin_snapshot(&self, parent: Option<&SnapshotId>) -> Result<Draft> {
        let folder = self.temporary("s");
        let (fs_dir, work) = (folder.join("fs"), folder.join("work"));
        for path in [&folder, &fs_dir, &work] {
            fs::create_dir(path).map_err(Error::io("make", path))?;
        }
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&fs_dir, mode).map_err(Error::io("change the mode of", &fs_dir))?;
        let mut draft =
            Draft { store: self.clone(), folder, fs: fs_dir, work, parent: None, lowers: Vec::new() };
        draft.set_parent(parent)?;
        if let Some(below) = draft.lowers.first() {
            // The upper directory's own mode and owner are those of `/` in the merged view.
            like(&draft.fs, below)?;
        }
        Ok(draft)
    }

    /// What is known of a snapshot; `None` if it is not there.
    pub fn snapshot(&self, id: &SnapshotId) -> Result<Option<SnapshotInfo>> {
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached("SELECT parent, created_s, size FROM snapshots WHERE id = ?1")
            .map_err(self.index_error())?;
        // A row without its directory (somebody tidied up by hand) is no snapshot.
        if !self.snapshot_path(id).join("fs").is_dir() {
            return Ok(None);
        }
        let row = statement
            .query_row([&id.0], |row| {
                Ok(SnapshotInfo {
                    id: id.clone(),
                    parent: row.get::<_, Option<String>>(0)?.map(SnapshotId),
                    created_s: row.get(1)?,
                    size: row.get::<_, i64>(2)?.unsigned_abs(),
                })
            })
            .optional();
        row.map_err(self.index_error())
    }

    /// What a snapshot stands on, be it files or a layer only; `None` if it is neither.
    pub fn lineage(&self, id: &SnapshotId) -> Result<Option<Lineage>> {
        let row = {
            let connection = self.connection();
            let mut statement = connection
                .prepare_cached("SELECT parent, layer_only FROM snapshots WHERE id = ?1")
                .map_err(self.index_error())?;
            let row = statement
                .query_row([&id.0], |row| Ok((row.get::<_, Option<String>>(0)?, row.get::<_, bool>(1)?)));
            row.optional().map_err(self.index_error())?
        };
        let has_files = self.snapshot_path(id).join("fs").is_dir();
        Ok(row
            .filter(|(_, layer_only)| has_files || *layer_only)
            .map(|(parent, _)| Lineage { parent: parent.map(SnapshotId), has_files }))
    }

    /// Gives what a step did on top of `parent` a name without its files: they are the layer `record`, encoded with
    /// `parameters`, which lies in the store. [`Draft::commit_as`] adds the files if they are ever needed.
    pub fn record_layer_only(
        &self,
        parent: Option<&SnapshotId>,
        parameters: &str,
        record: &LayerRecord,
    ) -> Result<SnapshotId> {
        let id = SnapshotId(fresh_name(&self.temporary("l")));
        let parent = parent.map(|p| p.0.clone());
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO snapshots (id, parent, created_s, used_s, size, layer_only) VALUES (?1, ?2, ?3, ?3, 0, 1)",
                params![id.0, parent, now_s()],
            )?;
            insert_encoded_layer(transaction, &id, parameters, record)
        })?;
        Ok(id)
    }

    /// The directories of a snapshot and all below it, top first.
    pub fn chain(&self, id: &SnapshotId) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        let mut next = Some(id.clone());
        while let Some(id) = next {
            let info = self.snapshot(&id)?.ok_or_else(|| Error::NoSnapshot(id.0.clone()))?;
            paths.push(self.snapshot_path(&id).join("fs"));
            next = info.parent;
        }
        Ok(paths)
    }

    pub(crate) fn snapshot_path(&self, id: &SnapshotId) -> PathBuf {
        self.root().join("snapshots").join(&id.0)
    }
}

impl Draft {
    /// Where files go: the upper directory of an overlay, or a plain directory without lowers.
    pub fn fs(&self) -> &Path {
        &self.fs
    }

    /// The overlay's work directory.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// The directories below, top first.
    pub fn lowers(&self) -> &[PathBuf] {
        &self.lowers
    }

    /// Says what the draft stands on, for layers that are unpacked before the layers below them.
    pub fn set_parent(&mut self, parent: Option<&SnapshotId>) -> Result<()> {
        self.lowers = parent.map_or(Ok(Vec::new()), |id| self.store.chain(id))?;
        self.parent = parent.cloned();
        Ok(())
    }

    /// Makes the draft a snapshot.
    pub fn commit(self) -> Result<SnapshotId> {
        let size = self.complete()?;
        // The parent's id in front of random bits: equal names are impossible, and no counter has to be shared.
        let id = SnapshotId(fresh_name(&self.folder));
        let target = self.store.snapshot_path(&id);
        fs::rename(&self.folder, &target).map_err(Error::io("write", &target))?;
        let now = now_s();
        let parent = self.parent.as_ref().map(|p| p.0.clone());
        self.store.write(|transaction| {
            transaction.execute(
                "INSERT INTO snapshots (id, parent, created_s, used_s, size) VALUES (?1, ?2, ?3, ?3, ?4)",
                params![id.0, parent, now, size],
            )
        })?;
        Ok(id)
    }

    /// Makes the draft the files of a snapshot that was a layer only. The draft must stand on the same parent and hold
    /// what the layer says; if somebody else was faster, theirs stay.
    pub fn commit_as(self, id: &SnapshotId) -> Result<()> {
        let size = self.complete()?;
        let target = self.store.snapshot_path(id);
        match fs::rename(&self.folder, &target) {
            Ok(()) => {}
            Err(_) if target.join("fs").is_dir() => {}
            Err(error) => return Err(Error::io("write", &target)(error)),
        }
        self.store.write(|transaction| {
            transaction
                .execute("UPDATE snapshots SET layer_only = 0, size = ?2 WHERE id = ?1", params![id.0, size])
        })?;
        Ok(())
    }

    /// Leaves what is kept, and adds it up: bytes.
    fn complete(&self) -> Result<i64> {
        // overlayfs leaves an unreadable folder in its work directory; only `fs` is kept.
        remove_tree(&self.work).map_err(Error::io("remove", &self.work))?;
        let size = tree::bytes(&self.fs).map_err(Error::io("read", &self.fs))?;
        Ok(i64::try_from(size).unwrap_or(i64::MAX))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a commit there is nothing under this name.
        let _ = remove_tree(&self.folder);
    }
}

/// A short name that no other snapshot has: time, process and a counter, hashed.
fn fresh_name(folder: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut hasher = jettison_oci::Hasher::sha256();
    hasher.update(folder.as_os_str().as_bytes());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    hasher.update(&now.as_nanos().to_le_bytes());
    hasher.finish().hex()[..16].to_owned()
}

/// Gives a directory the mode and owner of another. Owners that cannot be given are left (a single-id sandbox).
fn like(directory: &Path, other: &Path) -> Result<()> {
    let stat = rustix::fs::stat(other).map_err(|errno| Error::io("read", other)(errno.into()))?;
    let (owner, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    if (owner, group) != (rustix::process::geteuid(), rustix::process::getegid()) {
        let _ = rustix::fs::chown(directory, Some(owner), Some(group));
    }
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    rustix::fs::chmod(directory, mode)
        .map_err(|errno| Error::io("change the mode of", directory)(errno.into()))
}
