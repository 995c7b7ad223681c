//! The image to be, as a tree: chosen files of another tree, at the places where they will lie.

use std::collections::BTreeMap;
use std::io;

use jettison_inspect::proof::cleaned;
use jettison_inspect::tree::{Content, join, split};
use jettison_inspect::{Node, NodeKind, Tree, View};

use crate::Item;

/// Most entries of all folders that are kept.
const ENTRIES_MAX: usize = 1_000_000;

/// Chosen files of a tree.
#[derive(Debug)]
pub(crate) struct Kept<'a> {
    tree: &'a dyn Tree,
    /// Each entry, and where its content lies in the tree.
    entries: BTreeMap<Vec<u8>, (Node, Vec<u8>)>,
}

impl<'a> Kept<'a> {
    /// What COPY of `items` would make in an empty image.
    pub(crate) fn new(tree: &'a dyn Tree, view: &View<'_>, items: &[Item]) -> io::Result<Self> {
        let mut kept = Self { tree, entries: BTreeMap::new() };
        kept.insert(Vec::new(), directory(), Vec::new());
        for item in items {
            let Some(place) = view.walk(&item.source, &jettison_inspect::Identity::root())?.found() else {
                continue;
            };
            let (uid, gid) = item.owner.unwrap_or((0, 0));
            let mut pending = vec![(cleaned(&item.destination), place.path, place.node)];
            while let Some((to, from, mut node)) = pending.pop() {
                if kept.entries.len() > ENTRIES_MAX {
                    return Err(io::Error::other("too many files to be kept"));
                }
                if node.kind == NodeKind::Directory {
                    for name in tree.names(&from)? {
                        let from = join(&from, &name);
                        if let Some(node) = tree.node(&from)? {
                            pending.push((join(&to, &name), from, node));
                        }
                    }
                }
                (node.uid, node.gid) = (uid, gid);
                kept.insert(to, node, from);
            }
        }
        Ok(kept)
    }

    fn insert(&mut self, path: Vec<u8>, node: Node, from: Vec<u8>) {
        let mut parent = split(&path).0;
        while !parent.is_empty() {
            self.entries.entry(parent.to_vec()).or_insert((directory(), Vec::new()));
            parent = split(parent).0;
        }
        self.entries.insert(path, (node, from));
    }
}

fn directory() -> Node {
    Node { kind: NodeKind::Directory, mode: 0o755, uid: 0, gid: 0 }
}

impl Tree for Kept<'_> {
    fn node(&self, path: &[u8]) -> io::Result<Option<Node>> {
        Ok(self.entries.get(path).map(|(node, _)| node.clone()))
    }

    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let start = if path.is_empty() { Vec::new() } else { [path, b"/"].concat() };
        let below = self.entries.range(start.clone()..).map(|(key, _)| key);
        let below = below.take_while(|key| key.starts_with(&start)).filter(|key| !key.is_empty());
        Ok(below.filter(|key| split(key).0 == path).map(|key| split(key).1.to_vec()).collect())
    }

    fn open(&self, path: &[u8]) -> io::Result<Box<dyn Content + '_>> {
        match self.entries.get(path) {
            Some((node, from)) if node.is_file() => self.tree.open(from),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}
