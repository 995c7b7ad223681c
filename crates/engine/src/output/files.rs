//! The files of a result, without an image around them: `type=tar` and `type=local`.
//!
//! Source: BuildKit `exporter/tar` and `exporter/local`. The tar holds owners and times as they are (clamped to the
//! epoch only if one was asked for); a folder belongs to the user who runs the build, as if they had copied it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use jettison_layer::copy::{self, CopyOptions};
use jettison_layer::select::{self, NothingKnown, PathFilter, Selector};
use jettison_layer::{self as layer, EncodeOptions};
use jettison_oci::Compression;
use jettison_store::Store;

use super::Sink;
use crate::error::Error;
use crate::filesystem;
use crate::request::{BuildRequest, Destination};

/// The files of one platform, and the folder that they go to; empty: the top.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: OwnedFd,
    pub(crate) folder: String,
}

/// Writes the trees as one tar.
pub(crate) fn write_tar(
    trees: &[Tree],
    destination: &Destination,
    request: &BuildRequest,
    store: &Store,
) -> Result<(), Error> {
    if let [Tree { root, folder }] = trees
        && folder.is_empty()
    {
        return write_one(root, destination, request);
    }
    // Side by side in one place first: a tar is written from one root.
    let scratch = store.scratch_dir()?;
    let top = filesystem::open_directory(scratch.path())?;
    for tree in trees {
        copy_tree(&tree.root, &top, &tree.folder, None)?;
    }
    write_one(&top, destination, request)
}

fn write_one(root: &OwnedFd, destination: &Destination, request: &BuildRequest) -> Result<(), Error> {
    let failed = |source| Error::Layer { what: "cannot write the files of the result".to_owned(), source };
    let entries = layer::walk(root.as_fd()).map_err(failed)?;
    let mut sink = Sink::create(destination)?;
    let options = EncodeOptions {
        compression: Compression::None,
        level: None,
        clamp_mtime_s: request.epoch_seconds,
        threads: request.threads,
    };
    layer::encode(&entries, &root.as_fd(), &options, &layer::NoChunks, &mut sink).map_err(failed)?;
    sink.finish()
}

/// Copies the trees into `folder`, over what is there.
pub(crate) fn copy_to(trees: &[Tree], folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(Error::io("write", folder))?;
    let to = filesystem::open_directory(folder)?;
    let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    for tree in trees {
        copy_tree(&tree.root, &to, &tree.folder, Some(owner))?;
    }
    Ok(())
}

fn copy_tree(from: &OwnedFd, to: &OwnedFd, folder: &str, owner: Option<(u32, u32)>) -> Result<(), Error> {
    let patterns = [b".".to_vec()];
    let selector = Selector {
        patterns: &patterns,
        excludes: &Everything,
        ignore: &Everything,
        parents: false,
        files: &NothingKnown,
    };
    let selection = select::select(from.as_fd(), &selector)
        .map_err(|e| Error::io("read", "the files of the result")(std::io::Error::other(e.to_string())))?;
    let destination = format!("/{folder}").into_bytes();
    let options = CopyOptions { destination, chown: owner, ..CopyOptions::default() };
    copy::copy(&selection, from.as_fd(), to.as_fd(), &options)
        .map_err(|e| Error::io("write", "the files of the result")(std::io::Error::other(e.to_string())))
}

/// A filter that excludes nothing.
struct Everything;

impl PathFilter for Everything {
    fn excluded(&self, _path: &[u8]) -> bool {
        false
    }

    fn may_reinclude(&self) -> bool {
        false
    }
}
