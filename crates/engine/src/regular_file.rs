//! Reading a whole file that somebody else put there: nothing but a regular file, and no more than a limit. A pipe would
//! make us wait for whoever writes into it, a device might never end. Contexts (`context.rs`, `fetch.rs`) read their
//! own files this way.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};

/// Waits for nobody when it opens a file.
pub(crate) const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Reads the file at `path`, links followed.
pub(crate) fn read(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    read_open(rustix::fs::openat(CWD, path, FLAGS, Mode::empty())?.into(), max_bytes)
}

/// Reads a file that was opened with [`FLAGS`].
pub(crate) fn read_open(file: File, max_bytes: u64) -> io::Result<Vec<u8>> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(io::Error::other(format!("it is larger than {} MiB", max_bytes >> 20)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_folders_devices_and_large_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("small"), "text").unwrap();
        std::fs::write(at("large"), vec![0; (1 << 20) + 1]).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("endless")).unwrap();
        rustix::fs::mknodat(CWD, at("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let error = |name: &str| read(&at(name), 1 << 20).unwrap_err().to_string();
        assert_eq!(read(&at("small"), 4).unwrap(), b"text");
        for name in ["pipe", "endless", "."] {
            assert_eq!(error(name), "it is no regular file", "{name}");
        }
        assert_eq!(error("large"), "it is larger than 1 MiB");
        assert_eq!(read(&at("missing"), 1).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
