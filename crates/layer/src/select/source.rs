//! From the words of COPY to the files below a root.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use super::pattern;
use crate::inside::{self, IN_ROOT};
use crate::walk::{Descend, read_entry, with_hard_link};
use crate::{Entry, Error, Kind};

/// Decides which paths do not count: an ignore file, or `--exclude`.
pub trait PathFilter: Sync {
    /// Whether `path` (relative, `/` between components) is left out, be it by itself or by one of its parents.
    fn excluded(&self, path: &[u8]) -> bool;
    /// Whether something below an excluded directory may still count.
    fn may_reinclude(&self) -> bool;
}

/// What to look for.
#[derive(Clone, Copy)]
pub struct Selector<'a> {
    /// Sources as written: paths and wildcards, relative to the root whatever they begin with.
    pub patterns: &'a [Vec<u8>],
    /// `--exclude`: paths relative to each copied source directory.
    pub excludes: &'a dyn PathFilter,
    /// The ignore file: paths relative to the root.
    pub ignore: &'a dyn PathFilter,
    /// `--parents`.
    pub parents: bool,
}

impl std::fmt::Debug for Selector<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Selector").field("patterns", &self.patterns).finish_non_exhaustive()
    }
}

/// One source that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// Its path below the root, links resolved; where content is read.
    pub real: Vec<u8>,
    /// The last component as written or matched: the name that a file gets in a directory.
    pub name: Vec<u8>,
    /// With `--parents`: the path below the destination.
    pub kept_path: Vec<u8>,
    /// The source itself: a file, a directory, or anything else.
    pub root: Entry,
    /// For a directory: what is in it, paths relative to it, parents before children.
    pub entries: Vec<Entry>,
    /// Whether it was matched by a wildcard.
    pub wildcard: bool,
}

/// Everything that was found, in the order of the sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The sources.
    pub sources: Vec<Selected>,
}

/// Why nothing could be selected.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// A source without wildcards is not there.
    #[error("source {source_index} not found")]
    NotFound {
        /// Position among the sources.
        source_index: usize,
        /// A name in the same directory that is close to it.
        nearest: Option<Vec<u8>>,
        /// The file is there, but the ignore file excludes it.
        ignored: bool,
    },
    /// A wildcard that cannot be read.
    #[error("syntax error in pattern {pattern:?}")]
    BadPattern {
        /// Position among the sources.
        source_index: usize,
        /// The pattern.
        pattern: String,
    },
    /// A directory could not be read.
    #[error(transparent)]
    Layer(#[from] Error),
}

/// Finds what `selector` means below `root`.
pub fn select(root: BorrowedFd<'_>, selector: &Selector<'_>) -> Result<Selection, SelectError> {
    let mut selection = Selection::default();
    for (index, text) in selector.patterns.iter().enumerate() {
        let finder = Finder { root, selector, index };
        finder.find(text, &mut selection.sources)?;
    }
    Ok(selection)
}

struct Finder<'a> {
    root: BorrowedFd<'a>,
    selector: &'a Selector<'a>,
    index: usize,
}

impl Finder<'_> {
    fn find(&self, text: &[u8], found: &mut Vec<Selected>) -> Result<(), SelectError> {
        let (pivot, path) = self.pivot(text);
        let components = components(&path);
        let first_wildcard = components.iter().position(|c| pattern::has_wildcard(c));
        let Some(first) = first_wildcard else {
            let selected = self.one(&path, pivot, false)?;
            return match selected {
                Some(selected) => {
                    found.push(selected);
                    Ok(())
                }
                None => Err(self.not_found(&path)),
            };
        };
        let base = components[..first].join(&b'/');
        for matched in self.expand(&base, &components[first..])? {
            // What was matched and is gone, dangling or ignored is simply not there.
            if let Some(selected) = self.one(&matched, pivot, true)? {
                found.push(selected);
            }
        }
        Ok(())
    }

    /// With `--parents`, `a/./b` keeps `b` only: number of components before the first `/./`.
    fn pivot(&self, text: &[u8]) -> (usize, Vec<u8>) {
        let clean = clean(text);
        if !self.selector.parents {
            return (0, clean);
        }
        let at = text.windows(3).position(|w| w == b"/./");
        (at.map_or(0, |at| components(&self::clean(&text[..at])).len()), clean)
    }

    /// Paths below `base` that match the components of `patterns`, sorted.
    fn expand(&self, base: &[u8], patterns: &[&[u8]]) -> Result<Vec<Vec<u8>>, SelectError> {
        let bad = |component: &[u8]| SelectError::BadPattern {
            source_index: self.index,
            pattern: String::from_utf8_lossy(component).into_owned(),
        };
        let mut level = vec![base.to_vec()];
        for (position, component) in patterns.iter().enumerate() {
            let last = position + 1 == patterns.len();
            let mut next = Vec::new();
            for directory in level {
                if self.selector.parents && *component == b"**" {
                    self.descend_all(&directory, last, &mut next)?;
                    continue;
                }
                let Ok(opened) = inside::open_dir(self.root, &directory, IN_ROOT) else { continue };
                for name in inside::names(opened.as_fd()).map_err(Error::io("read", &directory))? {
                    if pattern::matches(component, name.as_bytes()).map_err(|_| bad(component))? {
                        next.push(inside::join(&directory, name.as_bytes()));
                    }
                }
            }
            next.sort();
            next.dedup();
            level = next;
        }
        Ok(level)
    }

    /// `**`: the directory itself and all below; as the last component, all entries below.
    fn descend_all(&self, directory: &[u8], last: bool, out: &mut Vec<Vec<u8>>) -> Result<(), SelectError> {
        let Ok(opened) = inside::open_dir(self.root, directory, IN_ROOT) else { return Ok(()) };
        if !last {
            out.push(directory.to_vec());
        }
        for name in inside::names(opened.as_fd()).map_err(Error::io("read", directory))? {
            let path = inside::join(directory, name.as_bytes());
            let stat = rustix::fs::statat(&opened, &name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
            let is_directory = stat.is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory);
            if last {
                out.push(path.clone());
            }
            if is_directory && !last {
                self.descend_all(&path, last, out)?;
            }
        }
        Ok(())
    }

    /// The source at `path`, links followed; `None` if it is not there or ignored.
    fn one(&self, path: &[u8], pivot: usize, wildcard: bool) -> Result<Option<Selected>, SelectError> {
        let handle = match inside::open(self.root, path, OFlags::PATH, IN_ROOT) {
            Ok(handle) => handle,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(errno) => return Err(Error::io("open", path)(errno).into()),
        };
        let real = self.real_path(path)?;
        let ignored = !real.is_empty() && self.selector.ignore.excluded(&real);
        let (parent, last) = inside::split(&real);
        let mut root = if real.is_empty() {
            self.root_entry()?
        } else {
            let parent = inside::open_dir(self.root, parent, IN_ROOT).map_err(Error::io("open", &real))?;
            read_entry(parent.as_fd(), last, Vec::new())?.0
        };
        drop(handle);
        root.path.clear();
        let mut entries = Vec::new();
        if root.kind == Kind::Directory {
            self.list(&real, &mut entries)?;
            if ignored && entries.is_empty() {
                return Ok(None);
            }
        } else if ignored {
            return Ok(None);
        }
        let written = components(path);
        let name = written.last().map(|c| c.to_vec()).unwrap_or_default();
        let kept_path = written.get(pivot..).unwrap_or_default().join(&b'/');
        Ok(Some(Selected { real, name, kept_path, root, entries, wildcard }))
    }

    fn root_entry(&self) -> Result<Entry, SelectError> {
        let directory = inside::open_dir(self.root, b"", IN_ROOT).map_err(Error::io("open", b"/"))?;
        let stat = rustix::fs::fstat(&directory).map_err(Error::io("read", b"/"))?;
        Ok(Entry {
            path: Vec::new(),
            kind: Kind::Directory,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime_s: stat.st_mtime,
            mtime_ns: stat.st_mtime_nsec as u32,
            xattrs: inside::xattrs(directory.as_fd()).unwrap_or_default(),
        })
    }

    /// `path` with every link on the way and at its end followed inside the root.
    fn real_path(&self, path: &[u8]) -> Result<Vec<u8>, SelectError> {
        /// As many as the kernel follows.
        const LINKS_MAX: usize = 40;
        let mut done: Vec<u8> = Vec::new();
        let mut todo: Vec<Vec<u8>> = components(path).into_iter().rev().map(<[u8]>::to_vec).collect();
        let mut links = 0;
        while let Some(component) = todo.pop() {
            if component == b".." {
                done = inside::split(&done).0.to_vec();
                continue;
            }
            let next = inside::join(&done, &component);
            let directory = inside::open_dir(self.root, &done, IN_ROOT).map_err(Error::io("open", &next))?;
            match rustix::fs::readlinkat(&directory, &component[..], Vec::new()) {
                Err(_) => done = next,
                Ok(target) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Error::io("open", path)(Errno::LOOP).into());
                    }
                    let target = target.as_bytes();
                    if target.starts_with(b"/") {
                        done.clear();
                    }
                    let parts = target.split(|b| *b == b'/').filter(|c| !c.is_empty() && *c != b".");
                    todo.extend(parts.map(<[u8]>::to_vec).collect::<Vec<_>>().into_iter().rev());
                }
            }
        }
        Ok(done)
    }

    /// What is in the directory `real`, without what is ignored or excluded.
    fn list(&self, real: &[u8], entries: &mut Vec<Entry>) -> Result<(), SelectError> {
        let directory = inside::open_dir(self.root, real, IN_ROOT).map_err(Error::io("open", real))?;
        let mut walk = Walk { finder: self, real, entries, pending: Vec::new(), linked: HashMap::new() };
        walk.directory(&directory, b"")
    }

    fn not_found(&self, path: &[u8]) -> SelectError {
        let (parent, name) = inside::split(path);
        let ignored = inside::open(self.root, path, OFlags::PATH, IN_ROOT).is_ok();
        let names = inside::open_dir(self.root, parent, IN_ROOT)
            .and_then(|directory| inside::names(directory.as_fd()))
            .unwrap_or_default();
        let near = names.iter().map(|n| (distance(n.as_bytes(), name), n.as_bytes()));
        let near = near.filter(|(d, _)| *d <= 1 + name.len() / 3).min();
        let nearest = near.filter(|_| !ignored).map(|(_, n)| inside::join(parent, n));
        SelectError::NotFound { source_index: self.index, nearest, ignored }
    }
}

struct Walk<'a> {
    finder: &'a Finder<'a>,
    real: &'a [u8],
    entries: &'a mut Vec<Entry>,
    /// Excluded directories that come back if something below them is included.
    pending: Vec<Entry>,
    linked: HashMap<(u64, u64), Vec<u8>>,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &OwnedFd, path: &[u8]) -> Result<(), SelectError> {
        for name in inside::names(directory.as_fd()).map_err(Error::io("read", path))? {
            let below = inside::join(path, name.as_bytes());
            let (excluded, descend) = self.judge(&below);
            if excluded && descend == Descend::No {
                continue;
            }
            let (entry, stat) = read_entry(directory.as_fd(), name.as_bytes(), below.clone())?;
            let is_directory = entry.kind == Kind::Directory;
            if excluded {
                if is_directory {
                    self.pending.push(entry);
                    self.descend(directory, name.as_bytes(), &below)?;
                    if self.pending.last().is_some_and(|p| p.path == below) {
                        self.pending.pop();
                    }
                }
                continue;
            }
            self.entries.append(&mut self.pending);
            if entry.kind == Kind::Whiteout {
                return Err(Error::invalid(&below, "a character device 0:0 cannot be copied").into());
            }
            self.entries.push(with_hard_link(entry, &stat, &mut self.linked));
            if is_directory {
                self.descend(directory, name.as_bytes(), &below)?;
            }
        }
        Ok(())
    }

    fn descend(&mut self, directory: &OwnedFd, name: &[u8], path: &[u8]) -> Result<(), SelectError> {
        let below =
            inside::open_dir(directory.as_fd(), name, inside::NO_LINKS).map_err(Error::io("open", path))?;
        self.directory(&below, path)
    }

    /// Whether `path` is left out, and whether it is worth looking below it all the same.
    fn judge(&self, path: &[u8]) -> (bool, Descend) {
        let selector = self.finder.selector;
        let ignored = selector.ignore.excluded(&inside::join(self.real, path));
        let excluded = selector.excludes.excluded(path);
        let hopeless =
            (ignored && !selector.ignore.may_reinclude()) || (excluded && !selector.excludes.may_reinclude());
        (ignored || excluded, if hopeless { Descend::No } else { Descend::Yes })
    }
}

/// Components of a path, `.` and empty ones left out, `..` resolved and stopped at the root.
fn clean(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<&[u8]> = Vec::new();
    for component in path.split(|b| *b == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out.join(&b'/')
}

fn components(path: &[u8]) -> Vec<&[u8]> {
    path.split(|b| *b == b'/').filter(|c| !c.is_empty()).collect()
}

/// Edit distance with transpositions, for "did you mean".
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}
