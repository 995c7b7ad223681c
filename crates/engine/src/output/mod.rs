//! Where a result goes: image archives, plain files, registries. One file per kind.
//!
//! Everything is written under a temporary name beside its destination and renamed, so that a failed build never
//! leaves half an output nor damages an earlier one.

pub(crate) mod archive;
mod archive_tar;
pub(crate) mod files;
pub(crate) mod mirror;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::request::Destination;

/// A file that appears under its name only when it is whole; or something that can only be written to as it is:
/// standard output, a device, a pipe.
#[derive(Debug)]
pub(crate) struct Sink {
    out: Out,
    /// For messages.
    name: PathBuf,
    /// The file's name until it is whole, and the one that it gets then.
    pending: Option<(PathBuf, PathBuf)>,
}

#[derive(Debug)]
enum Out {
    File(BufWriter<File>),
    Stdout(io::Stdout),
}

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 1 << 20;

impl Sink {
    pub(crate) fn create(destination: &Destination) -> Result<Self, Error> {
        match destination {
            Destination::Stdout => {
                let name = PathBuf::from("standard output");
                Ok(Self { out: Out::Stdout(io::stdout()), name, pending: None })
            }
            Destination::Path(path) => Self::file(path).map_err(Error::io("write", path)),
        }
    }

    fn file(path: &Path) -> io::Result<Self> {
        let (file, pending) = match std::fs::metadata(path) {
            // A device or a pipe has readers of its own; a file in its place would take it away from everybody.
            Ok(there) if !there.is_file() => (File::options().write(true).open(path)?, None),
            there => {
                // A link stays a link: what it leads to is replaced.
                let path = if there.is_ok() { std::fs::canonicalize(path)? } else { path.to_owned() };
                let temporary = temporary_beside(&path);
                (File::create(&temporary)?, Some((temporary, path)))
            }
        };
        let out = Out::File(BufWriter::with_capacity(BUFFER_BYTES, file));
        Ok(Self { out, name: path.to_owned(), pending })
    }

    /// Flushes and gives the file its name.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        let flushed = self.flush();
        let named = flushed.and_then(|()| match &self.pending {
            Some((temporary, path)) => std::fs::rename(temporary, path),
            None => Ok(()),
        });
        named.map_err(Error::io("write", &self.name))?;
        self.pending = None;
        Ok(())
    }

    /// Name for messages.
    pub(crate) fn name(&self) -> &Path {
        &self.name
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.out {
            Out::File(out) => out.write(bytes),
            Out::Stdout(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.out {
            Out::File(out) => out.flush(),
            Out::Stdout(out) => out.flush(),
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some((temporary, _)) = &self.pending {
            let _ = std::fs::remove_file(temporary);
        }
    }
}

/// Writes a small file whole or not at all: `--iidfile`, `--metadata-file`.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut sink = Sink::create(&Destination::Path(path.to_owned()))?;
    sink.write_all(bytes).map_err(Error::io("write", path))?;
    sink.finish()
}

/// A name in the same folder that two processes never share.
fn temporary_beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".jettison-{}", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_when_it_is_whole_and_a_link_to_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::os::unix::fs::symlink("file", &link).unwrap();
        std::fs::write(&file, "old").unwrap();
        let mut sink = Sink::create(&Destination::Path(link.clone())).unwrap();
        sink.write_all(b"half").unwrap();
        drop(sink);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "old");
        write_atomically(&link, b"new").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    /// A pipe stands for /dev/null, which `save -o /dev/null` must not replace by a file.
    #[test]
    fn what_is_no_file_is_written_to_and_stays_what_it_is() {
        use std::os::unix::fs::FileTypeExt as _;
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let reader = {
            let pipe = pipe.clone();
            std::thread::spawn(move || std::fs::read_to_string(pipe).unwrap())
        };
        write_atomically(&pipe, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), "through");
        assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
        let error = write_atomically(folder.path(), b"x").unwrap_err().to_string();
        assert!(error.contains("directory"), "{error}");
    }
}
