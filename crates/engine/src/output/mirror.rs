//! `mode=delete` of local outputs: before the files of a result are copied into a folder, whatever it holds beside them goes.
//!
//! Links are never followed, and what is mounted in the folder is left alone with an error (`store::remove_tree`).

use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::Path;

use jettison_store::remove_tree;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::files::Tree;
use crate::error::Error;

/// Removes from `folder` what none of `trees` has, and what is a directory on one side only.
pub(crate) fn remove_others(trees: &[Tree], folder: &Path) -> Result<(), Error> {
    for tree in trees {
        if tree.folder.is_empty() {
            return remove_beside(&tree.root, folder);
        }
        remove_beside(&tree.root, &folder.join(&tree.folder))?;
    }
    for entry in entries(folder)? {
        if !trees.iter().any(|tree| *tree.folder == entry.file_name()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn remove_beside(from: &OwnedFd, folder: &Path) -> Result<(), Error> {
    for entry in entries(folder)? {
        let (name, path) = (entry.file_name(), entry.path());
        let is_directory = entry.file_type().map_err(Error::io("read", &path))?.is_dir();
        match statat(from, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if (FileType::from_raw_mode(stat.st_mode) == FileType::Directory) != is_directory => {
                remove(&path)?;
            }
            Ok(_) if is_directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let below = openat(from, &name, flags, Mode::empty());
                remove_beside(&below.map_err(|e| Error::io("read", &path)(e.into()))?, &path)?;
            }
            // It is replaced.
            Ok(_) => {}
            Err(Errno::NOENT) => remove(&path)?,
            Err(error) => return Err(Error::io("read", &path)(error.into())),
        }
    }
    Ok(())
}

/// What is in `folder`; nothing if it is not there.
fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>, Error> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other,
    };
    listed.and_then(Iterator::collect).map_err(Error::io("read", folder))
}

fn remove(path: &Path) -> Result<(), Error> {
    remove_tree(path).map_err(Error::io("remove", path))
}
