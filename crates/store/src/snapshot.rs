//! Snapshots: directories that hold what one layer or step changed, each on top of its parent.
//!
//! A draft is made in the process's temporary folder and becomes a snapshot by one rename, so a snapshot is whole or
//! not there. Names are short: the kernel's option for lower directories may have to hold hundreds of them.

use std::fmt;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension, params};
use rustix::fs::{Gid, Mode, OFlags, Uid};

use crate::results::insert_encoded_layer;
use crate::store::now_s;
use crate::{Error, LayerRecord, Result, Store, apart, remove_tree, tree};

/// Names a snapshot of one store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId(pub(crate) String);

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SnapshotId {
    /// Stands for every snapshot that changed nothing where something is remembered of a snapshot: of them it is all
    /// the same, for it does not depend on what is below.
    pub fn nothing() -> Self {
        Self("nothing".to_owned())
    }

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
    /// It has nothing that is not as it is below, its root included: whatever reads the stack need not look at it.
    pub unchanged: bool,
    /// It hides nothing of what is below it: with nothing below, its directory is the file system.
    pub hides_nothing: bool,
}

/// The columns of a [`SnapshotInfo`].
const COLUMNS: &str = "id, parent, created_s, size, unchanged, hides_nothing";

/// Deeper stacks are refused: the parents of a broken index could lead in a circle.
const DEPTH_MAX: usize = 100_000;

/// So many directories are held against those below, to see whether a snapshot says anything: mount points of a step have
/// fewer parents.
const COPIED_UP_MAX: u64 = 64;

/// What is known of a snapshot without looking at its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// What it stands on.
    pub parent: Option<SnapshotId>,
    /// Whether its files are there; else it is a layer so far.
    pub has_files: bool,
    /// See [`SnapshotInfo::unchanged`].
    pub unchanged: bool,
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

/// What the index keeps of a draft that is complete.
struct Complete {
    /// Bytes of its files.
    size: i64,
    unchanged: bool,
    hides_nothing: bool,
}

impl Store {
    /// Starts a snapshot on top of `parent`.
    pub fn begin_snapshot(&self, parent: Option<&SnapshotId>) -> Result<Draft> {
        self.begin_in(apart::folder_among_others(&self.own, &self.temporary("s"))?, parent)
    }

    /// Starts the snapshot of a layer that is unpacked: of many files, and without a parent so far. Where it can be had
    /// they lie in a part of the disk of their own (`apart.rs`).
    pub fn begin_unpacking(&self) -> Result<Draft> {
        self.begin_in(apart::folder(&self.own, &self.temporary("s"))?, None)
    }

    fn begin_in(&self, folder: PathBuf, parent: Option<&SnapshotId>) -> Result<Draft> {
        // Beside, so that the folder can become the snapshot while the work directory is still being removed.
        let (fs_dir, work) = (folder.join("fs"), self.temporary("w"));
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
        // A row without its directory (somebody tidied up by hand) is no snapshot.
        if !self.snapshot_directory(id).is_dir() {
            return Ok(None);
        }
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM snapshots WHERE id = ?1"))
            .map_err(self.index_error())?;
        statement.query_row([&id.0], info).optional().map_err(self.index_error())
    }

    /// What is known of the snapshot that is called so; `None` if it is not there any more.
    pub fn snapshot_named(&self, name: &str) -> Result<Option<SnapshotInfo>> {
        self.snapshot(&SnapshotId(name.to_owned()))
    }

    /// A snapshot and all below it, top first.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`] if the files of one of them are missing.
    pub fn stack(&self, id: &SnapshotId) -> Result<Vec<SnapshotInfo>> {
        let rows = self.stack_rows(id)?;
        self.check_files(rows.iter())?;
        Ok(rows)
    }

    /// [`Store::stack`] as the index has it.
    fn stack_rows(&self, id: &SnapshotId) -> Result<Vec<SnapshotInfo>> {
        let rows: Vec<SnapshotInfo> = {
            let connection = self.connection();
            let mut statement = connection
                .prepare_cached(&format!(
                    "WITH RECURSIVE stack (depth, {COLUMNS}) AS (
                        SELECT 0, {COLUMNS} FROM snapshots WHERE id = ?1
                        UNION ALL
                        SELECT stack.depth + 1, s.id, s.parent, s.created_s, s.size, s.unchanged, s.hides_nothing
                        FROM stack JOIN snapshots AS s ON s.id = stack.parent LIMIT {DEPTH_MAX}
                    ) SELECT {COLUMNS} FROM stack ORDER BY depth"
                ))
                .map_err(self.index_error())?;
            let rows = statement.query_map([&id.0], info).map_err(self.index_error())?;
            rows.collect::<rusqlite::Result<_>>().map_err(self.index_error())?
        };
        let missing = |id: &SnapshotId| Err(Error::NoSnapshot(id.0.clone()));
        match rows.last() {
            None => missing(id),
            Some(SnapshotInfo { parent: Some(parent), .. }) => missing(parent),
            Some(_) => Ok(rows),
        }
    }

    fn check_files<'a>(&self, mut stack: impl Iterator<Item = &'a SnapshotInfo>) -> Result<()> {
        match stack.find(|info| !self.snapshot_directory(&info.id).is_dir()) {
            Some(info) => Err(Error::NoSnapshot(info.id.0.clone())),
            None => Ok(()),
        }
    }

    /// What a snapshot stands on, be it files or a layer only; `None` if it is neither.
    pub fn lineage(&self, id: &SnapshotId) -> Result<Option<Lineage>> {
        let row = {
            let connection = self.connection();
            let mut statement = connection
                .prepare_cached("SELECT parent, layer_only, unchanged FROM snapshots WHERE id = ?1")
                .map_err(self.index_error())?;
            let row = statement.query_row([&id.0], |row| {
                let parent = row.get::<_, Option<String>>(0)?.map(SnapshotId);
                Ok((Lineage { parent, has_files: false, unchanged: row.get(2)? }, row.get::<_, bool>(1)?))
            });
            row.optional().map_err(self.index_error())?
        };
        let has_files = self.snapshot_directory(id).is_dir();
        Ok(row
            .filter(|(_, layer_only)| has_files || *layer_only)
            .map(|(lineage, _)| Lineage { has_files, ..lineage }))
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

    /// The directories that make up the files of a snapshot, top first: its own and those below, without those that
    /// changed nothing. At least one.
    pub fn chain(&self, id: &SnapshotId) -> Result<Vec<PathBuf>> {
        let stack = self.stack_rows(id)?;
        // A build of hundreds of steps asks for it hundreds of times: only what is read is looked for.
        let changed = || stack.iter().filter(|info| !info.unchanged);
        self.check_files(changed())?;
        Ok(changed().map(|info| self.snapshot_directory(&info.id)).collect())
    }

    /// The directory that is all of a snapshot's file system, if it is a single one: nothing is below it but what
    /// changed nothing, and it hides nothing. For reading only.
    pub fn lone_directory(&self, id: &SnapshotId) -> Result<Option<PathBuf>> {
        let stack = self.stack(id)?;
        let mut changed = stack.iter().filter(|info| !info.unchanged);
        let lone = changed.next().filter(|info| info.hides_nothing && changed.next().is_none());
        Ok(lone.map(|info| self.snapshot_directory(&info.id)))
    }

    /// The directory with what a snapshot changed.
    pub fn snapshot_directory(&self, id: &SnapshotId) -> PathBuf {
        self.snapshot_path(id).join("fs")
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
        let Complete { size, unchanged, hides_nothing } = self.complete()?;
        // The parent's id in front of random bits: equal names are impossible, and no counter has to be shared.
        let id = SnapshotId(fresh_name(&self.folder));
        let target = self.store.snapshot_path(&id);
        fs::rename(&self.folder, &target).map_err(Error::io("write", &target))?;
        let now = now_s();
        let parent = self.parent.as_ref().map(|p| p.0.clone());
        self.store.write(|transaction| {
            transaction.execute(
                "INSERT INTO snapshots (id, parent, created_s, used_s, size, unchanged, hides_nothing)
                 VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6)",
                params![id.0, parent, now, size, unchanged, hides_nothing],
            )
        })?;
        Ok(id)
    }

    /// Makes the draft the files of a snapshot that was a layer only. The draft must stand on the same parent and hold
    /// what the layer says; if somebody else was faster, theirs stay.
    pub fn commit_as(self, id: &SnapshotId) -> Result<()> {
        let Complete { size, unchanged, hides_nothing } = self.complete()?;
        let target = self.store.snapshot_path(id);
        match fs::rename(&self.folder, &target) {
            Ok(()) => {}
            Err(_) if target.join("fs").is_dir() => {}
            Err(error) => return Err(Error::io("write", &target)(error)),
        }
        self.store.write(|transaction| {
            transaction.execute(
                "UPDATE snapshots SET layer_only = 0, size = ?2, unchanged = ?3, hides_nothing = ?4 WHERE id = ?1",
                params![id.0, size, unchanged, hides_nothing],
            )
        })?;
        Ok(())
    }

    /// Says what is kept.
    fn complete(&self) -> Result<Complete> {
        let failed = Error::io("read", &self.fs);
        let measured = tree::measure(&self.fs).and_then(|measure| {
            let unchanged = self.says_nothing(&measure) && self.root_is_like_below()?;
            let size = i64::try_from(measure.bytes).unwrap_or(i64::MAX);
            Ok(Complete { size, unchanged, hides_nothing: !measure.hides })
        });
        measured.map_err(failed)
    }

    /// Whether nothing is in it, or only what overlayfs copied up for mount points that are gone again. If that cannot be
    /// found out it counts as something.
    fn says_nothing(&self, measure: &tree::Measure) -> bool {
        if measure.entries == 0 {
            return true;
        }
        if measure.entries != measure.directories || measure.directories > COPIED_UP_MAX {
            return false;
        }
        let open = |path: &Path| -> rustix::io::Result<OwnedFd> {
            rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        };
        let lowers = self.lowers.iter().map(|path| open(path)).collect::<rustix::io::Result<Vec<_>>>();
        let (Ok(upper), Ok(lowers)) = (open(&self.fs), lowers) else { return false };
        let lowers: Vec<_> = lowers.iter().map(AsFd::as_fd).collect();
        jettison_layer::holds_copied_up_only(upper.as_fd(), &lowers).unwrap_or(false)
    }

    /// Whether there is something below, and `/` has the same mode, owner and attributes there. (Its time is that of
    /// the last mount, and in no layer.)
    fn root_is_like_below(&self) -> std::io::Result<bool> {
        let Some(below) = self.lowers.first() else { return Ok(false) };
        let (ours, theirs) = (rustix::fs::lstat(&self.fs)?, rustix::fs::lstat(below)?);
        let attributes = rustix::fs::llistxattr(&self.fs, &mut [0; 0])?;
        let marks = |stat: &rustix::fs::Stat| (stat.st_mode, stat.st_uid, stat.st_gid);
        Ok(attributes == 0 && marks(&ours) == marks(&theirs))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a commit there is nothing under this name.
        let _ = remove_tree(&self.folder);
        self.store.sweeper.discard(std::mem::take(&mut self.work));
    }
}

/// A row of [`COLUMNS`].
fn info(row: &rusqlite::Row<'_>) -> rusqlite::Result<SnapshotInfo> {
    Ok(SnapshotInfo {
        id: SnapshotId(row.get(0)?),
        parent: row.get::<_, Option<String>>(1)?.map(SnapshotId),
        created_s: row.get(2)?,
        size: row.get::<_, i64>(3)?.unsigned_abs(),
        unchanged: row.get(4)?,
        hides_nothing: row.get(5)?,
    })
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
