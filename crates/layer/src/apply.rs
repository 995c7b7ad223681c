//! A layer becomes a directory: one lower directory of an overlay, whatever lies below it.
//!
//! Every path of a layer is hostile. Parents are opened inside the root (`openat2`), names are single components, and
//! whatever is in the way is removed without following it. Sources: OCI image spec `layer.md` (whiteouts),
//! overlayfs documentation (0:0 character devices, opaque directories), umoci `oci/layer/tar_extract.go` (hazards).

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::inside::{self, IN_ROOT};
use crate::tar_stream::{Member, TarStream};
use crate::{Entry, Error, Kind};

/// Prefix of whiteout names. Source: OCI image spec, `layer.md`.
pub(crate) const WHITEOUT: &[u8] = b".wh.";
/// Name that hides everything below a directory.
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";
/// Prefix of AUFS's own notes, which mean nothing to anybody else.
const AUFS_PRIVATE: &[u8] = b".wh..wh.";
/// How overlayfs marks an opaque directory when mounted with `userxattr`.
pub(crate) const OPAQUE_XATTR: &[u8] = b"user.overlay.opaque";
/// Bytes copied at once.
const COPY_BYTES: usize = 256 << 10;

/// How much a layer may hold. The defaults are far above what real layers have.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most entries.
    pub entries_max: u64,
    /// Most bytes of all files together.
    pub bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries_max: 10_000_000, bytes_max: 1 << 42 }
    }
}

/// How to apply a layer.
#[derive(Clone, Debug, Default)]
pub struct ApplyOptions {
    /// How much is allowed.
    pub limits: Limits,
}

/// What was applied, and what could not be settled without the layers below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entries in the tar.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Directories that the tar did not list but that its paths need; in the order in which they were made.
    pub implied_dirs: Vec<PathBuf>,
    /// Hard links whose target is not in this layer: link and target.
    pub foreign_links: Vec<(PathBuf, PathBuf)>,
    /// Device nodes that could not be made (no privilege in a user namespace).
    pub skipped_devices: u64,
}

/// Unpacks the layer `tar` into the empty directory `directory`.
pub fn apply(
    tar: &mut dyn Read,
    directory: BorrowedFd<'_>,
    options: &ApplyOptions,
) -> Result<Applied, Error> {
    let mut unpacker = Unpacker::new(directory, Target::Layer, options.limits.clone());
    unpacker.run(tar)?;
    unpacker.finish()
}

/// What is being unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A layer: whiteouts mean something, the directory holds nothing but this layer.
    Layer,
    /// An archive (ADD): merged into what is there.
    Tree { chown: Option<(u32, u32)> },
}

/// Unpacks members one after the other.
pub(crate) struct Unpacker<'a> {
    root: BorrowedFd<'a>,
    target: Target,
    limits: Limits,
    applied: Applied,
    /// The directory of the last entry: entries of one directory usually stand together.
    parent: Option<(Vec<u8>, OwnedFd)>,
    /// Directories with their times, set at the end because making entries changes them.
    times: BTreeMap<Vec<u8>, Timestamps>,
    /// Directories that were made because a path needs them, with their turn; those that are listed later leave it.
    implied: BTreeMap<Vec<u8>, usize>,
    /// How many were made so far.
    turns: usize,
    /// Paths that this layer has whited out so far: a directory made there hides what was below.
    whiteouts: BTreeSet<Vec<u8>>,
    buffer: Vec<u8>,
}

impl<'a> Unpacker<'a> {
    pub(crate) fn new(root: BorrowedFd<'a>, target: Target, limits: Limits) -> Self {
        Self {
            root,
            target,
            limits,
            applied: Applied::default(),
            parent: None,
            times: BTreeMap::new(),
            implied: BTreeMap::new(),
            turns: 0,
            whiteouts: BTreeSet::new(),
            buffer: vec![0; COPY_BYTES],
        }
    }

    pub(crate) fn run(&mut self, tar: &mut dyn Read) -> Result<(), Error> {
        let mut stream = TarStream::new(tar);
        while let Some(member) = stream.next()? {
            self.applied.entries += 1;
            if self.applied.entries > self.limits.entries_max {
                return Err(Error::TooMuch { what: "entries", limit: self.limits.entries_max });
            }
            self.member(member, &mut stream)?;
        }
        Ok(())
    }

    /// Sets the times of directories, deepest first.
    pub(crate) fn finish(mut self) -> Result<Applied, Error> {
        for (path, times) in std::mem::take(&mut self.times).into_iter().rev() {
            if let Ok(directory) = inside::open_dir(self.root, &path, IN_ROOT) {
                rustix::fs::futimens(&directory, &times).map_err(Error::io("set the time of", &path))?;
            }
        }
        let mut implied: Vec<_> = std::mem::take(&mut self.implied).into_iter().collect();
        implied.sort_unstable_by_key(|(_, turn)| *turn);
        let path = |(bytes, _)| PathBuf::from(std::ffi::OsString::from_vec(bytes));
        self.applied.implied_dirs = implied.into_iter().map(path).collect();
        Ok(self.applied)
    }

    fn member(&mut self, member: Member, stream: &mut TarStream<'_>) -> Result<(), Error> {
        let Member { mut entry, sparse } = member;
        if let Target::Tree { chown: Some((uid, gid)) } = self.target {
            (entry.uid, entry.gid) = (uid, gid);
        }
        if entry.path.is_empty() {
            return if entry.kind == Kind::Directory && self.target == Target::Layer {
                self.directory_metadata(self.root, &entry)
            } else {
                Ok(())
            };
        }
        let (parent_path, name) = inside::split(&entry.path);
        let (parent_path, name) = (parent_path.to_vec(), name.to_vec());
        let parent = self.parent(&parent_path)?;
        let placed = self.place(&parent, &parent_path, &name, &entry, sparse.as_deref(), stream);
        self.parent = Some((parent_path, parent));
        placed
    }

    fn place(
        &mut self,
        parent: &OwnedFd,
        parent_path: &[u8],
        name: &[u8],
        entry: &Entry,
        sparse: Option<&[tar_core::SparseEntry]>,
        stream: &mut TarStream<'_>,
    ) -> Result<(), Error> {
        if self.target == Target::Layer && name.starts_with(WHITEOUT) {
            return self.whiteout(parent, parent_path, name, entry);
        }
        let failed = |action| Error::io(action, &entry.path);
        let existing = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(FileType::from_raw_mode(stat.st_mode)),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(failed("look at")(errno)),
        };
        if entry.kind == Kind::Directory {
            return self.directory(parent, name, entry, existing);
        }
        if existing.is_some() {
            inside::remove(parent.as_fd(), name).map_err(failed("replace"))?;
        }
        match &entry.kind {
            Kind::File { size } => return self.file(parent, name, entry, *size, sparse, stream),
            Kind::Symlink { target } => {
                rustix::fs::symlinkat(&target[..], parent, name).map_err(failed("make the link"))?;
            }
            Kind::Hardlink { target } => return self.hard_link(parent, name, entry, target),
            Kind::CharDevice { major, minor } => {
                return self.node(
                    parent,
                    name,
                    entry,
                    FileType::CharacterDevice,
                    rustix::fs::makedev(*major, *minor),
                );
            }
            Kind::BlockDevice { major, minor } => {
                return self.node(
                    parent,
                    name,
                    entry,
                    FileType::BlockDevice,
                    rustix::fs::makedev(*major, *minor),
                );
            }
            Kind::Fifo => return self.node(parent, name, entry, FileType::Fifo, 0),
            Kind::Directory | Kind::Socket | Kind::Whiteout => {}
        }
        Self::metadata_at(parent, name, entry)
    }

    /// The directory for `path`, made (and noted as implied) if it is missing.
    fn parent(&mut self, path: &[u8]) -> Result<OwnedFd, Error> {
        if let Some((known, directory)) = self.parent.take()
            && known == path
        {
            return Ok(directory);
        }
        match inside::open_dir(self.root, path, IN_ROOT) {
            Ok(directory) => return Ok(directory),
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR) => {
                return Err(Error::invalid(path, "a file stands where a directory is needed"));
            }
            Err(errno) => return Err(Error::io("open", path)(errno)),
        }
        let (above, name) = inside::split(path);
        let above = self.parent(above)?;
        match rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => {
                self.turns += 1;
                self.implied.insert(path.to_vec(), self.turns);
            }
            Err(Errno::EXIST) => {
                return Err(Error::invalid(path, "a link that leads nowhere stands in the way"));
            }
            Err(errno) => return Err(Error::io("make", path)(errno)),
        }
        inside::open_dir(above.as_fd(), name, IN_ROOT).map_err(Error::io("open", path))
    }

    fn whiteout(
        &mut self,
        parent: &OwnedFd,
        parent_path: &[u8],
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), Error> {
        if name == OPAQUE {
            return set_opaque(parent).map_err(Error::io("mark", parent_path));
        }
        if name.starts_with(AUFS_PRIVATE) {
            return Ok(());
        }
        let hidden = &name[WHITEOUT.len()..];
        if hidden.is_empty() || hidden == b"." || hidden == b".." {
            return Err(Error::invalid(&entry.path, "a whiteout of nothing"));
        }
        let path = inside::join(parent_path, hidden);
        match rustix::fs::statat(parent, hidden, AtFlags::SYMLINK_NOFOLLOW) {
            // The layer itself has put something there: that stays, and hides what is below.
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                let directory = inside::open_dir(parent.as_fd(), hidden, inside::NO_LINKS);
                directory.and_then(|d| set_opaque(&d)).map_err(Error::io("mark", &path))
            }
            Ok(_) => Ok(()),
            Err(_) => {
                let made = rustix::fs::mknodat(parent, hidden, FileType::CharacterDevice, Mode::empty(), 0);
                made.map_err(Error::io("white out", &path))?;
                self.whiteouts.insert(path);
                Ok(())
            }
        }
    }

    fn directory(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
        existing: Option<FileType>,
    ) -> Result<(), Error> {
        let failed = |action| Error::io(action, &entry.path);
        if existing != Some(FileType::Directory) {
            if existing.is_some() {
                inside::remove(parent.as_fd(), name).map_err(failed("replace"))?;
            }
            rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)).map_err(failed("make"))?;
        }
        let directory = inside::open_dir(parent.as_fd(), name, inside::NO_LINKS).map_err(failed("open"))?;
        if self.whiteouts.remove(&entry.path) {
            set_opaque(&directory).map_err(failed("mark"))?;
        }
        self.implied.remove(&entry.path);
        self.directory_metadata(directory.as_fd(), entry)
    }

    fn directory_metadata(&mut self, directory: BorrowedFd<'_>, entry: &Entry) -> Result<(), Error> {
        set_owner_mode_xattrs(directory, entry).map_err(Error::io("set the attributes of", &entry.path))?;
        self.times.insert(entry.path.clone(), times(entry));
        Ok(())
    }

    fn file(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
        size: u64,
        sparse: Option<&[tar_core::SparseEntry]>,
        stream: &mut TarStream<'_>,
    ) -> Result<(), Error> {
        let failed = |action| Error::io(action, &entry.path);
        self.applied.bytes = self.applied.bytes.saturating_add(size);
        if self.applied.bytes > self.limits.bytes_max {
            return Err(Error::TooMuch { what: "bytes", limit: self.limits.bytes_max });
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file =
            rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600)).map_err(failed("make"))?;
        let whole = [tar_core::SparseEntry { offset: 0, length: size }];
        let regions = sparse.unwrap_or(&whole);
        for region in regions {
            let mut at = region.offset;
            let mut left = region.length;
            if at.checked_add(left).is_none_or(|end| end > size) {
                return Err(Error::invalid(&entry.path, "a sparse file with data behind its end"));
            }
            while left > 0 {
                let want = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let n = stream.read(&mut self.buffer[..want])?;
                if n == 0 {
                    return Err(Error::Damaged("a file is shorter than its header says".to_owned()));
                }
                write_all_at(&file, &self.buffer[..n], at).map_err(failed("write"))?;
                at += n as u64;
                left -= n as u64;
            }
        }
        if sparse.is_some() {
            rustix::fs::ftruncate(&file, size).map_err(failed("write"))?;
        }
        set_owner_mode_xattrs(file.as_fd(), entry).map_err(failed("set the attributes of"))?;
        rustix::fs::futimens(&file, &times(entry)).map_err(failed("set the time of"))
    }

    fn hard_link(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
        target: &[u8],
    ) -> Result<(), Error> {
        let (above, last) = inside::split(target);
        let linked = inside::open_dir(self.root, above, IN_ROOT).and_then(|directory| {
            // A link to a directory, or to nothing, is an error of the archive; one to a link is a link to the link.
            rustix::fs::linkat(&directory, last, parent, name, AtFlags::empty())
        });
        match linked {
            Ok(()) => Ok(()),
            Err(Errno::NOENT) if self.target == Target::Layer => {
                let path = |bytes: &[u8]| PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()));
                self.applied.foreign_links.push((path(&entry.path), path(target)));
                Ok(())
            }
            Err(Errno::NOENT) => Err(Error::invalid(&entry.path, "a hard link to a file that is not there")),
            Err(errno) => Err(Error::io("link", &entry.path)(errno)),
        }
    }

    fn node(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
        kind: FileType,
        device: u64,
    ) -> Result<(), Error> {
        // A 0:0 character device in a layer would be a whiteout; nobody means that.
        if kind == FileType::CharacterDevice && device == 0 {
            return Err(Error::invalid(&entry.path, "a character device 0:0"));
        }
        match rustix::fs::mknodat(parent, name, kind, Mode::from_raw_mode(0o600), device) {
            Ok(()) => Self::metadata_at(parent, name, entry),
            Err(Errno::PERM) => {
                self.applied.skipped_devices += 1;
                Ok(())
            }
            Err(errno) => Err(Error::io("make", &entry.path)(errno)),
        }
    }

    /// Owner, mode and time of what cannot be opened without consequences: links, devices, pipes.
    fn metadata_at(parent: &OwnedFd, name: &[u8], entry: &Entry) -> Result<(), Error> {
        let failed = |errno| Error::io("set the attributes of", &entry.path)(errno);
        chown_at(parent.as_fd(), name, entry.uid, entry.gid).map_err(failed)?;
        if !matches!(entry.kind, Kind::Symlink { .. }) {
            rustix::fs::chmodat(parent, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())
                .map_err(failed)?;
        }
        rustix::fs::utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)
    }
}

pub(crate) fn set_opaque(directory: &OwnedFd) -> rustix::io::Result<()> {
    rustix::fs::fsetxattr(directory, OPAQUE_XATTR, b"y", XattrFlags::empty())
}

pub(crate) fn chown_at(parent: BorrowedFd<'_>, name: &[u8], uid: u32, gid: u32) -> rustix::io::Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
}

/// Owner first: a chown takes set-uid bits and capabilities away.
pub(crate) fn set_owner_mode_xattrs(file: BorrowedFd<'_>, entry: &Entry) -> rustix::io::Result<()> {
    rustix::fs::fchown(file, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode))?;
    for (name, value) in &entry.xattrs {
        match rustix::fs::fsetxattr(file, &name[..], value, XattrFlags::empty()) {
            // A file system without extended attributes, or a user namespace that may not set this one.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

pub(crate) fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.mtime_s, tv_nsec: i64::from(entry.mtime_ns) };
    Timestamps { last_access: time, last_modification: time }
}

pub(crate) fn write_all_at(file: &OwnedFd, mut bytes: &[u8], mut at: u64) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, at) {
            Ok(0) => return Err(Errno::IO),
            Ok(n) => {
                bytes = &bytes[n..];
                at += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
