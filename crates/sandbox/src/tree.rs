//! Removing trees through descriptors.
//!
//! What is removed here was written by commands out of a Dockerfile, so the tree may be as hostile as it likes: links,
//! depth, directories without permissions. And something may be mounted in it: another builder once emptied the host's
//! `/dev` through a bind mount that had been left behind. So every directory is opened by its own name under its
//! parent, without following links and without crossing into another mount.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, unlinkat};
use rustix::io::Errno;

/// Removes `path` and everything below it. Never follows a symbolic link and never crosses into another mount (then
/// it fails with `EXDEV` and leaves that mount alone). A path that does not exist is no error.
///
/// # Errors
/// Of the kernel; what could be removed until then is gone.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    // A trailing slash would follow a link.
    let path: &Path = &path.components().collect::<std::path::PathBuf>();
    match unlinkat(CWD, path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    // The way to the tree may lead through mounts and links; from its own name on, none may come.
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::openat(CWD, parent, flags, Mode::empty())?;
    let name = CString::new(name.as_bytes())?;
    empty(open_below(&parent, &name)?)?;
    Ok(unlinkat(&parent, &name, AtFlags::REMOVEDIR)?)
}

/// One directory on the way down: what is still to be looked at in it.
struct Level {
    /// Its name in its parent.
    name: CString,
    /// Device and inode, to recognise it on the way up.
    identity: (u64, u64),
    /// Its subdirectories that remain.
    rest: Vec<CString>,
}

/// Empties a directory. Holds two descriptors however deep the tree is: upwards it goes by `..`, checking that this is
/// where it came from (somebody might move directories meanwhile).
fn empty(top: OwnedFd) -> io::Result<()> {
    let mut here = top;
    let mut levels =
        vec![Level { name: CString::default(), identity: identity(&here)?, rest: clear(&here)? }];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.rest.pop() {
            let below = open_below(&here, &name)?;
            let rest = clear(&below)?;
            levels.push(Level { name, identity: identity(&below)?, rest });
            here = below;
            continue;
        }
        let done = levels.pop().expect("the loop has a last level");
        let Some(parent) = levels.last() else { break };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let above = rustix::fs::openat(&here, "..", flags, Mode::empty())?;
        if identity(&above)? != parent.identity {
            return Err(io::Error::other("a directory was moved while its tree was being removed"));
        }
        unlinkat(&above, &done.name, AtFlags::REMOVEDIR)?;
        here = above;
    }
    Ok(())
}

fn open_below(parent: &OwnedFd, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve) {
        Err(Errno::ACCESS) => {
            // A directory of ours without permissions: give them and try again.
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            Ok(rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve)?)
        }
        other => Ok(other?),
    }
}

fn identity(directory: &OwnedFd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(directory)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Removes everything in a directory that is not a directory; returns the directories.
fn clear(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut directories = Vec::new();
    let mut writable = false;
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        if entry.file_type() == FileType::Directory {
            directories.push(name.to_owned());
            continue;
        }
        let mut result = unlinkat(directory, name, AtFlags::empty());
        if result == Err(Errno::ACCESS) && !writable {
            writable = true;
            rustix::fs::fchmod(directory.as_fd(), Mode::RWXU)?;
            result = unlinkat(directory, name, AtFlags::empty());
        }
        match result {
            Ok(()) | Err(Errno::NOENT) => {}
            // The kind was unknown to the file system and it is a directory after all.
            Err(Errno::ISDIR) => directories.push(name.to_owned()),
            Err(error) => return Err(error.into()),
        }
    }
    if !directories.is_empty() && !writable {
        // Removing a subdirectory needs write permission here; root has it anyway.
        let mode = Mode::from_raw_mode(rustix::fs::fstat(directory)?.st_mode & 0o7777);
        if !mode.contains(Mode::RWXU) {
            rustix::fs::fchmod(directory.as_fd(), mode | Mode::RWXU)?;
        }
    }
    Ok(directories)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn removes_files_links_and_directories_but_nothing_behind_a_link() {
        let base = tempfile::tempdir().unwrap();
        let (keep, tree) = (base.path().join("keep"), base.path().join("tree"));
        fs::create_dir_all(&keep).unwrap();
        fs::write(keep.join("file"), "precious").unwrap();
        fs::create_dir_all(tree.join("a/b/c")).unwrap();
        fs::write(tree.join("a/b/file"), "x").unwrap();
        symlink(&keep, tree.join("a/link")).unwrap();
        symlink("/nowhere", tree.join("dangling")).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        assert_eq!(fs::read_to_string(keep.join("file")).unwrap(), "precious");
        remove_tree(&tree).unwrap();
        symlink(&keep, &tree).unwrap();
        remove_tree(&tree.join("")).unwrap();
        assert!(keep.join("file").exists() && tree.symlink_metadata().is_err());
    }

    #[test]
    fn stops_at_a_mount_and_leaves_it_alone() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: mounting needs root");
            return;
        }
        let base = tempfile::tempdir().unwrap();
        let (tree, keep) = (base.path().join("tree"), base.path().join("keep"));
        fs::create_dir_all(tree.join("sub/mounted")).unwrap();
        fs::create_dir(&keep).unwrap();
        fs::write(keep.join("file"), "precious").unwrap();
        // A thread with a mount namespace of its own, so that nobody else ever sees the mount.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
                crate::sys::unshare(rustix::thread::UnshareFlags::NEWNS).unwrap();
                mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).unwrap();
                for place in ["sub/mounted", ""] {
                    mount_bind(&keep, tree.join(place)).unwrap();
                    let error = remove_tree(&tree).unwrap_err();
                    assert_eq!(error.raw_os_error(), Some(libc::EXDEV), "{error}");
                }
            });
        });
        assert_eq!(fs::read_to_string(keep.join("file")).unwrap(), "precious");
        remove_tree(&tree).unwrap();
    }

    #[test]
    fn removes_what_has_no_permissions() {
        let base = tempfile::tempdir().unwrap();
        let tree = base.path().join("tree");
        fs::create_dir_all(tree.join("locked/inner")).unwrap();
        fs::write(tree.join("locked/file"), "x").unwrap();
        for path in ["locked/inner", "locked", ""] {
            fs::set_permissions(tree.join(path), fs::Permissions::from_mode(0o0)).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn removes_trees_deeper_than_a_path_may_be_long_and_than_there_are_descriptors() {
        let base = tempfile::tempdir().unwrap();
        let tree = base.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut here: OwnedFd = fs::File::open(&tree).unwrap().into();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&here, "dddddddd", Mode::RWXU).unwrap();
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            here = rustix::fs::openat(&here, "dddddddd", flags, Mode::empty()).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }
}
