//! Walking and making paths inside a root that is not ours, before it has become `/`.
//!
//! `openat2(RESOLVE_IN_ROOT)` can open what is there; here missing parts are to be made as well, and it must be known
//! which ones and where. So the walk goes name by name with `O_NOFOLLOW`, following links by hand inside the root.
//! Nothing an image or an earlier step has planted (links, `..`) leads out, even if it is changed meanwhile.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

/// As many links as the kernel follows.
const LINKS_MAX: usize = 40;

/// What to make where nothing is. Missing parents are always directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf {
    /// An empty directory.
    Directory,
    /// An empty file.
    File,
}

/// What happens when something is missing.
pub(crate) struct Make<'a> {
    /// The kind of the last component.
    pub(crate) leaf: Leaf,
    /// Owner of what is made.
    pub(crate) owner: (u32, u32),
    /// Called before something is made, with its parent; what it returns is called afterwards.
    pub(crate) around: &'a mut dyn Around,
}

/// Observes the making of a file or directory.
pub(crate) trait Around {
    /// `path` (relative to the root, free of links) is about to be made in `parent`.
    fn before(&mut self, parent: BorrowedFd<'_>, path: &Path) -> Result<(), Errno>;
    /// It has been made.
    fn after(&mut self, parent: BorrowedFd<'_>) -> Result<(), Errno>;
}

/// Observes nothing.
pub(crate) struct Unobserved;

impl Around for Unobserved {
    fn before(&mut self, _: BorrowedFd<'_>, _: &Path) -> Result<(), Errno> {
        Ok(())
    }
    fn after(&mut self, _: BorrowedFd<'_>) -> Result<(), Errno> {
        Ok(())
    }
}

/// Opens (`O_PATH`) what `path` means inside `root`, making what is missing if `make` says so.
pub(crate) fn resolve(
    root: BorrowedFd<'_>,
    path: &OsStr,
    make: Option<&mut Make<'_>>,
) -> Result<OwnedFd, Errno> {
    match walk(root, path, make)?.pop() {
        Some((fd, _)) => Ok(fd),
        None => rustix::io::fcntl_dupfd_cloexec(root, 0),
    }
}

/// Opens what `path` means inside `root`. By our own walk: where somebody renames or mounts, be it elsewhere, the kernel
/// refuses to go through `..` inside a root (EAGAIN), and on overlayfs it can refuse for ever (seen on Linux 6.18).
pub(crate) fn open(root: BorrowedFd<'_>, path: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut way = walk(root, path, None)?;
    match way.pop() {
        Some((_, name)) => openat(way.last().map_or(root, |(fd, _)| fd.as_fd()), name, flags, Mode::empty()),
        None => openat(root, ".", flags, Mode::empty()),
    }
}

/// The open directories from the root downwards to what `path` means, with their names.
fn walk(
    root: BorrowedFd<'_>,
    path: &OsStr,
    mut make: Option<&mut Make<'_>>,
) -> Result<Vec<(OwnedFd, OsString)>, Errno> {
    let mut todo: VecDeque<OsString> = components(path).collect();
    let mut way: Vec<(OwnedFd, OsString)> = Vec::new();
    let mut links = 0;
    while let Some(name) = todo.pop_front() {
        if name == ".." {
            way.pop();
            continue;
        }
        let parent = way.last().map_or(root, |(fd, _)| fd.as_fd());
        let found =
            match openat(parent, &name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
                Err(Errno::NOENT) if make.is_some() => {
                    let make = make.as_mut().expect("just checked");
                    let path: PathBuf = way.iter().map(|(_, name)| name).chain([&name]).collect();
                    create(parent, &name, &path, todo.is_empty(), make)?
                }
                other => other?,
            };
        if FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) != FileType::Symlink {
            way.push((found, name));
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(Errno::LOOP);
        }
        let target = OsString::from_vec(rustix::fs::readlinkat(&found, "", Vec::new())?.into_bytes());
        if target.as_bytes().starts_with(b"/") {
            way.clear();
        }
        for component in components(&target).collect::<Vec<_>>().into_iter().rev() {
            todo.push_front(component);
        }
    }
    Ok(way)
}

/// The names in a path; `.` and empty ones say nothing.
fn components(path: &OsStr) -> impl Iterator<Item = OsString> {
    path.as_bytes()
        .split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(|name| OsStr::from_bytes(name).to_owned())
}

fn create(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    path: &Path,
    is_last: bool,
    make: &mut Make<'_>,
) -> Result<OwnedFd, Errno> {
    make.around.before(parent, path)?;
    if is_last && make.leaf == Leaf::File {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(parent, name, flags, Mode::from_raw_mode(0o644))?;
    } else {
        mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    }
    let made = openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if make.owner != (0, 0) {
        let (uid, gid) = (Uid::from_raw(make.owner.0), Gid::from_raw(make.owner.1));
        rustix::fs::chownat(&made, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
    }
    make.around.after(parent)?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    struct Record(Vec<PathBuf>);

    impl Around for Record {
        fn before(&mut self, _: BorrowedFd<'_>, path: &Path) -> Result<(), Errno> {
            self.0.push(path.to_path_buf());
            Ok(())
        }
        fn after(&mut self, _: BorrowedFd<'_>) -> Result<(), Errno> {
            Ok(())
        }
    }

    fn make(root: &Path, path: &str, leaf: Leaf) -> Result<(u64, Vec<PathBuf>), Errno> {
        let mut record = Record(Vec::new());
        let mut make = Make { leaf, owner: (0, 0), around: &mut record };
        let root = File::open(root).unwrap();
        let fd = resolve(root.as_fd(), OsStr::new(path), Some(&mut make))?;
        Ok((rustix::fs::fstat(&fd)?.st_ino, record.0))
    }

    #[test]
    fn makes_what_is_missing_inside_the_root_whatever_links_say() {
        let base = tempfile::tempdir().unwrap();
        let root = base.path().join("root");
        std::fs::create_dir_all(root.join("run")).unwrap();
        symlink("../../../run/deep/resolv.conf", root.join("conf")).unwrap();
        symlink("/run", root.join("var-run")).unwrap();
        symlink("loop", root.join("loop")).unwrap();

        let (inode, made) = make(&root, "/conf", Leaf::File).unwrap();
        assert_eq!(made, [PathBuf::from("run/deep"), "run/deep/resolv.conf".into()]);
        assert_eq!(root.join("run/deep/resolv.conf").metadata().unwrap().ino(), inode);
        assert_eq!(make(&root, "conf/", Leaf::File).unwrap(), (inode, vec![]), "it is there now");

        let (_, made) = make(&root, "/var-run/./a//b/../c", Leaf::Directory).unwrap();
        assert_eq!(made, [PathBuf::from("run/a"), "run/a/b".into(), "run/a/c".into()]);
        assert_eq!(make(&root, "/../../..", Leaf::Directory).unwrap().0, root.metadata().unwrap().ino());
        assert_eq!(make(&root, "/loop/x", Leaf::Directory), Err(Errno::LOOP));
        assert_eq!(make(&root, "/conf/x", Leaf::Directory), Err(Errno::NOTDIR));
        assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 1, "nothing outside");
        let root = File::open(&root).unwrap();
        assert_eq!(resolve(root.as_fd(), OsStr::new("nothing"), None).unwrap_err(), Errno::NOENT);
        let inode = |fd: OwnedFd| rustix::fs::fstat(&fd).unwrap().st_ino;
        for path in ["conf", "/", "var-run/deep/../.."] {
            let opened = open(root.as_fd(), OsStr::new(path), OFlags::RDONLY).map(inode);
            assert_eq!(opened, resolve(root.as_fd(), OsStr::new(path), None).map(inode), "{path}");
        }
    }
}
