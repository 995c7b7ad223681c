//! The second half of applying a layer: what only the layers below can say.
//!
//! Layers are unpacked side by side into directories of their own. A tar that lists `a/b` without `a` then has a
//! directory `a` that must look like the one below it; and a hard link to a file of a lower layer becomes a copy, as
//! it does when overlayfs copies a file up.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::apply::{self, Applied};
use crate::diff::look_up;
use crate::inside::{self, NO_LINKS};
use crate::{Entry, Error, Kind};

/// Completes the layer in `layer` on top of `lowers` (top first).
pub fn complete(layer: &Path, lowers: &[PathBuf], applied: &Applied) -> Result<(), Error> {
    let open = |path: &Path| -> Result<OwnedFd, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map_err(Error::io("open", path.as_os_str().as_bytes()))
    };
    let root = open(layer)?;
    let opened = lowers.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
    let below: Vec<BorrowedFd<'_>> = opened.iter().map(AsFd::as_fd).collect();
    for (link, target) in &applied.foreign_links {
        copy_up(root.as_fd(), &below, link.as_os_str().as_bytes(), target.as_os_str().as_bytes())?;
    }
    // Deepest last made, first done: setting times on a parent must come after its children.
    for path in applied.implied_dirs.iter().rev() {
        let path = path.as_os_str().as_bytes();
        match look_up(&below, path)? {
            Some(entry) if entry.kind == Kind::Directory => take_metadata(root.as_fd(), path, &entry)?,
            Some(Entry { kind: Kind::Symlink { .. }, .. }) => {
                return Err(Error::invalid(
                    path,
                    "the layer writes through a symbolic link of a lower layer",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

fn take_metadata(root: BorrowedFd<'_>, path: &[u8], entry: &Entry) -> Result<(), Error> {
    let failed = Error::io("set the attributes of", path);
    let directory = inside::open_dir(root, path, NO_LINKS).map_err(Error::io("open", path))?;
    apply::set_owner_mode_xattrs(directory.as_fd(), entry)
        .and_then(|()| rustix::fs::futimens(&directory, &apply::times(entry)))
        .map_err(failed)
}

fn copy_up(root: BorrowedFd<'_>, lowers: &[BorrowedFd<'_>], link: &[u8], target: &[u8]) -> Result<(), Error> {
    let missing = || Error::invalid(link, "a hard link to a file that is not there");
    let entry = look_up(lowers, target)?.ok_or_else(missing)?;
    if !matches!(entry.kind, Kind::File { .. }) {
        return Err(Error::invalid(link, "a hard link to something that is no file of a lower layer"));
    }
    let source = lowers.iter().find_map(|lower| inside::open(*lower, target, OFlags::RDONLY, NO_LINKS).ok());
    let mut source = File::from(source.ok_or_else(missing)?);
    let (parent, name) = inside::split(link);
    let parent = inside::open_dir(root, parent, NO_LINKS).map_err(Error::io("open", link))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o600))
        .map_err(Error::io("make", link))?;
    let mut file = File::from(file);
    std::io::copy(&mut source, &mut file).map_err(Error::Write)?;
    let file = OwnedFd::from(file);
    apply::set_owner_mode_xattrs(file.as_fd(), &entry)
        .and_then(|()| rustix::fs::utimensat(&parent, name, &apply::times(&entry), AtFlags::SYMLINK_NOFOLLOW))
        .map_err(Error::io("set the attributes of", link))
}
