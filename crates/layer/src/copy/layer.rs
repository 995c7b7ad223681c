//! A plan becomes a layer without being carried out: the entries that a snapshot of it would give, and their content
//! straight from the source.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use jettison_oci::Digest;
use rustix::fs::OFlags;

use super::plan::Plan;
use super::tree::{Content, Directory, Item, Node};
use crate::diff::{Upper, Visit, diff_of};
use crate::encode::{Contents, Opened};
use crate::inside::{self, IN_ROOT};
use crate::names::Inode;
use crate::{Entry, Error, Kind};

/// The layer of a plan.
#[derive(Debug)]
pub struct PlannedLayer<'a> {
    plan: &'a Plan<'a>,
    /// Sorted as a layer is.
    pub entries: Vec<Entry>,
}

/// A name in a layer that was made of a plan.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its path, relative like [`Entry::path`].
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Where the content of a file was read, below the root of the sources.
    pub source: Option<Vec<u8>>,
}

/// What a layer has in it, for whoever asks before its sources are gone.
#[derive(Debug)]
pub struct Listing {
    /// Sorted as a layer is.
    pub names: Vec<Listed>,
    /// The root of the sources.
    pub from: OwnedFd,
}

impl Listing {
    /// Opens the source of a file. It may have changed since.
    pub fn open(&self, listed: &Listed) -> Option<File> {
        open_source(self.from.as_fd(), listed.source.as_ref()?).ok()
    }
}

impl PlannedLayer<'_> {
    /// What the layer has in it; `from` is the root of the sources.
    pub fn into_listing(self, from: OwnedFd) -> Listing {
        let source = |path: &[u8]| match &self.plan.item(path)?.content {
            Content::Source(source, _) => Some(source.clone()),
            _ => None,
        };
        let listed =
            |entry: Entry| Listed { source: source(&entry.path), path: entry.path, kind: entry.kind };
        Listing { names: self.entries.into_iter().map(listed).collect(), from }
    }
}

impl Plan<'_> {
    /// The layer that [`Plan::write`] into an upper directory on top of `lowers` would lead to (see [`crate::diff`]).
    ///
    /// `None` where only a file system can tell: one may refuse extended attributes.
    pub fn layer(
        &self,
        lowers: &[BorrowedFd<'_>],
        clamp_mtime_s: Option<i64>,
    ) -> Result<Option<PlannedLayer<'_>>, Error> {
        let has_xattrs = |node: &Node| match node {
            Node::Directory(directory) => !directory.xattrs.is_empty(),
            Node::Item { item, .. } => !self.items[*item].entry.xattrs.is_empty(),
        };
        if self.nodes.iter().any(|(_, node)| has_xattrs(node)) {
            return Ok(None);
        }
        Ok(Some(PlannedLayer { entries: diff_of(self, lowers, clamp_mtime_s)?, plan: self }))
    }

    /// What the plan has at `path` (relative): whether it makes or touches something there.
    pub fn has(&self, path: &[u8]) -> bool {
        self.find(path).is_some()
    }

    fn find(&self, path: &[u8]) -> Option<&Node> {
        let at = self.nodes.binary_search_by(|(p, _)| p[..].cmp(path)).ok()?;
        Some(&self.nodes[at].1)
    }

    fn item(&self, path: &[u8]) -> Option<&Item> {
        match self.find(path)? {
            Node::Item { item, .. } => Some(&self.items[*item]),
            Node::Directory(_) => None,
        }
    }

    fn directory_entry(&self, directory: &Directory) -> Entry {
        let mut entry = directory.entry.clone();
        match directory.time {
            Some(time) => (entry.mtime_s, entry.mtime_ns) = time,
            None if directory.touched => (entry.mtime_s, entry.mtime_ns) = (self.touched_mtime_s, 0),
            None => {}
        }
        entry
    }
}

impl Upper for Plan<'_> {
    fn visit(&self, visit: &mut Visit<'_>) -> Result<(), Error> {
        let mut names: HashMap<usize, u32> = HashMap::new();
        for (_, node) in &self.nodes {
            if let Node::Item { item, .. } = node {
                *names.entry(*item).or_default() += 1;
            }
        }
        // A walk goes through a directory before its later neighbours: `/` sorts before everything.
        let mut nodes: Vec<&(Vec<u8>, Node)> = self.nodes.iter().collect();
        let walked = |path: &[u8]| path.iter().map(|b| if *b == b'/' { 0 } else { *b }).collect::<Vec<u8>>();
        nodes.sort_by_cached_key(|(path, _)| walked(path));
        for (path, node) in nodes {
            match node {
                Node::Directory(directory) => visit(self.directory_entry(directory), None)?,
                Node::Item { item, .. } => {
                    let entry = Entry { path: path.clone(), ..self.items[*item].entry.clone() };
                    // No device has this number.
                    let inode: Inode = (u64::MAX, *item as u64);
                    visit(entry, (names[item] > 1).then_some(inode))?
                }
            };
        }
        Ok(())
    }

    fn is_opaque(&self, _path: &[u8]) -> Result<bool, Error> {
        Ok(false)
    }

    fn has_directory(&self, path: &[u8]) -> Option<bool> {
        self.find(path).map(|node| matches!(node, Node::Directory(_)))
    }

    fn read(&self, path: &[u8]) -> Result<Box<dyn Read + '_>, Error> {
        match self.item(path).map(|item| &item.content) {
            Some(Content::Source(source, _)) => Ok(Box::new(open_source(self.from, source)?)),
            Some(Content::Inline(bytes)) => Ok(Box::new(&bytes[..])),
            _ => Ok(Box::new(std::io::empty())),
        }
    }
}

fn open_source(from: BorrowedFd<'_>, path: &[u8]) -> Result<File, Error> {
    inside::open(from, path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK, IN_ROOT)
        .map(File::from)
        .map_err(Error::io("open", path))
}

impl Contents for PlannedLayer<'_> {
    fn open(&self, entry: &Entry) -> Result<Opened<'_>, Error> {
        match self.plan.item(&entry.path).map(|item| &item.content) {
            Some(Content::Source(source, seen)) => {
                let opened = open_source(self.plan.from, source).map_err(|error| match error {
                    // It was there when it was looked at.
                    Error::Io { path, .. } if seen.is_some() => Error::Changed { path },
                    other => other,
                });
                Ok(Opened::File(opened?.into(), seen.as_ref()))
            }
            Some(Content::Inline(bytes)) => Ok(Opened::Bytes(bytes)),
            _ => Ok(Opened::Bytes(b"")),
        }
    }

    fn digest(&self, entry: &Entry) -> Option<&Digest> {
        match &self.plan.item(&entry.path)?.content {
            Content::Source(_, Some(seen)) => seen.digest.as_ref(),
            _ => None,
        }
    }
}
