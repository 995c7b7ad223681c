//! The file system of an image: its layers, stacked.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::archive::{Entry, Kind};

/// Marks a name that is deleted.
const WHITEOUT: &str = ".wh.";
/// Marks a directory of which nothing below is seen.
const OPAQUE: &str = ".wh..wh..opq";

/// A file of the tree; equal pointers are names of one file.
pub type Node = Arc<Entry>;

/// Paths and what lies there. The root itself has no entry.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// All of it.
    pub nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// Stacks layers, the lowest first.
    pub fn of(layers: &[Vec<Entry>]) -> Self {
        let mut tree = Self::default();
        for layer in layers {
            tree.apply(layer);
        }
        tree
    }

    fn apply(&mut self, layer: &[Entry]) {
        // Whiteouts speak of the layers below only, so they come first.
        for entry in layer {
            let (folder, name) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
            if name == OPAQUE {
                self.remove_below(folder);
            } else if let Some(hidden) = name.strip_prefix(WHITEOUT) {
                let path = if folder.is_empty() { hidden.to_owned() } else { format!("{folder}/{hidden}") };
                self.remove(&path);
            }
        }
        for entry in layer {
            let name = entry.path.rsplit('/').next().unwrap_or_default();
            if entry.path.is_empty() || name.starts_with(WHITEOUT) {
                continue;
            }
            let node = match &entry.kind {
                Kind::HardLink(target) => match self.nodes.get(target) {
                    Some(node) => Arc::clone(node),
                    // Shown as it is: a link to nothing.
                    None => Arc::new(entry.clone()),
                },
                _ => Arc::new(entry.clone()),
            };
            let both = |old: &Node| old.kind == Kind::Directory && node.kind == Kind::Directory;
            if !self.nodes.get(&entry.path).is_some_and(both) {
                self.remove(&entry.path);
            }
            self.nodes.insert(entry.path.clone(), node);
        }
    }

    fn remove(&mut self, path: &str) {
        self.nodes.remove(path);
        self.remove_below(path);
    }

    fn remove_below(&mut self, folder: &str) {
        let start = format!("{folder}/");
        self.nodes.retain(|path, _| !folder.is_empty() && !path.starts_with(&start));
    }

    /// For each path a text of all that must be equal in two builds of one Dockerfile: type, mode, owner, content,
    /// link target, capability, and which names are one file. Times are left out.
    pub fn lines(&self) -> BTreeMap<String, String> {
        let mut names: BTreeMap<*const Entry, Vec<&str>> = BTreeMap::new();
        for (path, node) in &self.nodes {
            names.entry(Arc::as_ptr(node)).or_default().push(path);
        }
        let line = |node: &Node| {
            let all = &names[&Arc::as_ptr(node)];
            let links = if all.len() > 1 { format!(" names: {}", all.join(" ")) } else { String::new() };
            format!("{}{links}", crate::show::node(node))
        };
        self.nodes.iter().map(|(path, node)| (path.clone(), line(node))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry { path: path.to_owned(), kind, mode: 0o644, uid: 0, gid: 0, mtime: 0, capability: None }
    }

    fn file(path: &str) -> Entry {
        entry(path, Kind::File(path.into()))
    }

    #[test]
    fn whiteouts_and_opaque_directories_hide_what_is_below_only() {
        let lower = vec![entry("d", Kind::Directory), file("d/a"), file("d/b"), file("e"), file("ee")];
        let upper = vec![file("d/c"), file("d/.wh..wh..opq"), file(".wh.e")];
        let tree = Tree::of(&[lower, upper]);
        assert_eq!(tree.nodes.keys().collect::<Vec<_>>(), ["d", "d/c", "ee"]);
    }

    #[test]
    fn a_file_in_the_place_of_a_directory_takes_all_of_it_away() {
        let lower = vec![entry("d", Kind::Directory), file("d/a")];
        let tree = Tree::of(&[lower, vec![file("d")]]);
        assert_eq!(tree.nodes.keys().collect::<Vec<_>>(), ["d"]);
    }

    #[test]
    fn names_of_one_file_are_named_together() {
        let tree = Tree::of(&[vec![file("a"), entry("b", Kind::HardLink("a".to_owned()))]]);
        assert!(tree.lines()["b"].ends_with(" names: a b"), "{:?}", tree.lines());
    }
}
