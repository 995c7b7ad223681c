//! Mount points that had to be made, and how they disappear again (run-time facts: what BuildKit's own clean-up does).
//!
//! A mount needs something to lie on. What was missing is made before the step and removed after it, deepest first,
//! unless the step has put something into it. Directories in which something was made get their times back at once, so
//! the step sees them as they were, and a step that does nothing leaves no layer.
//!
//! The child that becomes pid 1 makes them; its parent removes them, and what is mounted on them, when everything inside
//! has ended. The list travels between the two as JSON.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::in_root::Around;
use crate::mounts::mount_id;

/// Mount points made in the root itself (not in other mounts on it), in the order in which they were made.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stubs {
    /// Paths relative to the root, free of links, as bytes.
    made: Vec<Vec<u8>>,
}

/// Records into [`Stubs`] what is made on one mount.
pub(crate) struct Recorder<'a> {
    stubs: &'a mut Stubs,
    /// The mount of the root.
    mount: u64,
    /// The parent's times, between before and after.
    times: Option<Timestamps>,
}

impl Stubs {
    /// Watches what is made in `root`.
    pub(crate) fn recorder(&mut self, root: BorrowedFd<'_>) -> Result<Recorder<'_>, Errno> {
        let mount = mount_id(root).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        Ok(Recorder { stubs: self, mount, times: None })
    }

    /// Removes what is still empty. What cannot be removed stays: this is tidying, not worth failing a step.
    /// `uncover` is called before with each one's directory and name.
    pub(crate) fn remove(&self, root: BorrowedFd<'_>, uncover: impl Fn(BorrowedFd<'_>, &OsStr)) {
        for path in self.made.iter().rev() {
            let path = PathBuf::from(OsString::from_vec(path.clone()));
            let _ = remove_one(root, &path, &uncover);
        }
    }
}

impl Around for Recorder<'_> {
    fn before(&mut self, parent: BorrowedFd<'_>, path: &Path) -> Result<(), Errno> {
        self.times = None;
        let on_root = mount_id(parent).is_ok_and(|mount| mount == self.mount);
        if on_root {
            self.stubs.made.push(path.as_os_str().as_bytes().to_vec());
            self.times = Some(times(parent)?);
        }
        Ok(())
    }

    fn after(&mut self, parent: BorrowedFd<'_>) -> Result<(), Errno> {
        match self.times.take() {
            Some(times) => set_times(parent, &times),
            None => Ok(()),
        }
    }
}

fn remove_one(
    root: BorrowedFd<'_>,
    path: &Path,
    uncover: impl Fn(BorrowedFd<'_>, &OsStr),
) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // The step may have put a link where one of our directories was; then it is no stub any more.
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = rustix::fs::openat2(root, folder, flags, Mode::empty(), resolve)?;
    let name = path.file_name().ok_or(Errno::INVAL)?;
    uncover(parent.as_fd(), name);
    let stat = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let how = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => AtFlags::REMOVEDIR,
        FileType::RegularFile if stat.st_size == 0 => AtFlags::empty(),
        _ => return Ok(()),
    };
    // If the step changed the directory, these are its times; if not, they are those from before the step.
    let times = times(parent.as_fd())?;
    rustix::fs::unlinkat(&parent, name, how)?;
    set_times(parent.as_fd(), &times)
}

fn times(directory: BorrowedFd<'_>) -> Result<Timestamps, Errno> {
    let stat = rustix::fs::fstat(directory)?;
    Ok(Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime as _, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: stat.st_mtime as _, tv_nsec: stat.st_mtime_nsec as _ },
    })
}

fn set_times(directory: BorrowedFd<'_>, times: &Timestamps) -> Result<(), Errno> {
    // `directory` may be O_PATH, whose times cannot be set.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open: OwnedFd = rustix::fs::openat(directory, ".", flags, Mode::empty())?;
    rustix::fs::futimens(&open, times)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;
    use crate::in_root::{Leaf, Make, resolve};

    fn make(root: &Path, stubs: &mut Stubs, path: &str, leaf: Leaf) {
        let root = File::open(root).unwrap();
        let mut recorder = stubs.recorder(root.as_fd()).unwrap();
        let mut make = Make { leaf, owner: (0, 0), around: &mut recorder };
        resolve(root.as_fd(), OsStr::new(path), Some(&mut make)).unwrap();
    }

    fn remove(root: &Path, stubs: &Stubs) {
        stubs.remove(File::open(root).unwrap().as_fd(), |_, _| {});
    }

    fn mtime(path: &Path) -> (i64, i64) {
        let metadata = path.metadata().unwrap();
        (metadata.mtime(), metadata.mtime_nsec())
    }

    fn old(path: &Path) {
        let time = Timespec { tv_sec: 1000, tv_nsec: 7 };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::futimens(File::open(path).unwrap(), &times).unwrap();
    }

    #[test]
    fn leaves_no_trace_and_restores_times() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc");
        std::fs::create_dir(&etc).unwrap();
        old(&etc);
        old(root.path());
        let mut stubs = Stubs::default();
        make(root.path(), &mut stubs, "/etc/hosts", Leaf::File);
        make(root.path(), &mut stubs, "/etc/resolv.conf", Leaf::File);
        make(root.path(), &mut stubs, "/a/b/c", Leaf::Directory);
        assert!(etc.join("hosts").exists() && root.path().join("a/b/c").is_dir());
        assert_eq!(mtime(&etc), (1000, 7), "the step already sees the old time");
        remove(root.path(), &stubs);
        assert_eq!(mtime(&etc), (1000, 7));
        assert_eq!(mtime(root.path()), (1000, 7));
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
        assert_eq!(std::fs::read_dir(&etc).unwrap().count(), 0);
    }

    #[test]
    fn keeps_what_the_step_has_used() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir(at("etc")).unwrap();
        let mut stubs = Stubs::default();
        make(root.path(), &mut stubs, "/a/b/c", Leaf::Directory);
        make(root.path(), &mut stubs, "/etc/file", Leaf::File);
        make(root.path(), &mut stubs, "/moved/target", Leaf::File);
        std::fs::write(at("a/other"), "").unwrap();
        std::fs::write(at("etc/file"), "text").unwrap();
        std::fs::remove_dir_all(at("moved")).unwrap();
        std::fs::create_dir(at("elsewhere")).unwrap();
        std::fs::write(at("elsewhere/target"), "").unwrap();
        symlink("elsewhere", at("moved")).unwrap();
        old(&at("etc"));
        remove(root.path(), &stubs);
        assert!(at("a/other").exists() && !at("a/b").exists());
        assert_eq!(std::fs::read_to_string(at("etc/file")).unwrap(), "text");
        assert!(at("elsewhere/target").exists(), "not through a link");
        assert_eq!(mtime(&at("etc")), (1000, 7), "times that the step has set stay");
    }
}
