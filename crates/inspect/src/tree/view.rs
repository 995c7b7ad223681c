//! Paths as the kernel resolves them inside the root: links re-rooted and counted, `..` clamped, directories searchable.
//!
//! What was looked at is remembered: one proof asks for the same directories many times.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use super::{Content, Identity, Node, NodeKind, Tree, join, read_start, split};
use crate::elf::{self, Elf};

/// Most links in one look-up. Source: Linux `include/linux/namei.h`, MAXSYMLINKS.
const LINKS_MAX: usize = 40;
/// Longest path that is looked at, bytes. Source: PATH_MAX.
const PATH_BYTES_MAX: usize = 4096;

/// What an ELF file says, or why it is none.
pub type Headers = Result<Rc<Elf>, elf::Error>;

/// A resolver over a tree.
#[derive(Debug)]
pub struct View<'t> {
    tree: &'t dyn Tree,
    nodes: RefCell<HashMap<Vec<u8>, Option<Node>>>,
    elves: RefCell<HashMap<Vec<u8>, Headers>>,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its path without links, relative to the root.
    pub path: Vec<u8>,
    /// What is there; never a symbolic link.
    pub node: Node,
}

/// How a look-up ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Walk {
    /// At this entry.
    Found(Place),
    /// There is no such path; the first component that is missing.
    Missing(Vec<u8>),
    /// A directory on the way may not be searched by the user.
    Denied(Vec<u8>),
    /// A file stands where a directory is needed.
    NotDirectory(Vec<u8>),
    /// Too many symbolic links.
    Loop,
}

impl Walk {
    /// What was found, if anything.
    pub fn found(self) -> Option<Place> {
        match self {
            Self::Found(place) => Some(place),
            _ => None,
        }
    }
}

impl<'t> View<'t> {
    /// A resolver over `tree`.
    pub fn new(tree: &'t dyn Tree) -> Self {
        Self { tree, nodes: RefCell::default(), elves: RefCell::default() }
    }

    /// The tree.
    pub fn tree(&self) -> &'t dyn Tree {
        self.tree
    }

    /// Resolves `path`, following all links, as `who`. A relative path starts at the root.
    pub fn walk(&self, path: &[u8], who: &Identity) -> io::Result<Walk> {
        if path.len() > PATH_BYTES_MAX {
            return Ok(Walk::Missing(path[..64].to_vec()));
        }
        let mut here = Vec::new();
        let mut rest: Vec<Vec<u8>> = components(path);
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == b".." {
                here = split(&here).0.to_vec();
                continue;
            }
            let Some(directory) = self.node(&here)? else { return Ok(Walk::Missing(here)) };
            if directory.kind != NodeKind::Directory {
                return Ok(Walk::NotDirectory(here));
            }
            if !who.may_search(&directory) {
                return Ok(Walk::Denied(here));
            }
            let next = join(&here, &name);
            match self.node(&next)? {
                None => return Ok(Walk::Missing(next)),
                Some(Node { kind: NodeKind::Symlink { target }, .. }) => {
                    links += 1;
                    if links > LINKS_MAX || target.len() > PATH_BYTES_MAX {
                        return Ok(Walk::Loop);
                    }
                    if target.starts_with(b"/") {
                        here.clear();
                    }
                    rest.extend(components(&target));
                }
                Some(_) => here = next,
            }
        }
        Ok(match self.node(&here)? {
            Some(node) => Walk::Found(Place { path: here, node }),
            None => Walk::Missing(here),
        })
    }

    /// The regular file that `path` leads to, for somebody who may go everywhere.
    pub fn file(&self, path: &[u8]) -> io::Result<Option<Place>> {
        Ok(self.walk(path, &Identity::root())?.found().filter(|place| place.node.is_file()))
    }

    /// Whether `path` leads to anything.
    pub fn exists(&self, path: &[u8]) -> io::Result<bool> {
        Ok(matches!(self.walk(path, &Identity::root())?, Walk::Found(_)))
    }

    /// The content of the file that `path` leads to, if it is a file of at most `limit` bytes.
    pub fn read(&self, path: &[u8], limit: u64) -> io::Result<Option<Vec<u8>>> {
        match self.file(path)? {
            Some(Place { path, node: Node { kind: NodeKind::File { size }, .. } }) if size <= limit => {
                Ok(Some(read_start(&*self.tree.open(&path)?, limit)?))
            }
            _ => Ok(None),
        }
    }

    /// The content of a file that was found.
    pub fn open(&self, place: &Place) -> io::Result<Box<dyn Content + 't>> {
        self.tree.open(&place.path)
    }

    /// The ELF file at a place that was found.
    pub fn elf(&self, place: &Place) -> io::Result<Headers> {
        if let Some(known) = self.elves.borrow().get(&place.path) {
            return Ok(known.clone());
        }
        let read = Elf::read(&*self.tree.open(&place.path)?).map(Rc::new);
        self.elves.borrow_mut().insert(place.path.clone(), read.clone());
        Ok(read)
    }

    fn node(&self, path: &[u8]) -> io::Result<Option<Node>> {
        if let Some(known) = self.nodes.borrow().get(path) {
            return Ok(known.clone());
        }
        let node = self.tree.node(path)?;
        self.nodes.borrow_mut().insert(path.to_vec(), node.clone());
        Ok(node)
    }
}

/// Components in reverse, so that the next one is the last.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    names.rev().map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::MemoryTree;

    fn found(tree: &MemoryTree, path: &str) -> String {
        match View::new(tree).walk(path.as_bytes(), &Identity::root()).unwrap() {
            Walk::Found(place) => String::from_utf8(place.path).unwrap(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn links_stay_inside_the_root() {
        let tree = MemoryTree::new()
            .file("usr/bin/a", 0o755, "x")
            .link("bin", "usr/bin")
            .link("abs", "/usr/bin/a")
            .link("up", "../../../usr/bin/a")
            .link("usr/bin/b", "../bin/./a");
        for path in ["/bin/a", "abs", "/up", "//usr//bin/../bin/a", "/../usr/bin/b"] {
            assert_eq!(found(&tree, path), "usr/bin/a", "{path}");
        }
    }

    #[test]
    fn loops_end() {
        let tree = MemoryTree::new().link("a", "b").link("b", "a").link("long", "/long/x");
        assert_eq!(found(&tree, "a"), "Loop");
        assert_eq!(found(&tree, "long"), "Loop");
        assert!(found(&tree, "/nothing/here").starts_with("Missing"));
    }

    #[test]
    fn a_directory_that_may_not_be_searched() {
        let tree = MemoryTree::new().directory("app", 0o700).file("app/x", 0o755, "x");
        let nobody = Identity { uid: 1000, gids: vec![1000] };
        let view = View::new(&tree);
        assert_eq!(view.walk(b"/app/x", &nobody).unwrap(), Walk::Denied(b"app".to_vec()));
        assert!(view.walk(b"/app/x", &Identity::root()).unwrap().found().is_some());
    }
}
