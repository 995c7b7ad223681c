//! Files with several names, in a difference between layers.
//!
//! What is the same as below is left out of a layer. A file whose other name is written must come along, though, or two
//! names of one file would come out as two files; so must a file whose names were two files below.

use std::collections::{HashMap, HashSet};

use rustix::fs::Stat;

use crate::{Entry, Kind};

/// Device and inode number.
pub(crate) type Inode = (u64, u64);

/// The inode of what was looked at.
pub(crate) fn inode(stat: &Stat) -> Inode {
    (stat.st_dev, stat.st_ino)
}

/// The inode of what has several names.
pub(crate) fn shared_inode(stat: &Stat) -> Option<Inode> {
    (stat.st_nlink > 1).then(|| inode(stat))
}

/// A name that is the same as below.
#[derive(Debug)]
struct Kept {
    entry: Entry,
    below: Inode,
    /// The directories above it that are unchanged as well.
    parents: Vec<Entry>,
}

/// All names of files that have more than one.
#[derive(Debug, Default)]
pub(crate) struct Names {
    inodes: HashMap<Vec<u8>, Inode>,
    kept: HashMap<Inode, Vec<Kept>>,
}

impl Names {
    /// A name that is written, and its inode if that has several.
    pub(crate) fn see(&mut self, entry: &Entry, inode: Option<Inode>) {
        if let Some(inode) = inode.filter(|_| !matches!(entry.kind, Kind::Directory | Kind::Whiteout)) {
            self.inodes.insert(entry.path.clone(), inode);
        }
    }

    /// A name that is not written unless another one of its file is.
    pub(crate) fn keep_back(&mut self, entry: Entry, inode: Option<Inode>, below: Inode, parents: &[Entry]) {
        if let Some(inode) = inode {
            let kept = Kept { entry, below, parents: parents.to_vec() };
            self.kept.entry(inode).or_default().push(kept);
        }
    }

    /// Adds the names that were kept back wrongly, and the directories above them.
    pub(crate) fn bring_along(&mut self, found: &mut Vec<Entry>) {
        let written: HashSet<Inode> = self.inodes.values().copied().collect();
        for (inode, kept) in self.kept.drain() {
            let one_file_below = kept.iter().all(|name| name.below == kept[0].below);
            if one_file_below && !written.contains(&inode) {
                continue;
            }
            for name in kept {
                self.inodes.insert(name.entry.path.clone(), inode);
                found.extend(name.parents);
                found.push(name.entry);
            }
        }
    }

    /// Makes hard links of the second and later names of one file, in the order of the layer.
    pub(crate) fn link(&self, entries: &mut [Entry]) {
        let mut first: HashMap<Inode, Vec<u8>> = HashMap::new();
        for entry in entries {
            let Some(inode) = self.inodes.get(&entry.path) else { continue };
            match first.get(inode) {
                Some(target) => entry.kind = Kind::Hardlink { target: target.clone() },
                None => drop(first.insert(*inode, entry.path.clone())),
            }
        }
    }
}
