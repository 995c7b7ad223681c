//! The store: opening it, its parts, and what is shared by all handles on it.

use std::path::Path;

use crate::Error;

/// A store on disk. Cheap to clone; all methods may be called from many threads.
#[derive(Clone, Debug)]
pub struct Store {}

impl Store {
    /// Opens the store at `root`, making it if there is none, and clears away what processes that died have left.
    ///
    /// # Errors
    ///
    /// Kinds `NotWritable`, `NoSpace`, `TooNew`, `Damaged`, `Locked`.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let _ = root;
        todo!()
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        todo!()
    }

    /// A directory that is always empty (overlayfs wants two lower directories for a view without an upper one).
    pub fn empty_dir(&self) -> &Path {
        todo!()
    }

    /// Writes out what is remembered in memory only: times of last use and digests of files. Happens by itself when
    /// the last handle is dropped.
    pub fn flush(&self) -> Result<(), Error> {
        todo!()
    }
}
