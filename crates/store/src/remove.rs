//! Removing trees.
use std::path::Path;

use crate::Error;

/// Removes `path` and everything below it; never follows a link and never crosses into another mount.
pub fn remove_tree(path: &Path) -> Result<(), Error> {
    let _ = path;
    todo!()
}
