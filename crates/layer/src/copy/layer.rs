//! A plan becomes a layer without being carried out: the entries that a snapshot of it would give, and their content
//! straight from the source.

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
use crate::{Entry, Error, Kind, walk};

/// The layer of a plan.
#[derive(Debug)]
pub struct PlannedLayer<'a> {
    /// Sorted as a layer is, by path: a plan removes nothing.
    pub entries: Vec<Entry>,
    /// What each of them was made of; `None` for directories.
    items: Vec<Option<Item<'a>>>,
    /// The root of the sources.
    from: BorrowedFd<'a>,
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

impl<'a> PlannedLayer<'a> {
    /// What the layer has in it; `from` is the root of the sources.
    pub fn into_listing(self, from: OwnedFd) -> Listing {
        let listed = |(entry, item): (Entry, Option<Item<'_>>)| {
            let source = match item.map(|item| item.content()) {
                Some(Content::Source(source, _)) => Some(source),
                _ => None,
            };
            Listed { source, path: entry.path, kind: entry.kind }
        };
        Listing { names: self.entries.into_iter().zip(self.items).map(listed).collect(), from }
    }

    fn item(&self, path: &[u8]) -> Option<&Item<'a>> {
        let at = self.entries.binary_search_by(|entry| entry.path[..].cmp(path)).ok()?;
        self.items[at].as_ref()
    }
}

impl<'a> Plan<'a> {
    /// The layer that [`Plan::write`] into an upper directory on top of `lowers` would lead to (see [`crate::diff`]).
    ///
    /// `None` where only a file system can tell: one may refuse extended attributes.
    pub fn layer(
        &self,
        lowers: &[BorrowedFd<'_>],
        clamp_mtime_s: Option<i64>,
    ) -> Result<Option<PlannedLayer<'a>>, Error> {
        let has_xattrs = |node: &Node| match node {
            Node::Directory(directory) => !directory.xattrs.is_empty(),
            Node::Item { item, .. } => !self.items[*item].xattrs().is_empty(),
        };
        if self.nodes.iter().any(|(_, node)| has_xattrs(node)) {
            return Ok(None);
        }
        let entries = diff_of(self, lowers, clamp_mtime_s)?;
        let items = entries.iter().map(|entry| self.item(&entry.path).copied()).collect();
        Ok(Some(PlannedLayer { entries, items, from: self.from }))
    }

    fn find(&self, path: &[u8]) -> Option<&Node> {
        let at = self.nodes.binary_search_by(|(p, _)| p[..].cmp(path)).ok()?;
        Some(&self.nodes[at].1)
    }

    fn item(&self, path: &[u8]) -> Option<&Item<'a>> {
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
    fn count(&self) -> usize {
        self.nodes.len()
    }

    fn visit(&self, visit: &mut Visit<'_>) -> Result<(), Error> {
        let mut names: Vec<u32> = vec![0; self.items.len()];
        for (_, node) in &self.nodes {
            if let Node::Item { item, .. } = node {
                names[*item] += 1;
            }
        }
        let mut nodes: Vec<&(Vec<u8>, Node)> = self.nodes.iter().collect();
        nodes.sort_by(|(a, _), (b, _)| walk::order(a, b));
        for (path, node) in nodes {
            match node {
                Node::Directory(directory) => visit(self.directory_entry(directory), None)?,
                Node::Item { item, .. } => {
                    let entry = self.items[*item].entry(path.clone());
                    // No device has this number.
                    let inode: Inode = (u64::MAX, *item as u64);
                    visit(entry, (names[*item] > 1).then_some(inode))?
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
        match self.item(path).map(Item::content) {
            Some(Content::Source(source, _)) => Ok(Box::new(open_source(self.from, &source)?)),
            Some(Content::Inline(bytes)) => Ok(Box::new(bytes)),
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
        match self.item(&entry.path).map(Item::content) {
            Some(Content::Source(source, seen)) => {
                let opened = open_source(self.from, &source).map_err(|error| match error {
                    // It was there when it was looked at.
                    Error::Io { path, .. } if seen.is_some() => Error::Changed { path },
                    other => other,
                });
                Ok(Opened::File(opened?.into(), seen))
            }
            Some(Content::Inline(bytes)) => Ok(Opened::Bytes(bytes)),
            _ => Ok(Opened::Bytes(b"")),
        }
    }

    fn digest(&self, entry: &Entry) -> Option<&Digest> {
        self.item(&entry.path)?.digest()
    }
}
