//! `/dev` of the step: a small file system in memory with the usual nodes, each made or bound on its own.
//!
//! The host's `/dev` is never mounted as a tree, not even read-only: a clean-up that walks into a leftover of such a
//! mount empties the host's directory.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, chmodat, makedev, mkdirat, mknodat, openat, symlinkat};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::proc::place_directory;
use crate::error::Context as _;
use crate::stubs::Stubs;
use crate::{Error, mounts};

/// Name, major and minor number.
const NODES: &[(&str, u32, u32)] =
    &[("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Docker's size of `/dev/shm` and of `/dev` itself, in kibibytes.
const SIZE: &str = "65536k";
/// Group `tty` on every distribution: who may write to a terminal.
const TTY_GROUP: &str = "5";

/// Mounts it and returns the mount. Unless the step is an `insecure` one, nodes that are made in it later cannot be opened.
pub(super) fn mount(
    root: &OwnedFd,
    shm_bytes: Option<u64>,
    insecure: bool,
    stubs: &mut Stubs,
) -> Result<OwnedFd, Error> {
    let options = [("mode", "0755"), ("size", SIZE)];
    let dev = mounts::new("tmpfs", &options, MountAttrFlags::MOUNT_ATTR_NOSUID).mounting("tmpfs", "/dev")?;
    // Attached before it is filled: on the nodes of a user namespace something is mounted, which needs a place.
    mounts::attach(&dev, place_directory(root, "/dev", stubs)?).mounting("tmpfs", "/dev")?;
    for &(name, major, minor) in NODES {
        make_node(&dev, name, major, minor).mounting(format!("/dev/{name}"), format!("/dev/{name}"))?;
    }
    if !insecure {
        only_these(&dev).mounting("tmpfs", "/dev")?;
    }
    for &(name, target) in LINKS {
        symlinkat(target, &dev, name).mounting("link", format!("/dev/{name}"))?;
    }
    mount_terminals(&dev)?;
    let size = shm_bytes.map_or_else(|| SIZE.to_owned(), |bytes| bytes.to_string());
    let shm = [("mode", "1777"), ("size", size.as_str())];
    let shm = mounts::new("tmpfs", &shm, mounts::DATA_ONLY).mounting("tmpfs", "/dev/shm")?;
    attach_below(&dev, "shm", &shm)?;
    // Only kernels with POSIX message queues have it.
    if let Ok(queues) = mounts::new("mqueue", &[], mounts::DATA_ONLY) {
        attach_below(&dev, "mqueue", &queues)?;
    }
    Ok(dev)
}

fn make_node(dev: &OwnedFd, name: &str, major: u32, minor: u32) -> std::io::Result<()> {
    let mode = Mode::from_raw_mode(0o666);
    match mknodat(dev, name, FileType::CharacterDevice, mode, makedev(major, minor)) {
        // Our umask may have taken bits away.
        Ok(()) => Ok(chmodat(dev, name, mode, rustix::fs::AtFlags::empty())?),
        // In a user namespace nobody makes devices; the host's node, and only this node, is bound.
        Err(Errno::PERM) => {
            let Ok(node) = mounts::clone_path(&Path::new("/dev").join(name), false) else {
                // The container around us has no such node; then the step has none either.
                return Ok(());
            };
            let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
            openat(dev, name, flags, mode)?;
            mounts::attach(&node, place(dev.as_fd(), name)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// No other node can be opened: each of ours becomes a mount of its own, then the file system around them loses the right
/// to have devices.
fn only_these(dev: &OwnedFd) -> std::io::Result<()> {
    for (name, ..) in NODES {
        // In a user namespace each is a mount already, and some may be missing.
        if let Ok(node) = place(dev.as_fd(), name) {
            mounts::attach(mounts::clone(&node, Path::new(""), false)?, &node)?;
        }
    }
    mounts::restrict(dev, MountAttrFlags::MOUNT_ATTR_NODEV, false)
}

fn mount_terminals(dev: &OwnedFd) -> Result<(), Error> {
    let options = [("ptmxmode", "0666"), ("mode", "0620"), ("gid", TTY_GROUP)];
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let terminals = mounts::new("devpts", &options, attributes)
        // With few mapped ids there is no such group.
        .or_else(|_| mounts::new("devpts", &options[..2], attributes))
        .mounting("devpts", "/dev/pts")?;
    attach_below(dev, "pts", &terminals)
}

fn attach_below(dev: &OwnedFd, name: &str, mount: &OwnedFd) -> Result<(), Error> {
    let target = format!("/dev/{name}");
    mkdirat(dev, name, Mode::from_raw_mode(0o755)).mounting(name, &target)?;
    mounts::attach(mount, place(dev.as_fd(), name).mounting(name, &target)?).mounting(name, &target)
}

fn place(dev: BorrowedFd<'_>, name: &str) -> std::io::Result<OwnedFd> {
    Ok(openat(dev, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?)
}
