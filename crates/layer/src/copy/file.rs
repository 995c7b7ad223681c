//! One entry from one directory into another: data, owner, mode, attributes, time.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::destination::{at, lossy};
use super::{Chmod, CopyError};
use crate::apply::{chown_at, times, write_all_at};
use crate::inside::{self, IN_ROOT, NO_LINKS};
use crate::{Entry, Kind};

/// Bytes copied at once where the kernel cannot do it itself.
const COPY_BYTES: usize = 256 << 10;

/// What overrides the attributes of a source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attributes<'a> {
    pub(super) owner: Option<(u32, u32)>,
    pub(super) chmod: Option<&'a Chmod>,
}

impl Attributes<'_> {
    fn owner(&self, entry: &Entry) -> (u32, u32) {
        self.owner.unwrap_or((entry.uid, entry.gid))
    }

    fn mode(&self, mode: u32, is_directory: bool) -> u32 {
        match self.chmod {
            None => mode,
            Some(Chmod::Octal(mode)) => *mode,
            Some(Chmod::Symbolic(clauses)) => clauses.apply(mode, is_directory),
        }
    }
}

/// Copies what is no directory, replacing what is there. `shown` is its path for messages.
pub(super) fn copy_file(
    from: BorrowedFd<'_>,
    path: &[u8],
    parent: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    attributes: Attributes<'_>,
    shown: &[u8],
) -> Result<(), CopyError> {
    let failed = |action| move |errno| CopyError::io(action, shown, errno);
    make_room(parent, name, shown)?;
    let (uid, gid) = attributes.owner(entry);
    let node = |kind, device| rustix::fs::mknodat(parent, name, kind, Mode::from_raw_mode(0o600), device);
    match &entry.kind {
        Kind::File { .. } | Kind::Hardlink { .. } => {
            let to = create(parent, name).map_err(failed("make"))?;
            let source = inside::open(from, path, OFlags::RDONLY | OFlags::NONBLOCK, IN_ROOT)
                .map_err(failed("open"))?;
            copy_data(&source, &to).map_err(failed("write"))?;
            return finish(&to, entry, (uid, gid), attributes, shown);
        }
        Kind::Socket => {
            let to = create(parent, name).map_err(failed("make"))?;
            return finish(&to, entry, (uid, gid), attributes, shown);
        }
        Kind::Symlink { target } => {
            rustix::fs::symlinkat(&target[..], parent, name).map_err(failed("make"))?;
            chown_at(parent, name, uid, gid).map_err(failed("change the owner of"))?;
            return rustix::fs::utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(failed("set the time of"));
        }
        Kind::Fifo => node(FileType::Fifo, 0).map_err(failed("make"))?,
        Kind::CharDevice { major, minor } => {
            node(FileType::CharacterDevice, rustix::fs::makedev(*major, *minor)).map_err(failed("make"))?;
        }
        Kind::BlockDevice { major, minor } => {
            node(FileType::BlockDevice, rustix::fs::makedev(*major, *minor)).map_err(failed("make"))?;
        }
        Kind::Directory | Kind::Whiteout => return Ok(()),
    }
    chown_at(parent, name, uid, gid).map_err(failed("change the owner of"))?;
    let mode = Mode::from_raw_mode(attributes.mode(entry.mode, false));
    rustix::fs::chmodat(parent, name, mode, AtFlags::empty()).map_err(failed("change the mode of"))?;
    rustix::fs::utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(failed("set the time of"))
}

/// Makes or merges a directory below the top level: it takes the source's metadata (the time comes later).
pub(super) fn copy_directory(
    parent: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    attributes: Attributes<'_>,
    shown: &[u8],
) -> Result<(), CopyError> {
    let failed = |action| move |errno| CopyError::io(action, shown, errno);
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed("make")(errno)),
    }
    let directory = match inside::open_dir(parent, name, NO_LINKS) {
        Err(Errno::NOTDIR | Errno::LOOP) => return Err(CopyError::NonDirectory(lossy(shown))),
        other => other.map_err(failed("open"))?,
    };
    let (uid, gid) = attributes.owner(entry);
    let stat = rustix::fs::fstat(&directory).map_err(failed("look at"))?;
    // A chown or chmod that changes nothing would still copy the directory up.
    if (stat.st_uid, stat.st_gid) != (uid, gid) {
        chown(&directory, uid, gid).map_err(failed("change the owner of"))?;
    }
    let mode = attributes.mode(entry.mode, true);
    if stat.st_mode & 0o7777 != mode {
        rustix::fs::fchmod(&directory, Mode::from_raw_mode(mode)).map_err(failed("change the mode of"))?;
    }
    set_xattrs(&directory, entry).map_err(failed("set the attributes of"))
}

/// A further name for something that this copy has made.
pub(super) fn hard_link(
    base: BorrowedFd<'_>,
    target: &[u8],
    parent: BorrowedFd<'_>,
    name: &[u8],
    shown: &[u8],
) -> Result<(), CopyError> {
    make_room(parent, name, shown)?;
    let (above, last) = inside::split(target);
    inside::open_dir(base, above, NO_LINKS)
        .and_then(|directory| rustix::fs::linkat(&directory, last, parent, name, AtFlags::empty()))
        .map_err(|errno| CopyError::io("link", shown, errno))
}

/// Writes a file whose text stands in the Dockerfile.
pub(super) fn write_inline(
    parent: BorrowedFd<'_>,
    name: &[u8],
    content: &[u8],
    attributes: Attributes<'_>,
    mtime_s: i64,
    shown: &[u8],
) -> Result<(), CopyError> {
    let failed = |action| move |errno| CopyError::io(action, shown, errno);
    make_room(parent, name, shown)?;
    let file = create(parent, name).map_err(failed("make"))?;
    write_all_at(&file, content, 0).map_err(failed("write"))?;
    let (uid, gid) = attributes.owner.unwrap_or((0, 0));
    chown(&file, uid, gid).map_err(failed("change the owner of"))?;
    let mode = Mode::from_raw_mode(attributes.mode(0o644, false));
    rustix::fs::fchmod(&file, mode).map_err(failed("change the mode of"))?;
    rustix::fs::futimens(&file, &at(mtime_s)).map_err(failed("set the time of"))
}

fn make_room(parent: BorrowedFd<'_>, name: &[u8], shown: &[u8]) -> Result<(), CopyError> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => Err(CopyError::ReplaceDirectory(lossy(shown))),
        Err(errno) => Err(CopyError::io("replace", shown, errno)),
    }
}

fn create(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600))
}

/// Owner first (a chown takes set-id bits and capabilities away), then mode, attributes, time.
fn finish(
    file: &OwnedFd,
    entry: &Entry,
    (uid, gid): (u32, u32),
    attributes: Attributes<'_>,
    shown: &[u8],
) -> Result<(), CopyError> {
    let failed = |action| move |errno| CopyError::io(action, shown, errno);
    chown(file, uid, gid).map_err(failed("change the owner of"))?;
    let mode = Mode::from_raw_mode(attributes.mode(entry.mode, false));
    rustix::fs::fchmod(file, mode).map_err(failed("change the mode of"))?;
    set_xattrs(file, entry).map_err(failed("set the attributes of"))?;
    rustix::fs::futimens(file, &times(entry)).map_err(failed("set the time of"))
}

fn chown(file: &OwnedFd, uid: u32, gid: u32) -> rustix::io::Result<()> {
    rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
}

fn set_xattrs(file: &OwnedFd, entry: &Entry) -> rustix::io::Result<()> {
    for (name, value) in &entry.xattrs {
        match rustix::fs::fsetxattr(file.as_fd(), &name[..], value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// A clone of the blocks where the file system can; else a copy inside the kernel; else through memory.
fn copy_data(from: &OwnedFd, to: &OwnedFd) -> rustix::io::Result<()> {
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let mut copied = 0_u64;
    loop {
        match rustix::fs::copy_file_range(from, None, to, None, 1 << 30) {
            Ok(0) => return Ok(()),
            Ok(n) => copied += n as u64,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::IO) if copied == 0 => {
                break;
            }
            Err(errno) => return Err(errno),
        }
    }
    let mut buffer = vec![0; COPY_BYTES];
    let mut offset = 0;
    loop {
        match rustix::io::read(from, &mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                write_all_at(to, &buffer[..n], offset)?;
                offset += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
