//! Overlay mounts that are attached nowhere: a descriptor is all there is, and closing it ends the mount.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::Error;

/// Mounts `lowers` (top first, may be empty), and `upper` with its `work` directory if it is to be writable.
///
/// The descriptor is the root directory of the merged tree: use it with `openat2`. Nothing appears in any directory.
/// Always mounted with `userxattr`, so that trees mean the same for root and for a plain user.
pub fn mount_overlay(lowers: &[PathBuf], upper: Option<(&Path, &Path)>) -> Result<OwnedFd, Error> {
    let _ = (lowers, upper);
    Err(Error::Internal("not there yet".into()))
}
