//! Removing trees through descriptors.
//!
//! What is removed here was written by commands out of a Dockerfile, and something may still be mounted in it: another
//! builder once emptied the host's `/dev` through a bind mount that had been left behind. So no link is followed, and
//! a directory with another mount id or device than its parent stops the removal. How the walk goes: `tree.rs`.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, unlinkat};
use rustix::io::Errno;

use crate::tree::{self, Visitor};

/// Removes `path` and everything below it. Never follows a symbolic link and never crosses into another mount. A path
/// that does not exist is no error.
///
/// # Errors
///
/// Of the system. `EXDEV` if something is mounted in the tree: that is left alone, with the way that leads to it. What
/// could be removed until then is gone.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    // A trailing slash would follow a link.
    let path: PathBuf = path.components().collect();
    match unlinkat(CWD, &path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // Linux says EISDIR, POSIX EPERM.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::INVAL.into());
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    // The way to the tree may lead through mounts and links; from its own name on, none may come.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::openat(CWD, parent, flags, Mode::empty())?;
    let name = CString::new(name.as_bytes())?;
    let top = match tree::open_below(&parent, &name) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            permit(&parent, &name)?;
            tree::open_below(&parent, &name)?
        }
        other => other?,
    };
    tree::walk(top, &mut Remover)?;
    Ok(unlinkat(&parent, &name, AtFlags::REMOVEDIR)?)
}

struct Remover;

impl Visitor for Remover {
    fn enter(&mut self, directory: &OwnedFd) -> io::Result<Vec<CString>> {
        let mut directories = Vec::new();
        let mut permitted = false;
        for (name, kind) in tree::names(directory)? {
            // Removing any name needs write permission here, which a command may have taken away.
            if kind == FileType::Directory {
                if !permitted {
                    permitted = true;
                    permit_open(directory)?;
                }
                directories.push(name);
                continue;
            }
            let mut result = unlinkat(directory, &name, AtFlags::empty());
            if result == Err(Errno::ACCESS) && !permitted {
                permitted = true;
                permit_open(directory)?;
                result = unlinkat(directory, &name, AtFlags::empty());
            }
            match result {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(directories)
    }

    fn leave(&mut self, parent: &OwnedFd, name: &CStr) -> io::Result<()> {
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn refused(&mut self, parent: &OwnedFd, name: &CStr) -> io::Result<bool> {
        permit(parent, name)?;
        Ok(true)
    }
}

/// Gives the owner all permissions on the open directory, if some are missing.
fn permit_open(directory: &OwnedFd) -> io::Result<()> {
    let mode = Mode::from_raw_mode(rustix::fs::fstat(directory)?.st_mode & 0o7777);
    if mode.contains(Mode::RWXU) {
        return Ok(());
    }
    Ok(rustix::fs::fchmod(directory, mode | Mode::RWXU)?)
}

/// Gives the owner all permissions on a directory that cannot be opened. `chmodat` would follow a link, so the name is
/// looked at first: whoever could put a link there now could have changed what it points to himself.
fn permit(parent: &OwnedFd, name: &CStr) -> io::Result<()> {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(Errno::NOTDIR.into());
    }
    Ok(rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?)
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
        remove_tree(&tree).unwrap();
        symlink(&keep, &tree).unwrap();
        remove_tree(&tree.join("")).unwrap();
        assert!(tree.symlink_metadata().is_err());
        assert_eq!(fs::read_to_string(keep.join("file")).unwrap(), "precious");
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
        assert_eq!(tree::measure(&tree).unwrap().entries, 3000);
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn measures_each_file_once() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("d")).unwrap();
        fs::write(base.path().join("d/a"), "12345").unwrap();
        fs::hard_link(base.path().join("d/a"), base.path().join("b")).unwrap();
        symlink("a", base.path().join("d/link")).unwrap();
        let found = tree::measure(base.path()).unwrap();
        assert_eq!(found, tree::Measure { entries: 4, directories: 1, bytes: 5, hides: false });
    }
}
