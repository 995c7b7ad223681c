//! Downloads that may be continued: one append-only file for each digest, kept over a broken build.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use jettison_oci::{Digest, Hasher};

use crate::lock::Lock;
use crate::{Error, Result, Store, blob, lock};

/// Bytes that are read at once when what is there is hashed again.
const REPLAY_BYTES: usize = 256 << 10;

/// A download under way. Dropped without [`PartialBlob::commit`] its bytes stay for the next try.
#[derive(Debug)]
pub struct PartialBlob {
    file: File,
    path: PathBuf,
    blobs: PathBuf,
    hasher: Hasher,
    length: u64,
    _lock: Lock,
}

impl Store {
    /// Starts or continues the download of `digest`; waits while another process or thread has it.
    pub fn partial_blob(&self, digest: &Digest) -> Result<PartialBlob> {
        let folder = self.root().join("partial");
        fs::create_dir_all(&folder).map_err(Error::io("make", &folder))?;
        let path = folder.join(digest.hex());
        let lock = lock::exclusive(&folder.join(format!("{}.lock", digest.hex())))?.passing();
        let open = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let file = open.map_err(Error::io("write", &path))?;
        let blobs = self.root().join("blobs");
        Ok(PartialBlob { file, path, blobs, hasher: digest.hasher(), length: 0, _lock: lock })
    }
}

impl PartialBlob {
    /// Copies what an earlier try left to `out` and returns its length, bytes. Must come before the first write.
    pub fn replay(&mut self, out: &mut dyn Write) -> io::Result<u64> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut buffer = vec![0; REPLAY_BYTES];
        let mut out_open = true;
        loop {
            let n = self.file.read(&mut buffer)?;
            if n == 0 {
                return Ok(self.length);
            }
            self.hasher.update(&buffer[..n]);
            self.length += n as u64;
            out_open = out_open && out.write_all(&buffer[..n]).is_ok();
        }
    }

    /// The hash over all bytes so far.
    pub fn hasher(&self) -> Hasher {
        self.hasher.clone()
    }

    /// Makes the download a blob. Wrong content is removed, so that the next try starts anew.
    pub fn commit(self, expected: &Digest) -> Result<()> {
        if let Err(error) = blob::verify(self.hasher.clone(), expected) {
            let _ = fs::remove_file(&self.path);
            return Err(error);
        }
        blob::publish(&self.file, &self.path, &self.blobs, expected)?;
        Ok(())
    }
}

impl Write for PartialBlob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.length += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
