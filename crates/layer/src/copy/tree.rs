//! The tree that a copy leaves, as values: what it makes or touches, over what is there already.
//!
//! Links are followed inside the root, missing directories are made, and nothing is written: [`Tree`] looks below its
//! base and remembers. `plan.rs` has the rules, `write.rs` and `layer.rs` use what comes out.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use jettison_oci::Digest;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use super::{CopyError, lossy};
use crate::inside::{self, NO_LINKS};
use crate::select::Seen;
use crate::walk::{read_entry, read_xattrs};
use crate::{Entry, Kind};

/// As many links as the kernel follows.
const LINKS_MAX: usize = 40;

/// Owner and mode of directories that a copy has to make.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewDirectory {
    pub(super) owner: (u32, u32),
    pub(super) mode: u32,
}

/// A directory of the tree.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    /// As it will be; its time as far as the copy sets none.
    pub(super) entry: Entry,
    /// Whether it was there before.
    pub(super) below: bool,
    /// The time that it gets when everything is in it.
    pub(super) time: Option<(i64, u32)>,
    /// Whether something was put into it.
    pub(super) touched: bool,
    /// Extended attributes to set: those of its source.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What is no directory; with several names if nodes share it. What a source says of itself is looked up there, so that a
/// plan of many files stays small.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'s> {
    pub(super) made_of: MadeOf<'s>,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Where an item comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum MadeOf<'s> {
    /// `entry`, which lies below `real` in the root of the sources, and what is known of it.
    Source { real: &'s [u8], entry: &'s Entry, seen: Option<&'s Seen> },
    /// The Dockerfile: the text, and its time, seconds since 1970.
    Inline { text: &'s [u8], mtime_s: i64 },
}

/// Where the bytes of a file come from.
pub(super) enum Content<'s> {
    /// There are none.
    Empty,
    /// The file at this path below the source's root, and what is known of it.
    Source(Vec<u8>, Option<&'s Seen>),
    /// These.
    Inline(&'s [u8]),
}

impl<'s> Item<'s> {
    /// What it is. A socket becomes an empty file.
    pub(super) fn kind(&self) -> Kind {
        match self.made_of {
            MadeOf::Source { entry: Entry { kind: Kind::Socket, .. }, .. } => Kind::File { size: 0 },
            MadeOf::Source { entry, .. } => entry.kind.clone(),
            MadeOf::Inline { text, .. } => Kind::File { size: text.len() as u64 },
        }
    }

    /// Where a symbolic link leads.
    pub(super) fn link_target(&self) -> Option<&'s [u8]> {
        match self.made_of {
            MadeOf::Source { entry: Entry { kind: Kind::Symlink { target }, .. }, .. } => Some(target),
            _ => None,
        }
    }

    pub(super) fn xattrs(&self) -> &'s [(Vec<u8>, Vec<u8>)] {
        match self.made_of {
            MadeOf::Source { entry, .. } => &entry.xattrs,
            MadeOf::Inline { .. } => &[],
        }
    }

    /// As it will be, under the name `path`.
    pub(super) fn entry(&self, path: Vec<u8>) -> Entry {
        let (mtime_s, mtime_ns) = match self.made_of {
            MadeOf::Source { entry, .. } => (entry.mtime_s, entry.mtime_ns),
            MadeOf::Inline { mtime_s, .. } => (mtime_s, 0),
        };
        let (Self { mode, uid, gid, .. }, kind, xattrs) = (*self, self.kind(), self.xattrs().to_vec());
        Entry { path, kind, mode, uid, gid, mtime_s, mtime_ns, xattrs }
    }

    /// The digest of a file's content, if it is known.
    pub(super) fn digest(&self) -> Option<&'s Digest> {
        match self.made_of {
            MadeOf::Source { seen, .. } => seen?.digest.as_ref(),
            MadeOf::Inline { .. } => None,
        }
    }

    /// The bytes of a file.
    pub(super) fn content(&self) -> Content<'s> {
        match self.made_of {
            MadeOf::Source { real, entry, seen } if matches!(entry.kind, Kind::File { .. }) => {
                let path =
                    if entry.path.is_empty() { real.to_vec() } else { inside::join(real, &entry.path) };
                Content::Source(path, seen)
            }
            MadeOf::Source { .. } => Content::Empty,
            MadeOf::Inline { text, .. } => Content::Inline(text),
        }
    }
}

/// A name in the tree.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Apart, for most names are files.
    Directory(Box<Directory>),
    /// Position in [`Tree::items`]; whether something of the base has to go for it.
    Item { item: usize, replaces: bool },
}

/// What is at a path, itself not followed.
enum Found {
    Nothing,
    Directory,
    Link(Vec<u8>),
    Other,
}

/// Everything that a copy makes or touches. Paths are relative, without links on the way.
#[derive(Debug)]
pub(super) struct Tree<'a, 's> {
    /// What is there before; `None`: nothing.
    base: Option<BorrowedFd<'a>>,
    pub(super) nodes: BTreeMap<Vec<u8>, Node>,
    pub(super) items: Vec<Item<'s>>,
    /// Directories that were missing.
    pub(super) made: Vec<Vec<u8>>,
}

impl<'a> Tree<'a, '_> {
    pub(super) fn new(base: Option<BorrowedFd<'a>>) -> Self {
        Self { base, nodes: BTreeMap::new(), items: Vec::new(), made: Vec::new() }
    }

    /// The directory at `path` (links followed, dangling ones too), with what is missing.
    pub(super) fn make_all(&mut self, path: &[u8], new: &NewDirectory) -> Result<Vec<u8>, CopyError> {
        let (directory, last) = self.resolve(path, new)?;
        match last {
            None => Ok(directory),
            Some(name) => self.make(inside::join(&directory, &name), new),
        }
    }

    /// The place of a file, links at its end followed.
    pub(super) fn place(&mut self, path: &[u8], new: &NewDirectory) -> Result<Vec<u8>, CopyError> {
        match self.resolve(path, new)? {
            (directory, Some(name)) => Ok(inside::join(&directory, &name)),
            (_, None) => Err(CopyError::ReplaceDirectory(lossy(path))),
        }
    }

    /// Whether there is a directory at `path`, links followed; `None` if nothing is there.
    pub(super) fn is_directory(&self, path: &[u8]) -> Result<Option<bool>, CopyError> {
        let mut done: Vec<Vec<u8>> = Vec::new();
        let mut todo = parts(path);
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == b".." {
                done.pop();
                continue;
            }
            done.push(name);
            match self.look(&done.join(&b'/'))? {
                Found::Directory => {}
                Found::Link(target) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Ok(None);
                    }
                    done.pop();
                    if target.starts_with(b"/") {
                        done.clear();
                    }
                    todo.extend(parts(&target));
                }
                Found::Other if todo.is_empty() => return Ok(Some(false)),
                Found::Other | Found::Nothing => return Ok(None),
            }
        }
        Ok(Some(true))
    }

    /// Puts something that is no directory at `path`, in place of what is there.
    pub(super) fn put(&mut self, path: &[u8], item: usize, shown: &[u8]) -> Result<(), CopyError> {
        let replaces = match self.look(path)? {
            Found::Directory => return Err(CopyError::ReplaceDirectory(lossy(shown))),
            Found::Nothing => false,
            // What this copy has put there itself is simply forgotten.
            _ => self.nodes.get(path).is_none_or(|n| matches!(n, Node::Item { replaces: true, .. })),
        };
        self.touch_parent(path);
        self.nodes.insert(path.to_vec(), Node::Item { item, replaces });
        Ok(())
    }

    /// A directory that is copied: made, or merged with the one that is there. It takes over `entry`'s metadata.
    pub(super) fn put_directory(
        &mut self,
        path: &[u8],
        entry: &Entry,
        shown: &[u8],
    ) -> Result<(), CopyError> {
        match self.look(path)? {
            Found::Directory => self.adopt(path)?,
            Found::Nothing => self.insert(path, entry),
            _ => return Err(CopyError::NonDirectory(lossy(shown))),
        }
        let Some(Node::Directory(there)) = self.nodes.get_mut(path) else {
            unreachable!("it was just put there")
        };
        (there.entry.mode, there.entry.uid, there.entry.gid) = (entry.mode, entry.uid, entry.gid);
        for (name, value) in &entry.xattrs {
            match there.entry.xattrs.binary_search_by(|(n, _)| n.cmp(name)) {
                Ok(at) => there.entry.xattrs[at].1.clone_from(value),
                Err(at) => there.entry.xattrs.insert(at, (name.clone(), value.clone())),
            }
        }
        there.xattrs.extend(entry.xattrs.iter().cloned());
        there.time = Some((entry.mtime_s, entry.mtime_ns));
        Ok(())
    }

    /// Sets the time that a directory gets in the end. The root of the tree has none.
    pub(super) fn set_time(&mut self, path: &[u8], time: (i64, u32)) {
        if let Some(Node::Directory(directory)) = self.nodes.get_mut(path) {
            directory.time = Some(time);
        }
    }

    /// Walks to `path`; its last component is returned beside the directory, or `None` if the path is the root.
    fn resolve(&mut self, path: &[u8], new: &NewDirectory) -> Result<(Vec<u8>, Option<Vec<u8>>), CopyError> {
        let mut here: Vec<u8> = Vec::new();
        let mut todo = parts(path);
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == b".." {
                // At the root it stays there, so that it cannot lead out.
                here = inside::split(&here).0.to_vec();
                continue;
            }
            let next = inside::join(&here, &name);
            if let Found::Link(target) = self.look(&next)? {
                links += 1;
                if links > LINKS_MAX {
                    return Err(CopyError::io("open", path, Errno::LOOP));
                }
                if target.starts_with(b"/") {
                    here.clear();
                }
                todo.extend(parts(&target));
                continue;
            }
            if todo.is_empty() {
                return Ok((here, Some(name)));
            }
            here = self.make(next, new)?;
        }
        Ok((here, None))
    }

    fn make(&mut self, path: Vec<u8>, new: &NewDirectory) -> Result<Vec<u8>, CopyError> {
        match self.look(&path)? {
            Found::Directory => self.adopt(&path)?,
            Found::Nothing => {
                let entry = Entry {
                    path: path.clone(),
                    kind: Kind::Directory,
                    mode: new.mode,
                    uid: new.owner.0,
                    gid: new.owner.1,
                    mtime_s: 0,
                    mtime_ns: 0,
                    xattrs: Vec::new(),
                };
                self.insert(&path, &entry);
                self.made.push(path.clone());
            }
            _ => return Err(CopyError::NotADirectory(lossy(&[b"/", &path[..]].concat()))),
        }
        Ok(path)
    }

    fn insert(&mut self, path: &[u8], entry: &Entry) {
        self.touch_parent(path);
        let entry = Entry { path: path.to_vec(), xattrs: Vec::new(), ..entry.clone() };
        let directory = Directory { entry, below: false, time: None, touched: false, xattrs: Vec::new() };
        self.nodes.insert(path.to_vec(), Node::Directory(Box::new(directory)));
    }

    fn touch_parent(&mut self, path: &[u8]) {
        if let Some(Node::Directory(parent)) = self.nodes.get_mut(inside::split(path).0) {
            parent.touched = true;
        }
    }

    /// Remembers a directory of the base as it is there.
    fn adopt(&mut self, path: &[u8]) -> Result<(), CopyError> {
        if self.nodes.contains_key(path) {
            return Ok(());
        }
        let base = self.base.expect("a directory that the copy has not made is the base's");
        let (parent, name) = inside::split(path);
        let parent = inside::open_dir(base, parent, NO_LINKS).map_err(|e| CopyError::io("open", path, e))?;
        let (mut entry, _) = read_entry(parent.as_fd(), name, path.to_vec())?;
        entry.xattrs = read_xattrs(parent.as_fd(), name, &entry.kind);
        let directory = Directory { entry, below: true, time: None, touched: false, xattrs: Vec::new() };
        self.nodes.insert(path.to_vec(), Node::Directory(Box::new(directory)));
        Ok(())
    }

    fn look(&self, path: &[u8]) -> Result<Found, CopyError> {
        match self.nodes.get(path) {
            Some(Node::Directory(_)) => return Ok(Found::Directory),
            Some(Node::Item { item, .. }) => {
                let link = self.items[*item].link_target();
                return Ok(link.map_or(Found::Other, |target| Found::Link(target.to_vec())));
            }
            None => {}
        }
        let is_below = match self.nodes.get(inside::split(path).0) {
            Some(Node::Directory(parent)) => parent.below,
            Some(Node::Item { .. }) => false,
            None => true,
        };
        let (true, Some(base)) = (is_below, self.base) else { return Ok(Found::Nothing) };
        let failed = |errno| CopyError::io("look at", path, errno);
        let handle = match inside::open(base, path, OFlags::PATH | OFlags::NOFOLLOW, NO_LINKS) {
            Ok(handle) => handle,
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(errno) => return Err(failed(errno)),
        };
        let stat = rustix::fs::fstat(&handle).map_err(failed)?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Found::Directory,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&handle, c"", Vec::new()).map_err(failed)?;
                Found::Link(target.into_bytes())
            }
            _ => Found::Other,
        })
    }
}

/// Components, last first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|b| *b == b'/').filter(|c| !c.is_empty() && *c != b".");
    parts.map(<[u8]>::to_vec).collect::<Vec<_>>().into_iter().rev().collect()
}
