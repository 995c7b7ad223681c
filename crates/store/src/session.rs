//! Temporary directories.
use std::path::Path;

use crate::{Error, Store};

impl Store {
    /// A private temporary directory, on the same file system as snapshots.
    pub fn scratch_dir(&self) -> Result<ScratchDir, Error> {
        todo!()
    }
}

/// A temporary directory; removed on drop, or by the next process if this one dies.
#[derive(Debug)]
pub struct ScratchDir {}

impl ScratchDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        todo!()
    }
}
