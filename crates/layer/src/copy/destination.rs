//! The tree that is copied into: links are followed inside its root, missing directories are made.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, Timespec, Timestamps};
use rustix::io::Errno;

use super::CopyError;
use crate::apply::chown_at;
use crate::inside::{self, NO_LINKS};

/// As many links as the kernel follows.
const LINKS_MAX: usize = 40;

/// Owner, mode and time of directories that a copy has to make.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewDirectory {
    pub(super) owner: (u32, u32),
    pub(super) mode: u32,
    pub(super) mtime_s: i64,
}

/// Opens the directory at `path` (links followed, dangling ones too), making what is missing.
/// Returns whether its last component was made.
pub(super) fn make_all(
    root: BorrowedFd<'_>,
    path: &[u8],
    new: &NewDirectory,
) -> Result<(OwnedFd, bool), CopyError> {
    let (directory, last, _) = resolve(root, path, new)?;
    match last {
        None => Ok((directory, false)),
        Some(name) => make(directory.as_fd(), &name, path, new),
    }
}

/// The place of a file: its directory and name, links at its end followed.
pub(super) fn place(
    root: BorrowedFd<'_>,
    path: &[u8],
    new: &NewDirectory,
) -> Result<(OwnedFd, Vec<u8>), CopyError> {
    match resolve(root, path, new)? {
        (directory, Some(name), _) => Ok((directory, name)),
        (_, None, _) => Err(CopyError::NotADirectory(lossy(path))),
    }
}

/// Whether `path` is a directory now, links followed.
pub(super) fn is_directory(root: BorrowedFd<'_>, path: &[u8]) -> bool {
    let relative: Vec<u8> = path.iter().copied().skip_while(|b| *b == b'/').collect();
    inside::open_dir(root, &relative, inside::IN_ROOT).is_ok()
}

type Resolved = (OwnedFd, Option<Vec<u8>>, usize);

/// Walks to `path`; its last component is returned unopened, or `None` if the path is the root.
fn resolve(root: BorrowedFd<'_>, path: &[u8], new: &NewDirectory) -> Result<Resolved, CopyError> {
    let failed = |errno| CopyError::io("open", path, errno);
    // The stack of opened directories; `..` pops it, so it cannot lead out.
    let mut stack = vec![inside::open_dir(root, b"", NO_LINKS).map_err(failed)?];
    let mut todo: Vec<Vec<u8>> = parts(path);
    let mut links = 0;
    while let Some(name) = todo.pop() {
        if name == b".." {
            if stack.len() > 1 {
                stack.pop();
            }
            continue;
        }
        let here = stack.last().expect("the root is never popped");
        if let Ok(target) = rustix::fs::readlinkat(here, &name[..], Vec::new()) {
            links += 1;
            if links > LINKS_MAX {
                return Err(failed(Errno::LOOP));
            }
            if target.as_bytes().starts_with(b"/") {
                stack.truncate(1);
            }
            todo.extend(parts(target.as_bytes()));
            continue;
        }
        if todo.is_empty() {
            let directory = stack.pop().expect("the root is never popped");
            return Ok((directory, Some(name), links));
        }
        let (opened, _) = make(here.as_fd(), &name, path, new)?;
        stack.push(opened);
    }
    Ok((stack.pop().expect("the root is never popped"), None, links))
}

fn make(
    parent: BorrowedFd<'_>,
    name: &[u8],
    path: &[u8],
    new: &NewDirectory,
) -> Result<(OwnedFd, bool), CopyError> {
    let failed = |errno| CopyError::io("make", path, errno);
    let made = match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(errno) => return Err(failed(errno)),
    };
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(CopyError::NotADirectory(lossy(path)));
    }
    let directory = inside::open_dir(parent, name, NO_LINKS).map_err(failed)?;
    if made {
        chown_at(parent, name, new.owner.0, new.owner.1).map_err(failed)?;
        rustix::fs::fchmod(&directory, Mode::from_raw_mode(new.mode)).map_err(failed)?;
        rustix::fs::futimens(&directory, &at(new.mtime_s)).map_err(failed)?;
    }
    Ok((directory, made))
}

/// Components, last first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|b| *b == b'/').filter(|c| !c.is_empty() && *c != b".");
    parts.map(<[u8]>::to_vec).collect::<Vec<_>>().into_iter().rev().collect()
}

pub(super) fn at(seconds: i64) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

pub(super) fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
