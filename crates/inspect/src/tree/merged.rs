//! Layers merged into one tree: what whiteouts hide, what later layers replace, where links of lower layers lead a path.
//!
//! The rule stands here once for everything that looks at layers which nobody unpacked: trees (`layers.rs`), sizes
//! (`../size.rs`), comparisons (`../diff/`). Each keeps of an entry what it needs ([`Item`]).

use std::collections::BTreeMap;
use std::io::Read;

use jettison_layer::{self as layer, Change, Content, Entry, Kind, Limits};

use super::{NodeKind, join, split};

/// Most links on the way to where a layer writes.
const LINKS_MAX: usize = 40;

/// What is kept of an entry.
pub(crate) trait Item: Clone {
    /// What kind of file it is.
    fn kind(&self) -> &NodeKind;

    /// A directory that no layer lists but a path needs.
    fn implied() -> Self;

    /// A further name of the same file.
    fn linked(&self) -> Self {
        self.clone()
    }
}

/// What one layer does, in the order in which it is done.
#[derive(Debug)]
pub(crate) struct Layer<T> {
    /// What it hides of the layers below; whether the path itself, too.
    hidden: Vec<(Vec<u8>, bool)>,
    put: Vec<(Vec<u8>, Put<T>)>,
}

#[derive(Debug)]
enum Put<T> {
    Item(T),
    Link(Vec<u8>),
}

impl<T> Layer<T> {
    /// Reads an uncompressed tar; `keep` says what is kept of each entry that is no hard link.
    ///
    /// # Errors
    /// If it is damaged or larger than `limits`, or whatever `keep` returns.
    pub(crate) fn read(
        tar: &mut dyn Read,
        limits: &Limits,
        keep: &mut dyn FnMut(&Entry, &mut Content<'_, '_>) -> Result<T, layer::Error>,
    ) -> Result<Self, layer::Error> {
        let mut read = Self { hidden: Vec::new(), put: Vec::new() };
        layer::for_each_member(tar, limits, &mut |change, content| {
            match change {
                Change::Hide(path) => read.hidden.push((path, true)),
                Change::HideContent(path) => read.hidden.push((path, false)),
                Change::Put(Entry { path, kind: Kind::Hardlink { target }, .. }) => {
                    read.put.push((path, Put::Link(target)));
                }
                Change::Put(entry) => {
                    let item = keep(&entry, content)?;
                    read.put.push((entry.path, Put::Item(item)));
                }
            }
            Ok(())
        })?;
        Ok(read)
    }
}

/// The kind of an entry of a layer; a hard link never comes here.
pub(crate) fn node_kind(kind: &Kind) -> NodeKind {
    match kind {
        Kind::File { size } => NodeKind::File { size: *size },
        Kind::Directory => NodeKind::Directory,
        Kind::Symlink { target } => NodeKind::Symlink { target: target.clone() },
        _ => NodeKind::Other,
    }
}

/// What a container sees. Paths are relative; empty is the root.
#[derive(Clone, Debug)]
pub(crate) struct Merged<T> {
    entries: BTreeMap<Vec<u8>, T>,
}

impl<T: Item> Merged<T> {
    /// Nothing but a root directory.
    pub(crate) fn new() -> Self {
        Self { entries: BTreeMap::from([(Vec::new(), T::implied())]) }
    }

    /// Adds a layer on top; `gone` gets what was there and is not any more.
    pub(crate) fn add(&mut self, layer: Layer<T>, gone: &mut dyn FnMut(T)) {
        for (path, itself) in layer.hidden {
            let path = self.real(&path);
            self.remove_below(&path, gone);
            if itself
                && !path.is_empty()
                && let Some(old) = self.entries.remove(&path)
            {
                gone(old);
            }
        }
        for (path, put) in layer.put {
            let path = self.real(&path);
            let item = match put {
                Put::Item(item) => Some(item),
                Put::Link(target) => self.entries.get(&self.real(&target)).map(T::linked),
            };
            if let Some(item) = item {
                self.insert(path, item, gone);
            }
        }
    }

    /// The entry at a path, itself not followed.
    pub(crate) fn get(&self, path: &[u8]) -> Option<&T> {
        self.entries.get(path)
    }

    /// All entries in the order of their paths, the root first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Vec<u8>, &T)> {
        self.entries.iter()
    }

    /// Everything below a directory, in the order of paths.
    pub(crate) fn below(&self, path: &[u8]) -> impl Iterator<Item = (&Vec<u8>, &T)> {
        let prefix = if path.is_empty() { Vec::new() } else { [path, b"/"].concat() };
        let start = prefix.clone();
        let below = self.entries.range(start..).take_while(move |(key, _)| key.starts_with(&prefix));
        below.filter(|(key, _)| !key.is_empty())
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
            match self.entries.get(&next).map(T::kind) {
                Some(NodeKind::Symlink { target }) if links < LINKS_MAX => {
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

    fn insert(&mut self, path: Vec<u8>, item: T, gone: &mut dyn FnMut(T)) {
        if *item.kind() != NodeKind::Directory {
            self.remove_below(&path, gone);
        }
        let mut parent = split(&path).0;
        while !parent.is_empty() && !self.entries.contains_key(parent) {
            self.entries.insert(parent.to_vec(), T::implied());
            parent = split(parent).0;
        }
        if let Some(old) = self.entries.insert(path, item) {
            gone(old);
        }
    }

    fn remove_below(&mut self, path: &[u8], gone: &mut dyn FnMut(T)) {
        let below: Vec<Vec<u8>> = self.below(path).map(|(key, _)| key.clone()).collect();
        for key in below {
            gone(self.entries.remove(&key).expect("it was there a moment ago"));
        }
    }
}
