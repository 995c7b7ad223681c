//! The root of the step: mounted by the supervisor, entered by pid 1.
//!
//! ```text
//! base (tmpfs, over the overlay's work directory, which nobody needs to see)
//! ├── root      mount point of the step's root
//! ├── 0, 1, …   contents of files that are mounted from memory, and places for overlays that are mounted from
//! ```
//!
//! The base goes away with the old root when pid 1 pivots; the files stay alive through the mounts made of them.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::mount::{MountAttrFlags, UnmountFlags, unmount};
use rustix::process::{chroot, fchdir, pivot_root};

use super::identity::User;
use crate::error::Context as _;
use crate::in_root::{Leaf, Make, Unobserved, resolve};
use crate::stubs::Stubs;
use crate::{Errno, Error, Root, mounts, overlay};

/// Name of the mount point inside the base.
const NAME: &str = "root";

/// The mounted root.
pub(super) struct MountedRoot {
    base: OwnedFd,
    directory: OwnedFd,
}

impl MountedRoot {
    /// The directory that will be `/`.
    pub(super) fn directory(&self) -> &OwnedFd {
        &self.directory
    }

    /// The directory that holds it.
    pub(super) fn base(&self) -> &OwnedFd {
        &self.base
    }

    /// Removes mount points, when nobody is inside any more.
    pub(super) fn remove(&self, stubs: &Stubs) {
        // A mount point cannot be removed in a namespace where something is mounted on it. (The root itself, with all
        // that is on it, cannot be detached in a user namespace: it is as locked as the one that it replaced.)
        stubs.remove(self.directory.as_fd(), |parent, name| {
            let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
            while fchdir(parent).and_then(|()| unmount(name, flags)).is_ok() {}
        });
    }
}

/// Mounts it.
pub(super) fn mount(root: &Root) -> Result<MountedRoot, Error> {
    let (tree, place) = match root {
        Root::Overlay { lowers, upper, work } => (overlay::detached(lowers, Some((upper, work)))?, work),
        Root::Directory(path) => {
            (mounts::clone_path(path, false).mounting(path.display().to_string(), "/")?, path)
        }
    };
    // After the overlay has taken hold of the directories: the base hides one of them.
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place =
        openat(CWD, place, directory, Mode::empty()).mounting("tmpfs", place.display().to_string())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let base = mounts::new("tmpfs", &[("mode", "0700")], attributes).mounting("tmpfs", "(base)")?;
    mounts::attach(&base, &place).mounting("tmpfs", "(base)")?;
    mkdirat(&base, NAME, Mode::RWXU).mounting("root", "/")?;
    mounts::attach(&tree, openat(&base, NAME, directory, Mode::empty()).mounting("root", "/")?)
        .mounting("root", "/")?;
    // Looked up again: now the name leads to what is mounted there.
    let directory = openat(&base, NAME, directory, Mode::empty()).mounting("root", "/")?;
    Ok(MountedRoot { base, directory })
}

/// Makes the working directory, and what is missing above it, owned by the step's user (BuildKit does so, and they stay
/// in the layer).
pub(super) fn make_working_directory(root: &OwnedFd, path: &str, user: &User) -> Result<(), Error> {
    let mut make = Make { leaf: Leaf::Directory, owner: (user.uid, user.gid), around: &mut Unobserved };
    match resolve(root.as_fd(), path.as_ref(), Some(&mut make)) {
        Ok(_) => Ok(()),
        Err(errno) => Err(Error::WorkingDirectory { path: path.to_owned(), errno: Errno::from(errno) }),
    }
}

/// Makes `directory` the root of this process and lets go of the old one.
pub(super) fn enter(directory: &OwnedFd) -> Result<(), Error> {
    fchdir(directory).mounting("root", "/")?;
    match pivot_root(".", ".") {
        Ok(()) => {
            // The old root now lies over the new one, at the current directory.
            unmount(".", UnmountFlags::DETACH).mounting("detach the old root", "/")?;
        }
        // The root of an initramfs, and of a process in a chroot, cannot be swapped. Cover it instead.
        Err(rustix::io::Errno::INVAL) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let old = openat(CWD, "/", flags, Mode::empty()).mounting("root", "/")?;
            mounts::attach(directory, &old).mounting("root", "/")?;
            chroot(".").mounting("root", "/")?;
        }
        Err(errno) => return Err(errno).mounting("pivot_root", "/"),
    }
    rustix::process::chdir("/").mounting("root", "/")
}
