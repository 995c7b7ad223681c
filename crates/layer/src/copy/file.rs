//! One entry into a directory: data, owner, mode, attributes, time.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use jettison_oci::{Digest, Hasher};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::CopyError;
use super::tree::{Content, Directory, Item};
use crate::apply::{chown_at, times, write_all_at};
use crate::inside::{self, IN_ROOT, NO_LINKS};
use crate::{Entry, Kind};

/// Bytes copied at once where the kernel cannot do it itself.
const COPY_BYTES: usize = 256 << 10;

/// Makes what is no directory at a free name. `shown` is its path for messages.
pub(super) fn make(
    from: BorrowedFd<'_>,
    item: &Item<'_>,
    parent: BorrowedFd<'_>,
    name: &[u8],
    shown: &[u8],
) -> Result<(), CopyError> {
    let failed = |action| move |errno| CopyError::io(action, shown, errno);
    let entry = &item.entry(Vec::new());
    let node = |kind, device| rustix::fs::mknodat(parent, name, kind, Mode::from_raw_mode(0o600), device);
    match &entry.kind {
        Kind::File { .. } | Kind::Hardlink { .. } | Kind::Socket => {
            let to = create(parent, name).map_err(failed("make"))?;
            match item.content() {
                Content::Source(path, seen) => {
                    let source = inside::open(from, &path, OFlags::RDONLY | OFlags::NONBLOCK, IN_ROOT)
                        .map_err(failed("open"))?;
                    copy_data(&source, &to).map_err(failed("write"))?;
                    if let Some(seen) = seen {
                        // What was hashed and may have changed unnoticed since is hashed again, as it was copied.
                        let doubtful = seen.digest.is_some() && !seen.settled;
                        let copied = doubtful.then(|| digest(&to)).transpose().map_err(failed("read"))?;
                        seen.still(&source, copied, &path)?;
                    }
                }
                Content::Inline(bytes) => write_all_at(&to, bytes, 0).map_err(failed("write"))?,
                Content::Empty => {}
            }
            return finish(&to, entry, shown);
        }
        Kind::Symlink { target } => {
            rustix::fs::symlinkat(&target[..], parent, name).map_err(failed("make"))?;
            chown_at(parent, name, entry.uid, entry.gid).map_err(failed("change the owner of"))?;
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
    chown_at(parent, name, entry.uid, entry.gid).map_err(failed("change the owner of"))?;
    let mode = Mode::from_raw_mode(entry.mode);
    rustix::fs::chmodat(parent, name, mode, AtFlags::empty()).map_err(failed("change the mode of"))?;
    rustix::fs::utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(failed("set the time of"))
}

/// Makes a directory, or gives one that is there its metadata (the time comes later).
pub(super) fn make_directory(
    parent: BorrowedFd<'_>,
    name: &[u8],
    directory: &Directory,
    shown: &[u8],
) -> Result<OwnedFd, CopyError> {
    let failed = |action| move |errno| CopyError::io(action, shown, errno);
    if !directory.below {
        rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)).map_err(failed("make"))?;
    }
    let opened = inside::open_dir(parent, name, NO_LINKS).map_err(failed("open"))?;
    let stat = rustix::fs::fstat(&opened).map_err(failed("look at"))?;
    let entry = &directory.entry;
    // A chown or chmod that changes nothing would still copy the directory up.
    if (stat.st_uid, stat.st_gid) != (entry.uid, entry.gid) {
        chown(&opened, entry.uid, entry.gid).map_err(failed("change the owner of"))?;
    }
    if stat.st_mode & 0o7777 != entry.mode {
        rustix::fs::fchmod(&opened, Mode::from_raw_mode(entry.mode)).map_err(failed("change the mode of"))?;
    }
    set_xattrs(&opened, &directory.xattrs).map_err(failed("set the attributes of"))?;
    Ok(opened)
}

/// Makes room for something that replaces what is there.
pub(super) fn remove(parent: BorrowedFd<'_>, name: &[u8], shown: &[u8]) -> Result<(), CopyError> {
    rustix::fs::unlinkat(parent, name, AtFlags::empty())
        .map_err(|errno| CopyError::io("replace", shown, errno))
}

fn create(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600))
}

/// Owner first (a chown takes set-id bits and capabilities away), then mode, attributes, time.
fn finish(file: &OwnedFd, entry: &Entry, shown: &[u8]) -> Result<(), CopyError> {
    let failed = |action| move |errno| CopyError::io(action, shown, errno);
    chown(file, entry.uid, entry.gid).map_err(failed("change the owner of"))?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode)).map_err(failed("change the mode of"))?;
    set_xattrs(file, &entry.xattrs).map_err(failed("set the attributes of"))?;
    rustix::fs::futimens(file, &times(entry)).map_err(failed("set the time of"))
}

/// The digest of a file's content.
fn digest(file: &OwnedFd) -> rustix::io::Result<Digest> {
    let mut hasher = Hasher::sha256();
    let mut buffer = vec![0; COPY_BYTES];
    let mut offset = 0;
    loop {
        match rustix::io::pread(file, &mut buffer, offset) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(n) => {
                hasher.update(&buffer[..n]);
                offset += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn chown(file: &OwnedFd, uid: u32, gid: u32) -> rustix::io::Result<()> {
    rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
}

fn set_xattrs(file: &OwnedFd, xattrs: &[(Vec<u8>, Vec<u8>)]) -> rustix::io::Result<()> {
    for (name, value) in xattrs {
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
