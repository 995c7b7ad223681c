//! From the words of COPY to the files below a root.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{OFlags, ResolveFlags};
use rustix::io::Errno;

use super::below::{Below, Found, Look, Looked, Search};
use super::known::{FileDigests, FsIds, Moment, Seen};
use super::pattern::{self, Include};
use crate::inside::{self, IN_ROOT};
use crate::names::Inode;
use crate::walk::with_hard_link;
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
    /// What is known of files already.
    pub files: &'a dyn FileDigests,
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
    /// The source itself: a file, a directory, or anything else. With `--parents`, the directory at the pivot.
    pub root: Entry,
    /// For a directory: what is in it, paths relative to it, parents before children.
    pub entries: Vec<Entry>,
    /// What is known of the regular files among `root` and `entries`, in this order.
    pub files: Vec<Seen>,
    /// Whether it was matched by a wildcard.
    pub wildcard: bool,
}

/// Everything that was found, in the order of the sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The sources.
    pub sources: Vec<Selected>,
    /// Changes when any of the files is written to, replaced or renamed, even if it is as before in the end: a number
    /// of the names that were selected, and of inode, size, mtime and ctime of all but directories.
    pub stamp: u64,
}

/// Why nothing could be selected.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// A source without wildcards is not there, or a link that a wildcard matches leads nowhere.
    #[error("source {source_index} not found")]
    NotFound {
        /// Position among the sources.
        source_index: usize,
        /// The link, if a wildcard matched it.
        matched: Option<Vec<u8>>,
        /// A name in the same directory that is close to it.
        nearest: Option<Vec<u8>>,
        /// The file is there, but the ignore file excludes it.
        ignored: bool,
        /// It is there, but only through a link, and `--parents` goes through none.
        beyond_link: bool,
        /// It is a symbolic link to this, and leads nowhere.
        dangling: Option<Vec<u8>>,
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
    // Before the first look: what is written later than this gets a later time than a settled file has.
    let now = Moment::now();
    let met = Met::default();
    for (index, text) in selector.patterns.iter().enumerate() {
        let finder = Finder { root, selector, index, now, met: &met };
        finder.find(text, &mut selection.sources)?;
    }
    selection.stamp = met.stamp.borrow().finish();
    Ok(selection)
}

/// What was met on the way.
#[derive(Debug, Default)]
struct Met {
    file_systems: FsIds,
    stamp: RefCell<DefaultHasher>,
}

struct Finder<'a> {
    root: BorrowedFd<'a>,
    selector: &'a Selector<'a>,
    index: usize,
    now: Moment,
    met: &'a Met,
}

impl Finder<'_> {
    fn look(&self) -> Look<'_> {
        Look { selector: self.selector, now: self.now, file_systems: &self.met.file_systems }
    }

    /// Adds what was selected to the stamp. Directories by name only: their times change with files that do not count.
    fn stamp(&self, looked: &Looked) {
        let mut stamp = self.met.stamp.borrow_mut();
        looked.entry.path.hash(&mut *stamp);
        if looked.entry.kind != Kind::Directory {
            looked.stat.hash(&mut *stamp);
        }
    }

    fn find(&self, text: &[u8], found: &mut Vec<Selected>) -> Result<(), SelectError> {
        if self.selector.parents {
            return self.find_with_parents(text, found);
        }
        let path = clean(text);
        if !components(&path).iter().any(|c| pattern::has_wildcard(c)) {
            let selected = self.literal(&path)?.ok_or_else(|| self.not_found(&path))?;
            found.push(self.contents(selected, None)?);
            return Ok(());
        }
        for matched in self.expand(&path)? {
            match self.one(&matched, true)? {
                Some(selected) => found.push(self.contents(selected, None)?),
                // BuildKit has the link, and does not find what it leads to.
                None if self.is_link(&matched)? => return Err(self.leads_nowhere(matched)),
                // What was matched and is gone or ignored is simply not there.
                None => {}
            }
        }
        Ok(())
    }

    /// `--parents`: what stands left of the first `/./` is a source like any other, a directory; what stands right of
    /// it (everything, if there is none) says what is taken out of it, and is matched as ignore files match.
    fn find_with_parents(&self, text: &[u8], found: &mut Vec<Selected>) -> Result<(), SelectError> {
        let pivot = text.windows(3).position(|w| w == b"/./");
        let (left, right) = pivot.map_or((&b""[..], text), |at| (&text[..at], &text[at + 2..]));
        let (left, right) = (clean(left), clean(right));
        let include = Include::parse(&right).map_err(|_| self.bad_pattern(&right))?;
        let wild = |path: &[u8]| components(path).iter().any(|c| pattern::has_wildcard(c));
        let bases = if wild(&left) { self.expand(&left)? } else { vec![left.clone()] };
        for base in bases {
            let selected = if wild(&left) { self.one(&base, true)? } else { self.literal(&base)? };
            let whole = || inside::join(&base, &right);
            let Some(selected) = selected.filter(|s| s.root.kind == Kind::Directory) else {
                if wild(&left) {
                    continue;
                }
                return Err(self.not_found(&whole()));
            };
            let selected = self.contents(selected, Some(&include))?;
            if selected.entries.is_empty() && !right.is_empty() && !wild(&left) && !wild(&right) {
                return Err(self.not_found(&whole()));
            }
            found.push(selected);
        }
        Ok(())
    }

    fn bad_pattern(&self, pattern: &[u8]) -> SelectError {
        let pattern = String::from_utf8_lossy(pattern).into_owned();
        SelectError::BadPattern { source_index: self.index, pattern }
    }

    /// A path without wildcards; a backslash in it may be an escape or part of a name.
    fn literal(&self, path: &[u8]) -> Result<Option<Selected>, SelectError> {
        match self.one(path, false)? {
            None if path.contains(&b'\\') => self.one(&pattern::unescape(path), false),
            found => Ok(found),
        }
    }

    /// Paths that match, in the order of a walk. What stands before the first wildcard is a path whose links are
    /// followed; directories that a wildcard matched are entered only if they are no links, as Go's `Walk` does.
    fn expand(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, SelectError> {
        let components = components(path);
        let first = components.iter().position(|c| pattern::has_wildcard(c)).unwrap_or(components.len());
        for component in &components[first..] {
            pattern::check(component).map_err(|_| self.bad_pattern(path))?;
        }
        let base = pattern::unescape(&components[..first].join(&b'/'));
        let Some(root) = self.enter(self.root, &base, IN_ROOT, &base)? else { return Ok(Vec::new()) };
        let mut level = vec![Vec::new()];
        for component in &components[first..] {
            let mut next = Vec::new();
            for directory in level {
                let whole = inside::join(&base, &directory);
                let Some(opened) = self.enter(root.as_fd(), &directory, inside::NO_LINKS, &whole)? else {
                    continue;
                };
                for name in inside::names(opened.as_fd()).map_err(Error::io("read", &directory))? {
                    if pattern::matches(component, name.as_bytes()) == Ok(true) {
                        next.push(inside::join(&directory, name.as_bytes()));
                    }
                }
            }
            level = next;
        }
        Ok(level.into_iter().map(|below| inside::join(&base, &below)).collect())
    }

    /// The directory `path` below `from`, in which a wildcard looks for names; `None` if there is none, or nothing in it
    /// counts. One that may not be read is an error: it may hold what the wildcard means.
    fn enter(
        &self,
        from: BorrowedFd<'_>,
        path: &[u8],
        resolve: ResolveFlags,
        whole: &[u8],
    ) -> Result<Option<OwnedFd>, SelectError> {
        let ignore = self.selector.ignore;
        match inside::open_dir(from, path, resolve) {
            Ok(directory) => Ok(Some(directory)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(_) if ignore.excluded(whole) && !ignore.may_reinclude() => Ok(None),
            Err(errno) => Err(Error::io("open", whole)(errno).into()),
        }
    }

    /// The source at `path`, links followed; `None` if it, or a link that leads to it, is not there or ignored.
    fn one(&self, path: &[u8], wildcard: bool) -> Result<Option<Selected>, SelectError> {
        match inside::open(self.root, path, OFlags::PATH, IN_ROOT) {
            Ok(_) => {}
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(errno) => return Err(Error::io("open", path)(errno).into()),
        }
        let Some(real) = self.real_path(path)? else { return Ok(None) };
        let (parent, last) = inside::split(&real);
        let mut known = Vec::new();
        let mut root = if real.is_empty() {
            self.root_entry()?
        } else {
            let parent = inside::open_dir(self.root, parent, IN_ROOT).map_err(Error::io("open", &real))?;
            let mut looked = self.look().at(&parent, last, real.clone())?;
            self.stamp(&looked);
            known.extend(looked.seen());
            looked.entry
        };
        let ignored = !real.is_empty() && self.selector.ignore.excluded(&real);
        if ignored && (root.kind != Kind::Directory || !self.has_included(&real)?) {
            return Ok(None);
        }
        if root.kind == Kind::Whiteout {
            return Err(Error::invalid(&real, WHITEOUT).into());
        }
        root.path.clear();
        let name = components(path).last().map(|c| c.to_vec()).unwrap_or_default();
        Ok(Some(Selected { real, name, root, entries: Vec::new(), files: known, wildcard }))
    }

    /// Whether a symbolic link that is not ignored stands at `path`.
    fn is_link(&self, path: &[u8]) -> Result<bool, SelectError> {
        let (parent, name) = inside::split(path);
        let Some(parent) = self.real_path(parent)? else { return Ok(false) };
        let Ok(directory) = inside::open_dir(self.root, &parent, IN_ROOT) else { return Ok(false) };
        let is_link = rustix::fs::readlinkat(&directory, name, Vec::new()).is_ok();
        Ok(is_link && !self.selector.ignore.excluded(&inside::join(&parent, name)))
    }

    /// Whether anything below an ignored directory is brought back.
    fn has_included(&self, real: &[u8]) -> Result<bool, SelectError> {
        if !self.selector.ignore.may_reinclude() {
            return Ok(false);
        }
        let only_ignore = Selector { excludes: &Nothing, ..*self.selector };
        let met = Met::default();
        let finder = Finder { selector: &only_ignore, met: &met, ..*self };
        let mut entries = Vec::new();
        finder.list(real, None, &mut entries, &mut Vec::new())?;
        Ok(!entries.is_empty())
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

    fn contents(&self, mut source: Selected, include: Option<&Include>) -> Result<Selected, SelectError> {
        if source.root.kind == Kind::Directory {
            self.list(&source.real, include, &mut source.entries, &mut source.files)?;
        }
        Ok(source)
    }

    /// `path` with every link on the way and at its end followed inside the root; `None` if such a link is ignored.
    fn real_path(&self, path: &[u8]) -> Result<Option<Vec<u8>>, SelectError> {
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
                Ok(_) if self.selector.ignore.excluded(&next) => return Ok(None),
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
        Ok(Some(done))
    }

    /// What is in the directory `real`, without what is ignored or excluded, and only what `include` means.
    fn list(
        &self,
        real: &[u8],
        include: Option<&Include>,
        entries: &mut Vec<Entry>,
        known: &mut Vec<Seen>,
    ) -> Result<(), SelectError> {
        let directory = inside::open_dir(self.root, real, IN_ROOT).map_err(Error::io("open", real))?;
        let mut walk = Walk { finder: self, entries, known, pending: Vec::new(), linked: HashMap::new() };
        Search::new(&self.look(), directory, real, include).run(|below| walk.take(below))
    }

    fn not_found(&self, path: &[u8]) -> SelectError {
        let (parent, name) = inside::split(path);
        let is_there = inside::open(self.root, path, OFlags::PATH, IN_ROOT).is_ok();
        let ignored = is_there && (!self.selector.parents || self.selector.ignore.excluded(path));
        let beyond_link = is_there && !ignored;
        let directory = inside::open_dir(self.root, parent, IN_ROOT);
        let dangling = match &directory {
            Ok(directory) if !is_there => rustix::fs::readlinkat(directory, name, Vec::new()).ok(),
            _ => None,
        };
        let names = directory.and_then(|directory| inside::names(directory.as_fd())).unwrap_or_default();
        let lower = name.to_ascii_lowercase();
        let near = names.iter().filter(|n| n.as_bytes() != name);
        let near = near.map(|n| (distance(&n.as_bytes().to_ascii_lowercase(), &lower), n.as_bytes()));
        let near = near.filter(|(d, _)| *d <= 1 + name.len() / 3).min();
        let nearest = near.filter(|_| !is_there && dangling.is_none()).map(|(_, n)| inside::join(parent, n));
        let dangling = dangling.map(std::ffi::CString::into_bytes);
        let source_index = self.index;
        SelectError::NotFound { source_index, matched: None, nearest, ignored, beyond_link, dangling }
    }

    /// The error for a link that a wildcard matched.
    fn leads_nowhere(&self, link: Vec<u8>) -> SelectError {
        match self.not_found(&link) {
            SelectError::NotFound { source_index, ignored, beyond_link, dangling, .. } => {
                let (matched, nearest) = (Some(link), None);
                SelectError::NotFound { source_index, matched, nearest, ignored, beyond_link, dangling }
            }
            other => other,
        }
    }
}

/// Why the marker of overlayfs cannot be a source.
const WHITEOUT: &str = "a character device 0:0 cannot be copied";

/// Excludes nothing.
struct Nothing;

impl PathFilter for Nothing {
    fn excluded(&self, _path: &[u8]) -> bool {
        false
    }

    fn may_reinclude(&self) -> bool {
        false
    }
}

/// What was found below a directory, taken in the order of a walk.
struct Walk<'a> {
    finder: &'a Finder<'a>,
    entries: &'a mut Vec<Entry>,
    known: &'a mut Vec<Seen>,
    /// Directories that come along only if something below them does.
    pending: Vec<Entry>,
    linked: HashMap<Inode, Vec<u8>>,
}

impl Walk<'_> {
    fn take(&mut self, top: Below) -> Result<(), SelectError> {
        // What is left of each directory on the way, and how many were pending before it.
        let mut way = vec![(top.take()?.into_iter(), 0)];
        while let Some((names, pending)) = way.last_mut() {
            let Some(Found { looked, counts, below }) = names.next() else {
                // What is still pending brought nothing along.
                self.pending.truncate(*pending);
                way.pop();
                continue;
            };
            let pending = self.pending.len();
            if counts {
                self.entries.append(&mut self.pending);
                self.entry(looked)?;
            } else {
                self.pending.push(looked.entry);
            }
            if let Some(below) = below {
                way.push((below.take()?.into_iter(), pending));
            }
        }
        Ok(())
    }

    fn entry(&mut self, mut looked: Looked) -> Result<(), SelectError> {
        self.finder.stamp(&looked);
        if looked.entry.kind == Kind::Whiteout {
            return Err(Error::invalid(&looked.entry.path, WHITEOUT).into());
        }
        let (seen, inode) = (looked.seen(), looked.shared_inode());
        let entry = with_hard_link(looked.entry, inode, &mut self.linked);
        if matches!(entry.kind, Kind::File { .. }) {
            self.known.extend(seen);
        }
        self.entries.push(entry);
        Ok(())
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
