//! Blobs against their names, and what lies among them and in the folders of locks.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use jettison_oci::{Algorithm, Digest, DigestReader};

use super::{Finding, FsckReport, Sound};
use crate::{Error, Result, Store, lock};

impl Store {
    /// Reads every blob.
    pub(super) fn check_blobs(&self, sound: &mut Sound, report: &mut FsckReport) -> Result<()> {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let folder = self.root().join("blobs").join(algorithm.name());
            for path in entries(&folder)? {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let digest: Option<Digest> = format!("{}:{name}", algorithm.name()).parse().ok();
                let is_file = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
                let Some(digest) = digest.filter(|_| is_file) else {
                    report.findings.push(Finding::Leftover(path));
                    continue;
                };
                let file = File::open(&path).map_err(Error::io("open", &path))?;
                let mut reader = DigestReader::new(file, algorithm);
                let size = io::copy(&mut reader, &mut io::sink()).map_err(Error::io("read", &path))?;
                let found = reader.finish().1;
                report.blobs += 1;
                report.bytes += size;
                if found == digest {
                    sound.blobs.insert(digest, size);
                } else {
                    report.findings.push(Finding::Blob { digest, path, found });
                }
            }
        }
        Ok(())
    }

    /// Locks of steps that nobody holds: their holder was killed.
    pub(super) fn check_locks(&self, report: &mut FsckReport) -> Result<()> {
        for path in entries(&self.root().join("locks/steps"))? {
            // Whoever holds it is at work; it goes with him.
            if lock::try_exclusive(&path)?.is_some() {
                report.findings.push(Finding::Leftover(path));
            }
        }
        Ok(())
    }
}

/// What is in a folder, sorted; nothing if it is not there.
pub(super) fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let read = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(Error::io("read", folder))?,
    };
    let mut paths = Vec::new();
    for entry in read {
        paths.push(entry.map_err(Error::io("read", folder))?.path());
    }
    paths.sort();
    Ok(paths)
}
