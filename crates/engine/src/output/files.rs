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

use super::Sink;
use crate::error::Error;
use crate::filesystem;
use crate::request::{BuildRequest, Destination};

/// Writes the tree below `root` as a tar.
pub(crate) fn write_tar(
    root: &OwnedFd,
    destination: &Destination,
    request: &BuildRequest,
) -> Result<(), Error> {
    let failed = |source| Error::Layer { what: "cannot write the files of the result".to_owned(), source };
    let entries = layer::walk(root.as_fd()).map_err(failed)?;
    let mut sink = Sink::create(destination)?;
    let options = EncodeOptions {
        compression: Compression::None,
        level: None,
        clamp_mtime_s: request.epoch_seconds,
        threads: request.threads,
    };
    layer::encode(&entries, root.as_fd(), &options, &layer::NoChunks, &mut sink).map_err(failed)?;
    sink.finish()
}

/// Copies the tree below `root` into `folder`, over what is there.
pub(crate) fn copy_to(root: &OwnedFd, folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(Error::io("write", folder))?;
    let to = filesystem::open_directory(folder)?;
    let patterns = [b".".to_vec()];
    let selector = Selector {
        patterns: &patterns,
        excludes: &Everything,
        ignore: &Everything,
        parents: false,
        files: &NothingKnown,
    };
    let selection = select::select(root.as_fd(), &selector)
        .map_err(|e| Error::io("read", "the files of the result")(std::io::Error::other(e.to_string())))?;
    let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let options = CopyOptions { destination: b"/".to_vec(), chown: Some(owner), ..CopyOptions::default() };
    copy::copy(&selection, root.as_fd(), to.as_fd(), &options)
        .map(drop)
        .map_err(|e| Error::io("write", folder)(std::io::Error::other(e.to_string())))
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
