//! Opening paths inside a root directory, never outside: the one place where paths become descriptors.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::{Errno, Result};

use crate::Error;

/// Never leave the root: links and `..` are resolved as if the root were `/`.
pub(crate) const IN_ROOT: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);
/// Never leave the root, and follow no link at all.
pub(crate) const NO_LINKS: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Tries before the kernel is no longer asked: it wants another one when anybody renames or mounts anything while it
/// goes through a `..`, and on overlayfs it can want that for ever (seen on Linux 6.18).
const TRIES_MAX: usize = 8;
/// As many links as the kernel follows.
const LINKS_MAX: usize = 40;

/// Opens `path` as if `root` were `/`: wherever links lead, never outside.
pub fn open_in_root(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    open(root, path, flags, IN_ROOT)
}

/// Opens `path` (empty: the root itself).
pub(crate) fn open(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd> {
    let path: &[u8] = if path.is_empty() { b"." } else { path };
    let flags = flags | OFlags::CLOEXEC;
    for _ in 0..TRIES_MAX {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    if resolve.contains(ResolveFlags::IN_ROOT) { open_by_name(root, path, flags) } else { Err(Errno::AGAIN) }
}

/// What [`IN_ROOT`] means, name by name: no link is ever followed by the kernel, and `..` goes back the way we came, so
/// that nothing leads out whatever is renamed meanwhile.
fn open_by_name(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let names = |path: &[u8]| -> Vec<Vec<u8>> {
        // A slash at the end asks for a directory, as `/.` does.
        let end = path.ends_with(b"/").then_some(&b"."[..]);
        let names = path.split(|b| *b == b'/').filter(|name| !name.is_empty()).chain(end);
        let mut names: Vec<Vec<u8>> = names.map(<[u8]>::to_vec).collect();
        names.reverse();
        names
    };
    let mut todo = names(path);
    let mut way: Vec<OwnedFd> = Vec::new();
    let mut links = 0;
    let handle = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    while let Some(name) = todo.pop() {
        let parent = way.last().map_or(root, AsFd::as_fd);
        if name == b"." || name == b".." {
            if FileType::from_raw_mode(rustix::fs::fstat(parent)?.st_mode) != FileType::Directory {
                return Err(Errno::NOTDIR);
            }
            if name == b".." {
                way.pop();
            }
            continue;
        }
        let found = rustix::fs::openat(parent, &name[..], handle, Mode::empty())?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode);
        if kind != FileType::Symlink || (todo.is_empty() && flags.contains(OFlags::NOFOLLOW)) {
            if todo.is_empty() {
                return rustix::fs::openat(parent, &name[..], flags | OFlags::NOFOLLOW, Mode::empty());
            }
            way.push(found);
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(Errno::LOOP);
        }
        let target = rustix::fs::readlinkat(&found, "", Vec::new())?.into_bytes();
        if target.starts_with(b"/") {
            way.clear();
        }
        todo.extend(names(&target));
    }
    rustix::fs::openat(way.last().map_or(root, AsFd::as_fd), ".", flags, Mode::empty())
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
    Ok(listed(directory)?.into_iter().map(|listed| listed.name).collect())
}

/// A name as a directory lists it.
pub(crate) struct Listed {
    pub(crate) name: CString,
    /// Where the file system lists the type too, whether it is a character device.
    is_device: bool,
}

impl Listed {
    /// Whether this is a whiteout that hides nothing: overlayfs lists it as a device where it merges nothing, and says that
    /// it is not there. Any other name that leads to nothing has gone meanwhile.
    pub(crate) fn is_whiteout(&self, error: &Error) -> bool {
        let is_nothing = |source: &std::io::Error| source.kind() == std::io::ErrorKind::NotFound;
        self.is_device && matches!(error, Error::Io { source, .. } if is_nothing(source))
    }
}

/// What a directory lists, sorted by bytes, without `.` and `..`.
pub(crate) fn listed(directory: BorrowedFd<'_>) -> Result<Vec<Listed>> {
    let mut all = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            let is_device = entry.file_type() == FileType::CharacterDevice;
            all.push(Listed { name: entry.file_name().to_owned(), is_device });
        }
    }
    all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Extended attributes of an open file that belong into images, sorted.
pub(crate) fn xattrs(file: BorrowedFd<'_>) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    xattrs_of(file, &crate::entry::keeps_xattr)
}

/// Extended attributes of an open file whose names are `wanted`, sorted.
pub(crate) fn xattrs_of(
    file: BorrowedFd<'_>,
    wanted: &dyn Fn(&[u8]) -> bool,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
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
    for name in list[..size].split(|b| *b == 0).filter(|n| !n.is_empty() && wanted(n)) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    /// Both ways mean the same, whatever is asked for.
    #[test]
    fn by_name_as_by_the_kernel() {
        let base = tempfile::tempdir().unwrap();
        let root = base.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/f"), "f").unwrap();
        fs::write(base.path().join("outside"), "o").unwrap();
        symlink("../../../../a", root.join("up")).unwrap();
        symlink("/a/b", root.join("abs")).unwrap();
        symlink("../outside", root.join("out")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("f", root.join("a/b/l")).unwrap();
        symlink("..", root.join("a/b/parent")).unwrap();
        let paths = [
            ".",
            "a",
            "a/b/f",
            "a/b/f/",
            "/a//./b/f",
            "a/..",
            "..",
            "../..",
            "up/b/f",
            "abs/f",
            "abs/../b/l",
            "out",
            "dangling",
            "loop",
            "loop/x",
            "a/b/l",
            "a/b/l/x",
            "a/b/parent/b/f",
            "nothing",
            "nothing/..",
            "a/b/f/..",
        ];
        let root = File::open(&root).unwrap();
        let what = |found: Result<OwnedFd>| {
            found.map(|fd| {
                let stat = rustix::fs::fstat(&fd).unwrap();
                (stat.st_ino, FileType::from_raw_mode(stat.st_mode))
            })
        };
        for path in paths {
            for flags in [OFlags::PATH, OFlags::PATH | OFlags::NOFOLLOW, OFlags::RDONLY, OFlags::DIRECTORY] {
                let flags = flags | OFlags::CLOEXEC;
                let kernel = (0..10_000)
                    .map(|_| rustix::fs::openat2(&root, path, flags, Mode::empty(), IN_ROOT))
                    .find(|found| !matches!(found, Err(Errno::AGAIN)));
                let kernel = kernel.expect("nobody renames all the time");
                let ours = open_by_name(root.as_fd(), path.as_bytes(), flags);
                assert_eq!(what(ours), what(kernel), "{path} {flags:?}");
            }
        }
    }
}
