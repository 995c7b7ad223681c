//! Downloads that may be continued: one append-only file for each digest, kept over a broken build.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use jettison_oci::{Digest, Hasher};

use crate::lock::Lock;
use crate::write_behind::WriteBehind;
use crate::{Error, Result, Store, blob, lock};

/// Bytes that are read at once when what is there is hashed again.
const REPLAY_BYTES: usize = 256 << 10;

/// A download under way. Dropped without [`PartialBlob::commit`] its bytes stay for the next try.
#[derive(Debug)]
pub struct PartialBlob {
    file: File,
    path: PathBuf,
    blobs: PathBuf,
    digest: Digest,
    hasher: Hasher,
    length: u64,
    behind: WriteBehind,
    /// Somebody finished the blob while we waited: `file` is the blob, and only read.
    done: bool,
    _lock: Lock,
}

impl Store {
    /// Starts or continues the download of `digest`; waits while another process or thread has it, until `give_up` is set.
    pub fn partial_blob(&self, digest: &Digest, give_up: &AtomicBool) -> Result<PartialBlob> {
        let folder = self.root().join("partial");
        fs::create_dir_all(&folder).map_err(Error::io("make", &folder))?;
        let path = folder.join(digest.hex());
        let lock = folder.join(format!("{}.lock", digest.hex()));
        let lock = lock::exclusive_until(&lock, give_up)?.passing();
        let blobs = self.root().join("blobs");
        let (digest, hasher) = (digest.clone(), digest.hasher());
        if self.has_blob(&digest)?.is_some() {
            let file = self.open_blob(&digest)?;
            return Ok(PartialBlob {
                file,
                path,
                blobs,
                digest,
                hasher,
                length: 0,
                behind: WriteBehind::default(),
                done: true,
                _lock: lock,
            });
        }
        let open = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let file = open.map_err(Error::io("write", &path))?;
        let behind = WriteBehind::default();
        Ok(PartialBlob { file, path, blobs, digest, hasher, length: 0, behind, done: false, _lock: lock })
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

    /// Throws away what is there, so that the next try starts anew.
    pub fn discard(self) -> Result<()> {
        if self.done {
            return Ok(());
        }
        fs::remove_file(&self.path).map_err(Error::io("remove", &self.path))
    }

    /// Makes the download a blob. Wrong content is removed, so that the next try starts anew.
    pub fn commit(self) -> Result<()> {
        if self.done {
            return Ok(());
        }
        if let Err(error) = blob::verify(self.hasher.clone(), &self.digest) {
            self.discard()?;
            return Err(error);
        }
        blob::publish(&self.file, &self.path, &self.blobs, &self.digest)?;
        Ok(())
    }
}

impl Write for PartialBlob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.done {
            return Ok(bytes.len());
        }
        let n = self.file.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.length += n as u64;
        self.behind.grown(&self.path, self.length);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
