//! Where a result goes: image archives, plain files, registries. One file per kind.
//!
//! Everything is written under a temporary name beside its destination and renamed, so that a failed build never
//! leaves half an output nor damages an earlier one.

pub(crate) mod archive;
mod archive_tar;
pub(crate) mod files;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::request::Destination;

/// A file that appears under its name only when it is whole; or standard output.
#[derive(Debug)]
pub(crate) enum Sink {
    File { out: BufWriter<File>, temporary: PathBuf, path: PathBuf, done: bool },
    Stdout(io::Stdout),
}

impl Sink {
    pub(crate) fn create(destination: &Destination) -> Result<Self, Error> {
        match destination {
            Destination::Stdout => Ok(Self::Stdout(io::stdout())),
            Destination::Path(path) => {
                let temporary = temporary_beside(path);
                let out = File::create(&temporary).map_err(Error::io("write", path))?;
                Ok(Self::File {
                    out: BufWriter::with_capacity(1 << 20, out),
                    temporary,
                    path: path.clone(),
                    done: false,
                })
            }
        }
    }

    /// Flushes and gives the file its name.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        match &mut self {
            Self::Stdout(out) => out.flush().map_err(Error::io("write", "standard output")),
            Self::File { out, temporary, path, done } => {
                out.flush()
                    .and_then(|()| std::fs::rename(&*temporary, &*path))
                    .map_err(Error::io("write", &*path))?;
                *done = true;
                Ok(())
            }
        }
    }

    /// Name for messages.
    pub(crate) fn name(&self) -> PathBuf {
        match self {
            Self::Stdout(_) => PathBuf::from("standard output"),
            Self::File { path, .. } => path.clone(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File { out, .. } => out.write(bytes),
            Self::Stdout(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File { out, .. } => out.flush(),
            Self::Stdout(out) => out.flush(),
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Self::File { temporary, done: false, .. } = self {
            let _ = std::fs::remove_file(temporary);
        }
    }
}

/// A name in the same folder that two processes never share.
pub(crate) fn temporary_beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".jettison-{}", std::process::id()));
    path.with_file_name(name)
}
