//! Removing trees: through descriptors, never along a link, never into another mount.
//!
//! Trees of the store hold what images hold: links to anywhere, names of any bytes. And a mount that somebody left
//! inside must not be emptied: another builder's clean-up did that to the host's /dev.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// Removes `path` with everything below it. What is not there is no error.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = path.file_name() else { return Err(io::ErrorKind::InvalidInput.into()) };
    let name = CString::new(name.as_bytes())?;
    let parent =
        match rustix::fs::open(parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(parent) => parent,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
    let device = match rustix::fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat.st_dev,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    remove_entry(parent.as_fd(), &name, device)
}

fn remove_entry(parent: BorrowedFd<'_>, name: &CStr, device: u64) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Ok(folder) => folder,
        Err(Errno::ACCESS) => {
            // A folder without permissions, such as overlayfs's own: we own it, so we may change that.
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            rustix::fs::openat(parent, name, flags, Mode::empty())?
        }
        Err(errno) => return Err(errno.into()),
    };
    if rustix::fs::fstat(&folder)?.st_dev != device {
        return Err(io::Error::other("something is mounted inside; it is left alone"));
    }
    let mut entries = Vec::new();
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            entries.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    let has_folders = entries.iter().any(|(_, kind)| matches!(kind, FileType::Directory | FileType::Unknown));
    if has_folders {
        rustix::fs::fchmod(&folder, Mode::RWXU)?;
    }
    for (name, _) in entries {
        let removed = remove_entry(folder.as_fd(), &name, device);
        match removed {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                rustix::fs::fchmod(&folder, Mode::RWXU)?;
                remove_entry(folder.as_fd(), &name, device)?;
            }
            other => other?,
        }
    }
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
