//! The file system that a step left, as one directory descriptor to read from or write to.
//!
//! A file system is a stack of snapshot directories (crate `store`); the kernel's overlayfs merges them. The mount is
//! detached: it is seen through its descriptor only, is attached nowhere, and is gone when the descriptor is closed.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use jettison_sandbox::overlay;
use jettison_store::{SnapshotId, Store};
use rustix::fs::{FileType, Mode, OFlags};

use crate::error::Error;
use crate::ownership::Accounts;

/// Largest `/etc/passwd` or `/etc/group` that is read, bytes (BuildKit's limit).
const ACCOUNTS_BYTES_MAX: u64 = 10 << 20;

/// A merged, read-only view of `snapshot`; of nothing for `None`.
pub(crate) fn open(store: &Store, snapshot: Option<&SnapshotId>) -> Result<OwnedFd, Error> {
    let mut lowers = match snapshot {
        Some(id) => store.chain(id)?,
        None => return open_directory(store.empty_dir()),
    };
    if lowers.len() == 1 {
        // overlayfs wants two lower directories for a view without an upper one.
        lowers.push(store.empty_dir().to_owned());
    }
    mount(&lowers, None)
}

/// The same for whoever reads only and hands it to nobody: a snapshot that is all there is need not be mounted. An overlay
/// makes an inode of its own for each file that is looked at, which costs more than looking.
pub(crate) fn open_to_read(store: &Store, snapshot: Option<&SnapshotId>) -> Result<OwnedFd, Error> {
    let lone = snapshot.map_or(Ok(None), |id| store.lone_directory(id))?;
    lone.map_or_else(|| open(store, snapshot), |directory| open_directory(&directory))
}

/// A merged, writable view: changes go to `upper`.
pub(crate) fn open_writable(lowers: &[PathBuf], upper: &Path, work: &Path) -> Result<OwnedFd, Error> {
    if lowers.is_empty() {
        return open_directory(upper);
    }
    mount(lowers, Some((upper, work)))
}

fn mount(lowers: &[PathBuf], upper: Option<(&Path, &Path)>) -> Result<OwnedFd, Error> {
    overlay::mount_overlay(lowers, upper)
        .map_err(|source| Error::Mount { what: "cannot mount an overlay file system".to_owned(), source })
}

/// Opens a directory as it is.
pub(crate) fn open_directory(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|e| Error::io("open", path)(e.into()))
}

/// The directories of `snapshot` and all below it, top first.
pub(crate) fn open_chain(store: &Store, snapshot: &SnapshotId) -> Result<Vec<OwnedFd>, Error> {
    store.chain(snapshot)?.iter().map(|path| open_directory(path)).collect()
}

/// Opens `path` inside `root`, wherever links lead, never outside.
pub(crate) fn open_inside(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> std::io::Result<OwnedFd> {
    Ok(jettison_layer::open_in_root(root, path.as_bytes(), flags)?)
}

/// `/etc/passwd` and `/etc/group` of a root file system.
pub(crate) fn accounts(root: &OwnedFd) -> Accounts {
    Accounts { passwd: account_file(root, "etc/passwd"), group: account_file(root, "etc/group") }
}

fn account_file(root: &OwnedFd, path: &str) -> Option<Vec<u8>> {
    let file = File::from(open_inside(root.as_fd(), path, OFlags::RDONLY | OFlags::NONBLOCK).ok()?);
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > ACCOUNTS_BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(ACCOUNTS_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Names and kinds in a directory.
pub(crate) fn entries(directory: &OwnedFd) -> std::io::Result<Vec<(CString, FileType)>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            let kind = match entry.file_type() {
                FileType::Unknown => {
                    let stat = rustix::fs::statat(directory, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
                    FileType::from_raw_mode(stat.st_mode)
                }
                kind => kind,
            };
            names.push((name.to_owned(), kind));
        }
    }
    Ok(names)
}
