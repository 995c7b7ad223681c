//! Our own program, as something that a child can execute and a step cannot overwrite.
//!
//! A step runs as a child of our program; until its own program is executed, `/proc/self/exe` is ours. An image whose
//! command is `/proc/self/exe` would so get hold of our file and, as root without a user namespace, could write to it
//! (CVE-2019-5736 of runc). Therefore children are executed through a detached read-only mount of the file, where
//! writing fails with EROFS whoever tries.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{CWD, Mode, OFlags};

use crate::{mounts, sys};

static EXECUTABLE: OnceLock<Executable> = OnceLock::new();

/// The program.
pub(crate) struct Executable {
    /// What to execute.
    pub(crate) path: CString,
    /// Keeps the path valid.
    _fd: Option<OwnedFd>,
}

/// Finds it once. Call after [`crate::enter`], which may be what gives us the right to mount.
pub(crate) fn own() -> io::Result<&'static Executable> {
    if let Some(executable) = EXECUTABLE.get() {
        return Ok(executable);
    }
    let executable = find()?;
    Ok(EXECUTABLE.get_or_init(|| executable))
}

fn find() -> io::Result<Executable> {
    let link = Path::new("/proc/self/exe");
    let Ok(itself) = rustix::fs::openat(CWD, link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else {
        // No /proc (an empty chroot): the path by which we were started, made absolute.
        let path =
            sys::executed_path().ok_or_else(|| io::Error::other("the path of our own program is unknown"))?;
        let path: PathBuf = std::ffi::OsStr::from_bytes(path.as_bytes()).into();
        let path = CString::new(std::path::absolute(path)?.as_os_str().as_bytes())?;
        return Ok(Executable { path, _fd: None });
    };
    let fd = read_only_mount(link, &itself).unwrap_or(itself);
    Ok(Executable { path: CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd()))?, _fd: Some(fd) })
}

/// Fails where we may not mount, and if the file has been replaced since we were started.
fn read_only_mount(link: &Path, itself: &OwnedFd) -> io::Result<OwnedFd> {
    // The link itself leads to a mount of the namespace in which we were started, which may not be cloned.
    let mount = mounts::clone_path(&std::fs::read_link(link)?, false)?;
    mounts::restrict(&mount, mounts::READ_ONLY, false)?;
    let (a, b) = (rustix::fs::fstat(&mount)?, rustix::fs::fstat(itself)?);
    if (a.st_dev, a.st_ino) != (b.st_dev, b.st_ino) {
        return Err(io::Error::other("the program has been replaced"));
    }
    Ok(mount)
}
