//! The rules of COPY: what goes where, with which owner, mode and time.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::os::fd::BorrowedFd;

use super::tree::{Item, MadeOf, NewDirectory, Node, Tree};
use super::{Chmod, CopyError, CopyOptions, cleaned, lossy, open};
use crate::inside;
use crate::select::{Seen, Selected};
use crate::{Archive, Entry, Error, Kind, decompress_archive, detect};

/// What a copy will make, worked out and not done yet.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Where content is read.
    pub(super) from: BorrowedFd<'a>,
    pub(super) nodes: Vec<(Vec<u8>, Node)>,
    pub(super) items: Vec<Item<'a>>,
    /// Time of directories of the base that something is put into, seconds since 1970.
    pub(super) touched_mtime_s: i64,
    /// Directories whose times the rules set, and not a source's entry; the root of the tree (empty) may be among them.
    pub(super) late: Vec<(Vec<u8>, (i64, u32))>,
}

impl<'a> Plan<'a> {
    pub(super) fn of(mut tree: Tree<'_, 'a>, from: BorrowedFd<'a>, created_mtime_s: i64) -> Self {
        let mut late = Vec::new();
        for path in std::mem::take(&mut tree.made) {
            tree.set_time(&path, (created_mtime_s, 0));
            late.push((path, (created_mtime_s, 0)));
        }
        let Tree { nodes, items, .. } = tree;
        Self { from, nodes: nodes.into_iter().collect(), items, touched_mtime_s: created_mtime_s, late }
    }
}

/// A plan being made.
pub(super) struct Planner<'a, 'b> {
    from: BorrowedFd<'a>,
    options: &'a CopyOptions,
    tree: Tree<'b, 'a>,
    /// The destination, clean and absolute.
    path: Vec<u8>,
    /// Whether it is written as a directory.
    wants_directory: bool,
    /// The directory that contents were copied into last, and the time that it gets in the end.
    top: Option<(Vec<u8>, (i64, u32))>,
}

impl<'a, 'b> Planner<'a, 'b> {
    pub(super) fn new(
        from: BorrowedFd<'a>,
        base: Option<BorrowedFd<'b>>,
        options: &'a CopyOptions,
    ) -> Result<Self, CopyError> {
        let path = &options.destination[..];
        let wants_directory =
            path.is_empty() || path == b"." || path.ends_with(b"/") || path.ends_with(b"/.");
        let path = cleaned(path);
        let mut planner = Self { from, options, tree: Tree::new(base), path, wants_directory, top: None };
        if options.parents {
            planner.destination()?;
        }
        Ok(planner)
    }

    pub(super) fn finish(self) -> Plan<'a> {
        let mut plan = Plan::of(self.tree, self.from, self.options.created_mtime_s);
        if let Some((path, time)) = self.top {
            if let Ok(at) = plan.nodes.binary_search_by(|(p, _)| p.cmp(&path))
                && let Node::Directory(directory) = &mut plan.nodes[at].1
            {
                directory.time = Some(time);
            }
            plan.late.push((path, time));
        }
        plan
    }

    /// Directories made on the way: `--chown`'s owner and an octal `--chmod`'s mode; symbolic ones do not apply.
    fn new_directory(&self) -> NewDirectory {
        NewDirectory {
            owner: self.options.chown.unwrap_or((0, 0)),
            mode: match &self.options.chmod {
                Some(Chmod::Octal(mode)) => *mode,
                _ => 0o755,
            },
        }
    }

    /// The destination as a directory.
    fn destination(&mut self) -> Result<Vec<u8>, CopyError> {
        let new = self.new_directory();
        self.tree.make_all(&self.path, &new)
    }

    /// The directory that an archive is unpacked into.
    pub(super) fn archive_directory(&mut self) -> Result<Vec<u8>, CopyError> {
        let new = NewDirectory { mode: 0o755, ..self.new_directory() };
        self.tree.make_all(&self.path, &new)
    }

    /// The mode, owner and group of the copy of `entry`.
    fn dress(&self, entry: &Entry) -> (u32, u32, u32) {
        let (uid, gid) = self.options.chown.or(self.options.force_owner).unwrap_or((entry.uid, entry.gid));
        let mode = match entry.kind {
            Kind::Symlink { .. } => entry.mode,
            _ => self.mode(entry.mode, entry.kind == Kind::Directory),
        };
        (mode, uid, gid)
    }

    fn mode(&self, mode: u32, is_directory: bool) -> u32 {
        match &self.options.chmod {
            None => mode,
            Some(Chmod::Octal(mode)) => *mode,
            Some(Chmod::Symbolic(clauses)) => clauses.apply(mode, is_directory),
        }
    }

    /// One source.
    pub(super) fn source(&mut self, source: &'a Selected) -> Result<(), CopyError> {
        if source.root.kind == Kind::Directory {
            if !self.wants_directory && self.tree.is_directory(&self.path)? == Some(false) {
                return Err(CopyError::NonDirectory(lossy(&self.path)));
            }
            let directory = self.destination()?;
            return self.contents(source, directory);
        }
        let (path, shown) = self.place(&source.name)?;
        let item = self.item(&source.real, &source.root, source.files.first());
        self.tree.put(&path, item, &shown)
    }

    /// Where a file goes, and what it is called in messages: into the destination, if that is a directory, under its own
    /// name (a link of that name is replaced); else to the destination itself (a link there is followed).
    fn place(&mut self, name: &[u8]) -> Result<(Vec<u8>, Vec<u8>), CopyError> {
        if self.wants_directory || self.tree.is_directory(&self.path)? == Some(true) {
            let directory = self.destination()?;
            return Ok((inside::join(&directory, name), self.shown(name)));
        }
        let new = self.new_directory();
        Ok((self.tree.place(&self.path, &new)?, self.path.clone()))
    }

    /// The path of `below`, a path in the destination, for messages.
    fn shown(&self, below: &[u8]) -> Vec<u8> {
        let parent = if self.path == b"/" { &b""[..] } else { &self.path };
        [parent, b"/", below].concat()
    }

    /// What is in a source directory, into `directory`, whose own owner and mode stay; its time becomes the source's.
    fn contents(&mut self, source: &'a Selected, directory: Vec<u8>) -> Result<(), CopyError> {
        self.tree.items.reserve_exact(source.entries.len());
        let mut files = source.files.iter();
        let mut linked: HashMap<&[u8], usize> = HashMap::new();
        let targets: HashSet<&[u8]> = source
            .entries
            .iter()
            .filter_map(|entry| match &entry.kind {
                Kind::Hardlink { target } => Some(&target[..]),
                _ => None,
            })
            .collect();
        for entry in &source.entries {
            let path = inside::join(&directory, &entry.path);
            let shown = self.shown(&entry.path);
            match &entry.kind {
                Kind::Directory => {
                    let (mode, uid, gid) = self.dress(entry);
                    let dressed = Entry { mode, uid, gid, ..entry.clone() };
                    self.tree.put_directory(&path, &dressed, &shown)?;
                }
                Kind::Hardlink { target } => {
                    let item = linked.get(&target[..]).copied();
                    let item = item.ok_or_else(|| CopyError::io("link", &shown, rustix::io::Errno::NOENT))?;
                    self.tree.put(&path, item, &shown)?;
                }
                kind => {
                    let seen = if matches!(kind, Kind::File { .. }) { files.next() } else { None };
                    let item = self.item(&source.real, entry, seen);
                    if targets.contains(&entry.path[..]) {
                        linked.insert(&entry.path, item);
                    }
                    self.tree.put(&path, item, &shown)?;
                }
            }
        }
        // With --parents the source is whatever stands left of the pivot, often the whole context: not what is copied.
        if !self.options.parents {
            self.top = Some((directory, (source.root.mtime_s, source.root.mtime_ns)));
        }
        Ok(())
    }

    fn item(&mut self, real: &'a [u8], entry: &'a Entry, seen: Option<&'a Seen>) -> usize {
        let (mode, uid, gid) = self.dress(entry);
        self.push(Item { made_of: MadeOf::Source { real, entry, seen }, mode, uid, gid })
    }

    fn push(&mut self, item: Item<'a>) -> usize {
        self.tree.items.push(item);
        self.tree.items.len() - 1
    }

    /// The files whose text stands in the Dockerfile.
    pub(super) fn inlines(&mut self) -> Result<(), CopyError> {
        for (name, content) in &self.options.inline {
            // A name is a name, not a path.
            let (_, name) = inside::split(name);
            let (path, shown) = self.place(name)?;
            let (uid, gid) = self.options.chown.unwrap_or((0, 0));
            let made_of = MadeOf::Inline { text: content, mtime_s: self.options.created_mtime_s };
            let item = self.push(Item { made_of, mode: self.mode(0o644, false), uid, gid });
            self.tree.put(&path, item, &shown)?;
        }
        Ok(())
    }
}

/// What kind of archive `source` is, if it is one with at least one member.
pub(super) fn archive_kind(from: BorrowedFd<'_>, source: &Selected) -> Result<Option<Archive>, CopyError> {
    if !matches!(source.root.kind, Kind::File { .. }) {
        return Ok(None);
    }
    let mut prefix = Vec::new();
    open(from, source)?.take(512).read_to_end(&mut prefix).map_err(Error::Read)?;
    let Some(kind) = detect(&prefix) else { return Ok(None) };
    // A compressed file that holds no tar is an ordinary file.
    let mut plain = Vec::new();
    let peek =
        decompress_archive(kind, open(from, source)?).and_then(|r| r.take(512).read_to_end(&mut plain));
    Ok((peek.is_ok() && detect(&plain) == Some(Archive::Tar)).then_some(kind))
}
