//! A tree out of layers that nobody has unpacked: one pass over each tar, names and modes kept, whiteouts honoured.
//!
//! Contents are kept only of what a proof may look at: whole programs and libraries, small files of `/etc` and of
//! package managers, the beginning of all others. They lie in one file that the caller gives, so memory holds names
//! only.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use jettison_layer::{self as layer, Kind, Limits};

use super::merged::{self, Layer, Merged, node_kind};
use super::{Content, Node, NodeKind, Tree, split};

/// Bytes that are kept of any file: what the kernel looks at.
const START_BYTES: u64 = 256;
/// Bytes that are written at once.
const WRITE_BYTES: usize = 1 << 20;
/// Largest file of those that are kept by name, bytes.
const NAMED_BYTES_MAX: u64 = 256 << 20;
/// An index over the layers of an image.
#[derive(Debug)]
pub struct LayerTree {
    entries: Merged<Item>,
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
        Self { entries: Merged::new(), contents, written: 0, pending: Vec::new() }
    }

    /// Adds a layer, an uncompressed tar, on top.
    ///
    /// # Errors
    /// If it is damaged or too large.
    pub fn add(&mut self, tar: &mut dyn Read, limits: &Limits) -> Result<(), layer::Error> {
        let layer = Layer::read(tar, limits, &mut |entry, content| {
            let kept = match entry.kind {
                Kind::File { size } => Some(self.keep(&entry.path, content, size)?),
                _ => None,
            };
            let kind = node_kind(&entry.kind);
            Ok(Item { node: Node { kind, mode: entry.mode, uid: entry.uid, gid: entry.gid }, kept })
        })?;
        self.write(0)?;
        self.entries.add(layer, &mut |_| ());
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
}

/// Files that a proof or a list of packages reads.
fn is_looked_at(path: &[u8]) -> bool {
    let name = split(path).1;
    matches!(
        path,
        b"etc/passwd" | b"etc/group" | b"etc/os-release" | b"usr/lib/os-release" | b"etc/ld.so.preload"
    ) || name == b"package.json"
        || name == b"ld.so.cache"
        || (name.starts_with(b"ld-musl") && name.ends_with(b".path"))
        || crate::sbom::reads(path)
}

impl merged::Item for Item {
    fn kind(&self) -> &NodeKind {
        &self.node.kind
    }

    fn implied() -> Self {
        Self { node: Node { kind: NodeKind::Directory, mode: 0o755, uid: 0, gid: 0 }, kept: None }
    }
}

impl Tree for LayerTree {
    fn node(&self, path: &[u8]) -> io::Result<Option<Node>> {
        Ok(self.entries.get(path).map(|item| item.node.clone()))
    }

    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let children = self.entries.below(path).map(|(key, _)| key);
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
