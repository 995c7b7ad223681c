//! Walking a directory tree that may be hostile: through descriptors, with two of them open however deep it is.
//!
//! Trees here were written by commands out of Dockerfiles and by layers of strangers. Every directory is opened by its
//! own name under its parent, without following links; a directory on which something is mounted is an error. Upwards
//! it goes by `..`, checking that this is where it came from. Used by `remove.rs` and, for sizes, here.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

/// What is done in a walk.
pub(crate) trait Visitor {
    /// Called once in each directory; returns the names of its subdirectories that are to be visited.
    fn enter(&mut self, directory: &OwnedFd) -> io::Result<Vec<CString>>;

    /// Called when everything below `name` in `parent` was visited.
    fn leave(&mut self, parent: &OwnedFd, name: &CStr) -> io::Result<()>;

    /// Opening `name` in `parent` was refused; returns whether to try once more (or to skip it).
    fn refused(&mut self, parent: &OwnedFd, name: &CStr) -> io::Result<bool>;
}

/// What makes two descriptors the same directory, seen through the same mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    device: (u32, u32),
    inode: u64,
    mount: Option<u64>,
}

impl Place {
    fn of(directory: &OwnedFd) -> io::Result<Self> {
        // The mount id is known since Linux 5.8; before, a bind mount of the same file system cannot be told apart.
        let wanted = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::MNT_ID;
        let stat = rustix::fs::statx(directory, c"", AtFlags::EMPTY_PATH, wanted)?;
        let has_mount = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::MNT_ID);
        Ok(Self {
            device: (stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            mount: has_mount.then_some(stat.stx_mnt_id),
        })
    }

    fn same_mount(self, other: Self) -> bool {
        self.device == other.device && self.mount == other.mount
    }
}

/// One directory on the way down.
struct Level {
    /// Its name in its parent.
    name: CString,
    place: Place,
    /// Subdirectories that remain to be visited.
    rest: Vec<CString>,
}

/// Opens a directory for a walk, by its name under `parent`; refuses links and mounts (`EXDEV`).
pub(crate) fn open_below(parent: &OwnedFd, name: &CStr) -> io::Result<OwnedFd> {
    Ok(open_on(parent, Place::of(parent)?, name)?.0)
}

fn open_on(parent: &OwnedFd, above: Place, name: &CStr) -> io::Result<(OwnedFd, Place)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    let place = Place::of(&directory)?;
    if !place.same_mount(above) {
        return Err(Errno::XDEV.into());
    }
    Ok((directory, place))
}

/// Visits `top` and every directory below it, children before `leave` of their parent. `leave` is not called for `top`.
pub(crate) fn walk(top: OwnedFd, visitor: &mut dyn Visitor) -> io::Result<()> {
    let mut here = top;
    let rest = visitor.enter(&here)?;
    let mut levels = vec![Level { name: CString::default(), place: Place::of(&here)?, rest }];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.rest.pop() {
            let opened = match open_on(&here, level.place, &name) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    if !visitor.refused(&here, &name)? {
                        continue;
                    }
                    open_on(&here, level.place, &name)
                }
                other => other,
            };
            let (below, place) = opened?;
            let rest = visitor.enter(&below)?;
            levels.push(Level { name, place, rest });
            here = below;
            continue;
        }
        let done = levels.pop().expect("the loop has a last level");
        let Some(parent) = levels.last() else { break };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let above = rustix::fs::openat(&here, c"..", flags, Mode::empty())?;
        if Place::of(&above)? != parent.place {
            return Err(io::Error::other("a directory was moved while its tree was being walked"));
        }
        visitor.leave(&above, &done.name)?;
        here = above;
    }
    Ok(())
}

/// Names in a directory with their types, without `.` and `..`.
pub(crate) fn names(directory: &OwnedFd) -> io::Result<Vec<(CString, FileType)>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let mut kind = entry.file_type();
        if kind == FileType::Unknown {
            let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            kind = FileType::from_raw_mode(stat.st_mode);
        }
        names.push((name.to_owned(), kind));
    }
    Ok(names)
}

/// How much is in a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measure {
    /// Names in it, at all depths.
    pub(crate) entries: u64,
    /// Directories among them.
    pub(crate) directories: u64,
    /// Sum of the sizes of regular files, bytes; a file with several names counts once.
    pub(crate) bytes: u64,
    /// Whether a name stands for nothing but that what is below it is hidden: a character device 0:0.
    pub(crate) hides: bool,
}

/// Measures the tree at `path`. Directories that may not be read count as empty.
pub(crate) fn measure(path: &Path) -> io::Result<Measure> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = rustix::fs::open(path, flags, Mode::empty())?;
    let mut counter = Counter::default();
    walk(top, &mut counter)?;
    Ok(counter.measure)
}

/// Bytes of all regular files below `path`, each once.
pub(crate) fn bytes(path: &Path) -> io::Result<u64> {
    Ok(measure(path)?.bytes)
}

#[derive(Default)]
struct Counter {
    measure: Measure,
    /// Inodes of files with several names that were counted.
    seen: HashSet<u64>,
}

impl Visitor for Counter {
    fn enter(&mut self, directory: &OwnedFd) -> io::Result<Vec<CString>> {
        let mut directories = Vec::new();
        for (name, kind) in names(directory)? {
            self.measure.entries += 1;
            match kind {
                FileType::Directory => {
                    self.measure.directories += 1;
                    directories.push(name);
                }
                FileType::RegularFile => {
                    let stat = rustix::fs::statat(directory.as_fd(), &name, AtFlags::SYMLINK_NOFOLLOW)?;
                    if stat.st_nlink == 1 || self.seen.insert(stat.st_ino) {
                        self.measure.bytes = self.measure.bytes.saturating_add(stat.st_size as u64);
                    }
                }
                FileType::CharacterDevice => {
                    let stat = rustix::fs::statat(directory.as_fd(), &name, AtFlags::SYMLINK_NOFOLLOW)?;
                    self.measure.hides |= stat.st_rdev == 0;
                }
                _ => {}
            }
        }
        Ok(directories)
    }

    fn leave(&mut self, _parent: &OwnedFd, _name: &CStr) -> io::Result<()> {
        Ok(())
    }

    fn refused(&mut self, _parent: &OwnedFd, _name: &CStr) -> io::Result<bool> {
        Ok(false)
    }
}
