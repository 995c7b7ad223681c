//! The tree that is copied into: links are followed inside its root, missing directories are made.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::CopyError;
use crate::apply::chown_at;
use crate::inside::{self, NO_LINKS};

/// As many links as the kernel follows.
const LINKS_MAX: usize = 40;

/// Owner and mode of directories that a copy has to make.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewDirectory {
    pub(super) owner: (u32, u32),
    pub(super) mode: u32,
}

/// The tree, and which of its directories this copy had to make.
#[derive(Debug)]
pub(super) struct Destination<'a> {
    root: BorrowedFd<'a>,
    /// Held open until their time is set; no more than the destination has components.
    made: Vec<OwnedFd>,
}

/// A directory on the way, with its path for messages.
type Step = (OwnedFd, Vec<u8>);

impl<'a> Destination<'a> {
    pub(super) fn new(root: BorrowedFd<'a>) -> Self {
        Self { root, made: Vec::new() }
    }

    /// Opens the directory at `path` (links followed, dangling ones too), making what is missing.
    pub(super) fn make_all(&mut self, path: &[u8], new: &NewDirectory) -> Result<OwnedFd, CopyError> {
        let ((directory, shown), last) = self.resolve(path, new)?;
        match last {
            None => Ok(directory),
            Some(name) => self.make(directory.as_fd(), &name, &child(&shown, &name), new),
        }
    }

    /// The place of a file: its directory and name, links at its end followed.
    pub(super) fn place(&mut self, path: &[u8], new: &NewDirectory) -> Result<(OwnedFd, Vec<u8>), CopyError> {
        match self.resolve(path, new)? {
            ((directory, _), Some(name)) => Ok((directory, name)),
            (_, None) => Err(CopyError::ReplaceDirectory(lossy(path))),
        }
    }

    /// What `path` is now, links followed: `None` if nothing is there.
    pub(super) fn kind(&self, path: &[u8]) -> Option<FileType> {
        let relative: Vec<u8> = path.iter().copied().skip_while(|b| *b == b'/').collect();
        let handle = inside::open(self.root, &relative, OFlags::PATH, inside::IN_ROOT).ok()?;
        rustix::fs::fstat(&handle).ok().map(|stat| FileType::from_raw_mode(stat.st_mode))
    }

    /// Sets the time of what was made: making entries has changed it.
    pub(super) fn finish(&mut self, mtime_s: i64) -> rustix::io::Result<()> {
        self.made.drain(..).try_for_each(|directory| rustix::fs::futimens(&directory, &at(mtime_s)))
    }

    /// Walks to `path`; its last component is returned unopened, or `None` if the path is the root.
    fn resolve(&mut self, path: &[u8], new: &NewDirectory) -> Result<(Step, Option<Vec<u8>>), CopyError> {
        let failed = |errno| CopyError::io("open", path, errno);
        // The stack of opened directories; `..` pops it, so it cannot lead out.
        let mut stack = vec![(inside::open_dir(self.root, b"", NO_LINKS).map_err(failed)?, Vec::new())];
        let mut todo: Vec<Vec<u8>> = parts(path);
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == b".." {
                if stack.len() > 1 {
                    stack.pop();
                }
                continue;
            }
            let (here, shown) = stack.last().expect("the root is never popped");
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
                return Ok((directory, Some(name)));
            }
            let shown = child(shown, &name);
            let opened = self.make(here.as_fd(), &name, &shown, new)?;
            stack.push((opened, shown));
        }
        Ok((stack.pop().expect("the root is never popped"), None))
    }

    fn make(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        shown: &[u8],
        new: &NewDirectory,
    ) -> Result<OwnedFd, CopyError> {
        let failed = |errno| CopyError::io("make", shown, errno);
        let made = match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(failed(errno)),
        };
        let directory = match inside::open_dir(parent, name, NO_LINKS) {
            Err(Errno::NOTDIR | Errno::LOOP) => return Err(CopyError::NotADirectory(lossy(shown))),
            other => other.map_err(failed)?,
        };
        if made {
            chown_at(parent, name, new.owner.0, new.owner.1).map_err(failed)?;
            rustix::fs::fchmod(&directory, Mode::from_raw_mode(new.mode)).map_err(failed)?;
            let noted = rustix::io::fcntl_dupfd_cloexec(&directory, 0).map_err(failed)?;
            self.made.push(noted);
        }
        Ok(directory)
    }
}

fn child(parent: &[u8], name: &[u8]) -> Vec<u8> {
    [parent, b"/", name].concat()
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
