//! Trees: the merged files of an image, to look into without changing or running anything.
//!
//! A [`Tree`] answers about exact paths and follows no link; [`View`] (`view.rs`) resolves paths as the kernel would.
//! `directory.rs` is a mounted or unpacked root, `layers.rs` an index over layers that nobody unpacked, `memory.rs` a tree
//! made of values; `merged.rs` has the rule of how layers become one tree.

mod directory;
mod identity;
mod layers;
mod memory;
pub(crate) mod merged;
mod view;

use std::fmt::Debug;
use std::io;

pub use directory::Directory;
pub use identity::{Identity, UnknownName};
pub use layers::LayerTree;
pub use memory::MemoryTree;
pub use view::{Headers, Place, View, Walk};

/// What kind of file it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A regular file of so many bytes.
    File {
        /// Its size, bytes.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// What it says.
        target: Vec<u8>,
    },
    /// A device, a pipe, a socket.
    Other,
}

/// One entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Permission bits, 0 to 07777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Node {
    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        matches!(self.kind, NodeKind::File { .. })
    }
}

/// The merged files of an image. Paths are relative, without `.`, `..` or slashes at the ends; empty is the root. No
/// parent in a path is a symbolic link: [`View`] sees to that.
pub trait Tree: Debug {
    /// The entry at `path`, itself not followed; `None` if there is none.
    fn node(&self, path: &[u8]) -> io::Result<Option<Node>>;

    /// Names in the directory at `path`, in any order.
    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>>;

    /// The same, each with whether it is a directory itself; for walks through a whole tree, where each node has its price.
    fn entries(&self, path: &[u8]) -> io::Result<Vec<(Vec<u8>, bool)>> {
        let is_directory = |name: &[u8]| -> io::Result<bool> {
            let node = self.node(&join(path, name))?;
            Ok(node.is_some_and(|node| node.kind == NodeKind::Directory))
        };
        self.names(path)?.into_iter().map(|name| Ok((name.clone(), is_directory(&name)?))).collect()
    }

    /// The content of the regular file at `path`.
    fn open(&self, path: &[u8]) -> io::Result<Box<dyn Content + '_>>;
}

/// The bytes of a file.
pub trait Content: Debug {
    /// How many there are.
    fn size(&self) -> u64;

    /// Reads at `offset`; 0 at the end.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize>;
}

/// At most `limit` bytes from the beginning of `content`.
pub fn read_start(content: &dyn Content, limit: u64) -> io::Result<Vec<u8>> {
    let wanted = usize::try_from(content.size().min(limit)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; wanted];
    let mut read = 0;
    while read < wanted {
        match content.read_at(read as u64, &mut bytes[read..]) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(read);
    Ok(bytes)
}

/// Parent and last component of a relative path.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// `a/b`, or `b` if `a` is empty.
pub fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}
