//! A tree out of layers that nobody has unpacked: one pass over each tar, names and modes kept, whiteouts honoured.
//!
//! Contents are kept only of what a proof may look at: whole programs and libraries, small files of `/etc` and of
//! package managers, the beginning of all others. They lie in one file that the caller gives, so memory holds names
//! only.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use jettison_layer::{self as layer, Change, Kind, Limits};

use super::{Content, Node, NodeKind, Tree, join, split};

/// Bytes that are kept of any file: what the kernel looks at.
const START_BYTES: u64 = 256;
/// Bytes that are written at once.
const WRITE_BYTES: usize = 1 << 20;
/// Largest file of those that are kept by name, bytes.
const NAMED_BYTES_MAX: u64 = 64 << 20;
/// Most links on the way to where a layer writes.
const LINKS_MAX: usize = 40;

/// An index over the layers of an image.
#[derive(Debug)]
pub struct LayerTree {
    entries: BTreeMap<Vec<u8>, Item>,
    contents: File,
    /// Bytes of it that are written.
    written: u64,
    /// Bytes behind them that are not yet.
    pending: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Item {
    node: Node,
    /// Where its content lies among the contents, and how much of it.
    kept: Option<(u64, u64)>,
}

impl LayerTree {
    /// A tree without layers. `contents` is an empty file, open for reading and writing, for this tree alone.
    pub fn new(contents: File) -> Self {
        let root = Node { kind: NodeKind::Directory, mode: 0o755, uid: 0, gid: 0 };
        let entries = BTreeMap::from([(Vec::new(), Item { node: root, kept: None })]);
        Self { entries, contents, written: 0, pending: Vec::new() }
    }

    /// Adds a layer, an uncompressed tar, on top.
    ///
    /// # Errors
    /// If it is damaged or too large.
    pub fn add(&mut self, tar: &mut dyn Read, limits: &Limits) -> Result<(), layer::Error> {
        let mut put: Vec<(Vec<u8>, Put)> = Vec::new();
        let mut hidden = Vec::new();
        layer::for_each_member(tar, limits, &mut |change, content| {
            match change {
                Change::Hide(path) => hidden.push((path, true)),
                Change::HideContent(path) => hidden.push((path, false)),
                Change::Put(entry) => {
                    let node = |kind| Node { kind, mode: entry.mode, uid: entry.uid, gid: entry.gid };
                    let item = match entry.kind {
                        Kind::File { size } => {
                            let kept = Some(self.keep(&entry.path, content, size)?);
                            Put::Item(Item { node: node(NodeKind::File { size }), kept })
                        }
                        Kind::Directory => Put::Item(Item { node: node(NodeKind::Directory), kept: None }),
                        Kind::Symlink { target } => {
                            Put::Item(Item { node: node(NodeKind::Symlink { target }), kept: None })
                        }
                        Kind::Hardlink { target } => Put::Link(target),
                        _ => Put::Item(Item { node: node(NodeKind::Other), kept: None }),
                    };
                    put.push((entry.path, item));
                }
            }
            Ok(())
        })?;
        self.write(0)?;
        for (path, itself) in hidden {
            let path = self.real(&path);
            self.remove_below(&path);
            if itself && !path.is_empty() {
                self.entries.remove(&path);
            }
        }
        for (path, item) in put {
            let path = self.real(&path);
            let item = match item {
                Put::Item(item) => Some(item),
                Put::Link(target) => self.entries.get(&self.real(&target)).cloned(),
            };
            self.insert(path, item);
        }
        Ok(())
    }

    /// Copies what may be looked at to the contents.
    fn keep(&mut self, path: &[u8], content: &mut dyn Read, size: u64) -> Result<(u64, u64), layer::Error> {
        let at = self.written + self.pending.len() as u64;
        let begin = self.pending.len();
        let mut kept =
            content.take(START_BYTES).read_to_end(&mut self.pending).map_err(layer::Error::Read)? as u64;
        let is_program = self.pending[begin..].starts_with(b"\x7fELF");
        if is_program || (size <= NAMED_BYTES_MAX && is_looked_at(path)) {
            loop {
                let n = content
                    .take(WRITE_BYTES as u64)
                    .read_to_end(&mut self.pending)
                    .map_err(layer::Error::Read)?;
                self.write(WRITE_BYTES)?;
                if n == 0 {
                    break;
                }
                kept += n as u64;
            }
        }
        self.write(WRITE_BYTES)?;
        Ok((at, kept))
    }

    /// Writes what is pending if it is more than `spared` bytes.
    fn write(&mut self, spared: usize) -> Result<(), layer::Error> {
        if self.pending.len() > spared {
            (&self.contents).write_all(&self.pending).map_err(layer::Error::Write)?;
            self.written += self.pending.len() as u64;
            self.pending.clear();
        }
        Ok(())
    }

    /// Where a layer's path leads: parents that are links of lower layers are followed inside the root.
    fn real(&self, path: &[u8]) -> Vec<u8> {
        let (parent, name) = split(path);
        let mut here = Vec::new();
        let mut rest: Vec<Vec<u8>> = parent.split(|b| *b == b'/').rev().map(<[u8]>::to_vec).collect();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            match &part[..] {
                b"" | b"." => continue,
                b".." => {
                    here = split(&here).0.to_vec();
                    continue;
                }
                _ => {}
            }
            let next = join(&here, &part);
            match self.entries.get(&next) {
                Some(Item { node: Node { kind: NodeKind::Symlink { target }, .. }, .. })
                    if links < LINKS_MAX =>
                {
                    links += 1;
                    if target.starts_with(b"/") {
                        here.clear();
                    }
                    rest.extend(target.split(|b| *b == b'/').rev().map(<[u8]>::to_vec));
                }
                _ => here = next,
            }
        }
        join(&here, name)
    }

    fn insert(&mut self, path: Vec<u8>, item: Option<Item>) {
        let Some(item) = item else { return };
        if item.node.kind != NodeKind::Directory {
            self.remove_below(&path);
        }
        let mut parent = split(&path).0;
        while !parent.is_empty() && !self.entries.contains_key(parent) {
            let node = Node { kind: NodeKind::Directory, mode: 0o755, uid: 0, gid: 0 };
            self.entries.insert(parent.to_vec(), Item { node, kept: None });
            parent = split(parent).0;
        }
        self.entries.insert(path, item);
    }

    fn remove_below(&mut self, path: &[u8]) {
        if path.is_empty() {
            self.entries.retain(|key, _| key.is_empty());
            return;
        }
        let below: Vec<Vec<u8>> = self.below(path).map(|(key, _)| key.clone()).collect();
        for key in below {
            self.entries.remove(&key);
        }
    }

    fn below(&self, path: &[u8]) -> impl Iterator<Item = (&Vec<u8>, &Item)> {
        let prefix = if path.is_empty() { Vec::new() } else { [path, b"/"].concat() };
        let start = prefix.clone();
        self.entries.range(start..).take_while(move |(key, _)| key.starts_with(&prefix))
    }
}

enum Put {
    Item(Item),
    Link(Vec<u8>),
}

/// Files that a proof or a list of packages reads.
fn is_looked_at(path: &[u8]) -> bool {
    let name = split(path).1;
    matches!(
        path,
        b"etc/passwd"
            | b"etc/group"
            | b"etc/os-release"
            | b"usr/lib/os-release"
            | b"etc/ld.so.preload"
            | b"var/lib/dpkg/status"
            | b"lib/apk/db/installed"
            | b"usr/lib/apk/db/installed"
            | b"usr/lib/sysimage/rpm/rpmdb.sqlite"
            | b"var/lib/rpm/rpmdb.sqlite"
    ) || name == b"package.json"
        || name == b"ld.so.cache"
        || (name.starts_with(b"ld-musl") && name.ends_with(b".path"))
        || path.starts_with(b"var/lib/dpkg/status.d/")
        || (name == b"METADATA" && path.windows(11).any(|part| part == b".dist-info/"))
        || (name == b"PKG-INFO" && path.windows(10).any(|part| part == b".egg-info/"))
}

impl Tree for LayerTree {
    fn node(&self, path: &[u8]) -> io::Result<Option<Node>> {
        Ok(self.entries.get(path).map(|item| item.node.clone()))
    }

    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let children = self.below(path).map(|(key, _)| key).filter(|key| !key.is_empty());
        Ok(children.filter(|key| split(key).0 == path).map(|key| split(key).1.to_vec()).collect())
    }

    fn open(&self, path: &[u8]) -> io::Result<Box<dyn Content + '_>> {
        match self.entries.get(path) {
            Some(Item { node: Node { kind: NodeKind::File { size }, .. }, kept }) => {
                Ok(Box::new(Kept { contents: &self.contents, kept: *kept, size: *size }))
            }
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

#[derive(Debug)]
struct Kept<'a> {
    contents: &'a File,
    kept: Option<(u64, u64)>,
    size: u64,
}

impl Content for Kept<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        if offset >= self.size {
            return Ok(0);
        }
        let (start, length) = self.kept.unwrap_or((0, 0));
        if offset >= length {
            return Err(io::Error::other("this part of the file was not kept while its layer was read"));
        }
        let n = usize::try_from(length - offset).unwrap_or(usize::MAX).min(out.len());
        self.contents.read_at(&mut out[..n], start + offset)
    }
}
