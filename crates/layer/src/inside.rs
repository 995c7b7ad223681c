//! Opening paths inside a root directory, never outside: the one place where paths become descriptors.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::{Errno, Result};

/// Never leave the root: links and `..` are resolved as if the root were `/`.
pub(crate) const IN_ROOT: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);
/// Never leave the root, and follow no link at all.
pub(crate) const NO_LINKS: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Opens `path` (empty: the root itself).
pub(crate) fn open(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd> {
    let path: &[u8] = if path.is_empty() { b"." } else { path };
    loop {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // The kernel asks for another try when a rename went on meanwhile.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Opens a directory for reading and as a base for further calls.
pub(crate) fn open_dir(root: BorrowedFd<'_>, path: &[u8], resolve: ResolveFlags) -> Result<OwnedFd> {
    open(root, path, OFlags::RDONLY | OFlags::DIRECTORY, resolve)
}

/// stat of `path`; its last component is not followed.
pub(crate) fn lstat(root: BorrowedFd<'_>, path: &[u8], resolve: ResolveFlags) -> Result<Stat> {
    let handle = open(root, path, OFlags::PATH | OFlags::NOFOLLOW, resolve)?;
    rustix::fs::fstat(&handle)
}

/// Parent and last component of a relative path.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// `a/b`, or `b` if `a` is empty.
pub(crate) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}

/// Names in a directory, sorted by bytes, without `.` and `..`.
pub(crate) fn names(directory: BorrowedFd<'_>) -> Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Extended attributes of an open file that belong into images, sorted.
pub(crate) fn xattrs(file: BorrowedFd<'_>) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut list = vec![0_u8; 1024];
    let size = loop {
        match rustix::fs::flistxattr(file, &mut list) {
            Ok(size) => break size,
            Err(Errno::RANGE) if list.len() < 1 << 20 => list.resize(list.len() * 4, 0),
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            Err(errno) => return Err(errno),
        }
    };
    let mut found = Vec::new();
    for name in list[..size].split(|b| *b == 0).filter(|n| !n.is_empty() && crate::entry::keeps_xattr(n)) {
        let mut value = vec![0_u8; 64 << 10];
        let size = rustix::fs::fgetxattr(file, name, &mut value)?;
        value.truncate(size);
        found.push((name.to_vec(), value));
    }
    found.sort();
    Ok(found)
}

/// Removes whatever is at `name`, trees included, without following links.
pub(crate) fn remove(parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    let directory = open_dir(parent, name, NO_LINKS)?;
    for child in names(directory.as_fd())? {
        remove(directory.as_fd(), child.as_bytes())?;
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}
