//! A tree made of values: for tests, and for asking what would be if some files were added.

use std::collections::BTreeMap;
use std::io;

use super::{Content, Node, NodeKind, Tree, split};

/// A tree in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    nodes: BTreeMap<Vec<u8>, (Node, Vec<u8>)>,
}

impl MemoryTree {
    /// Nothing but the root directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file, owned by root, with its parents.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        let content = content.into();
        let kind = NodeKind::File { size: content.len() as u64 };
        self.put(path, Node { kind, mode, uid: 0, gid: 0 }, content)
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        let kind = NodeKind::Symlink { target: target.as_bytes().to_vec() };
        self.put(path, Node { kind, mode: 0o777, uid: 0, gid: 0 }, Vec::new())
    }

    /// Adds a directory.
    #[must_use]
    pub fn directory(self, path: &str, mode: u32) -> Self {
        self.put(path, Node { kind: NodeKind::Directory, mode, uid: 0, gid: 0 }, Vec::new())
    }

    /// Gives what was added at `path` an owner.
    #[must_use]
    pub fn owned(mut self, path: &str, uid: u32, gid: u32) -> Self {
        if let Some((node, _)) = self.nodes.get_mut(path.trim_matches('/').as_bytes()) {
            (node.uid, node.gid) = (uid, gid);
        }
        self
    }

    /// Adds an entry, and directories for parents that are missing.
    pub fn insert(&mut self, path: &[u8], node: Node, content: Vec<u8>) {
        let mut parent = split(path).0;
        while !parent.is_empty() {
            let directory = Node { kind: NodeKind::Directory, mode: 0o755, uid: 0, gid: 0 };
            self.nodes.entry(parent.to_vec()).or_insert((directory, Vec::new()));
            parent = split(parent).0;
        }
        self.nodes.insert(path.to_vec(), (node, content));
    }

    fn put(mut self, path: &str, node: Node, content: Vec<u8>) -> Self {
        self.insert(path.trim_matches('/').as_bytes(), node, content);
        self
    }
}

impl Tree for MemoryTree {
    fn node(&self, path: &[u8]) -> io::Result<Option<Node>> {
        if path.is_empty() && !self.nodes.contains_key(path) {
            return Ok(Some(Node { kind: NodeKind::Directory, mode: 0o755, uid: 0, gid: 0 }));
        }
        Ok(self.nodes.get(path).map(|(node, _)| node.clone()))
    }

    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let children = self.nodes.keys().filter(|key| !key.is_empty() && split(key).0 == path);
        Ok(children.map(|key| split(key).1.to_vec()).collect())
    }

    fn open(&self, path: &[u8]) -> io::Result<Box<dyn Content + '_>> {
        match self.nodes.get(path) {
            Some((node, content)) if node.is_file() => Ok(Box::new(&content[..])),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Content for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let n = out.len().min(self.len() - start);
        out[..n].copy_from_slice(&self[start..start + n]);
        Ok(n)
    }
}
