//! The new mount API in the shapes that we need: a mount is made detached, restricted, and only then attached.
//!
//! Everything is addressed by descriptors, so that no path is resolved twice and nothing depends on what lies above it.
//! Read-only is set before a mount becomes visible: there is no moment in which it could be written through.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use crate::sys;

/// What nothing but programs needs: no set-user-id, no devices, no execution.
pub(crate) const DATA_ONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// Refuse writes.
pub(crate) const READ_ONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY;

/// Makes a file system of a kind that needs no device. An option with an empty value is a flag.
pub(crate) fn new(kind: &str, options: &[(&str, &str)], attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    // What /proc/mounts shows first; programs expect the name of the kind there.
    fsconfig_set_string(&context, "source", kind)?;
    for &(key, value) in options {
        if value.is_empty() {
            fsconfig_set_flag(&context, key)?;
        } else {
            fsconfig_set_string(&context, key, value)?;
        }
    }
    fsconfig_create(&context)?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// A detached copy of the mount at `path` (relative to `at`; empty for `at` itself), starting there: a bind mount that
/// is attached nowhere yet.
pub(crate) fn clone(at: impl AsFd, path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if path.as_os_str().is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    match open_tree(at.as_fd(), path, flags) {
        // In a user namespace the mounts below a directory that came from outside may not be taken away, because that
        // could uncover what they hide. Then they come along.
        Err(Errno::INVAL) if !recursive => clone(at, path, true),
        other => Ok(other?),
    }
}

/// The same for a path of the host.
pub(crate) fn clone_path(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    clone(CWD, path, recursive)
}

/// Adds restrictions to a mount and, if `recursive`, to all beneath it.
pub(crate) fn restrict(mount: impl AsFd, attributes: MountAttrFlags, recursive: bool) -> io::Result<()> {
    sys::add_mount_attributes(mount.as_fd(), attributes, recursive)
}

/// Attaches a detached mount on a file or directory of our mount namespace.
pub(crate) fn attach(mount: impl AsFd, target: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount.as_fd(), "", target.as_fd(), "", flags)?)
}

/// Identifies the mount on which a descriptor lies.
pub(crate) fn mount_id(of: BorrowedFd<'_>) -> io::Result<u64> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::statx(of, "", flags, StatxFlags::MNT_ID)?.stx_mnt_id)
}
