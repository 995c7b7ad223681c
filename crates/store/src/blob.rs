//! Blobs: files named by the digest of their content.
//!
//! A blob is written under a temporary name, hashed on the way, made durable, and renamed. What lies under a digest's
//! name is therefore whole, and never changes.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jettison_oci::{Algorithm, Digest, DigestReader, Hasher};

use crate::write_behind::WriteBehind;
use crate::{Error, Result, Store};

/// Bytes that are buffered before the kernel is asked to write.
const BUFFER_BYTES: usize = 256 << 10;

impl Store {
    /// Where the blob `digest` lies, if it is there.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root().join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// The size of a blob, bytes; `None` if it is not there.
    pub fn has_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.blob_path(digest);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    /// Whether this process wrote the blob itself: it was hashed from memory moments ago, and need not be hashed again
    /// from the same memory on its way out.
    pub fn has_just_written(&self, digest: &Digest) -> bool {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }

    /// Opens a blob for reading.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        let path = self.blob_path(digest);
        File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::NoBlob(digest.clone()),
            _ => Error::io("open", path)(error),
        })
    }

    /// Reads a blob to its end. For whoever could make nothing of it, to say whose fault that is.
    ///
    /// # Errors
    /// If it is not what its name says any more.
    pub fn check_blob(&self, digest: &Digest) -> Result<()> {
        let path = self.blob_path(digest);
        let mut reader = DigestReader::new(self.open_blob(digest)?, digest.algorithm());
        io::copy(&mut reader, &mut io::sink()).map_err(Error::io("read", &path))?;
        if reader.finish().1 == *digest { Ok(()) } else { Err(Error::DamagedBlob { path }) }
    }

    /// A small blob in memory, verified. Refuses more than `max` bytes.
    pub fn read_blob(&self, digest: &Digest, max: u64) -> Result<Vec<u8>> {
        let file = self.open_blob(digest)?;
        let path = self.blob_path(digest);
        let size = file.metadata().map_err(Error::io("read", &path))?.len();
        if size > max {
            return Err(Error::TooLarge { digest: digest.clone(), size, max });
        }
        let mut bytes = Vec::with_capacity(size as usize);
        file.take(max).read_to_end(&mut bytes).map_err(Error::io("read", &path))?;
        let mut hasher = digest.hasher();
        hasher.update(&bytes);
        verify(hasher, digest)?;
        Ok(bytes)
    }

    /// Stores a small blob; returns its digest and size.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<(Digest, u64)> {
        let digest = Digest::sha256(bytes);
        if self.has_blob(&digest)? == Some(bytes.len() as u64) {
            return Ok((digest, bytes.len() as u64));
        }
        let mut writer = self.blob_writer()?;
        writer.write_all(bytes).map_err(Error::io("write", writer.path.clone()))?;
        writer.commit(Some(&digest))
    }

    /// Starts a blob whose digest is known at its end.
    pub fn blob_writer(&self) -> Result<BlobWriter> {
        self.writer(Some(Hasher::new(Algorithm::Sha256)))
    }

    /// Starts a blob whose writer hashes it by itself, and says the digest with [`BlobWriter::commit_hashed`].
    pub fn blob_writer_hashed_elsewhere(&self) -> Result<BlobWriter> {
        self.writer(None)
    }

    fn writer(&self, hasher: Option<Hasher>) -> Result<BlobWriter> {
        let path = self.temporary("blob");
        let file = File::create_new(&path).map_err(Error::io("write", &path))?;
        Ok(BlobWriter {
            out: BufWriter::with_capacity(BUFFER_BYTES, file),
            hasher,
            written: 0,
            behind: WriteBehind::default(),
            path,
            blobs: self.root().join("blobs"),
            all_written: Arc::clone(&self.written),
        })
    }
}

/// A blob being written. Dropped without [`BlobWriter::commit`] it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    out: BufWriter<File>,
    hasher: Option<Hasher>,
    written: u64,
    behind: WriteBehind,
    path: PathBuf,
    blobs: PathBuf,
    all_written: Arc<Mutex<HashSet<Digest>>>,
}

impl BlobWriter {
    /// Gives the blob its name. Fails if `expected` is another digest.
    pub fn commit(mut self, expected: Option<&Digest>) -> Result<(Digest, u64)> {
        self.out.flush().map_err(Error::io("write", &self.path))?;
        let found = match (expected.map(Digest::algorithm), self.hasher.take()) {
            (None | Some(Algorithm::Sha256), Some(hasher)) => hasher.finish(),
            (algorithm, _) => self.hash_again(algorithm.unwrap_or(Algorithm::Sha256))?,
        };
        if let Some(expected) = expected.filter(|e| **e != found) {
            return Err(Error::DigestMismatch { expected: expected.clone(), found });
        }
        self.publish(&found)?;
        Ok((found, self.written))
    }

    /// Gives the blob the name that its writer found when it wrote it.
    pub fn commit_hashed(mut self, digest: &Digest) -> Result<()> {
        self.out.flush().map_err(Error::io("write", &self.path))?;
        self.publish(digest)
    }

    fn publish(&self, digest: &Digest) -> Result<()> {
        if publish(self.out.get_ref(), &self.path, &self.blobs, digest)? == Published::Ours {
            self.all_written.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.clone());
        }
        Ok(())
    }

    /// The digest by another algorithm than the one that is computed on the way.
    fn hash_again(&self, algorithm: Algorithm) -> Result<Digest> {
        let file = File::open(&self.path).map_err(Error::io("read", &self.path))?;
        let mut reader = DigestReader::new(file, algorithm);
        io::copy(&mut reader, &mut io::sink()).map_err(Error::io("read", &self.path))?;
        Ok(reader.finish().1)
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes[..n]);
        }
        self.written += n as u64;
        self.behind.grown(&self.path, self.written);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        // After a commit the name is gone already.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whose file has the name of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// The one that was to get it.
    Ours,
    /// One that was there before.
    Older,
}

/// Makes a finished file durable and gives it its digest as name. If the blob is there already, as the layers of steps
/// that change nothing are, the file is dropped: waiting for the disk is most of what a small blob costs.
pub(crate) fn publish(file: &File, path: &Path, blobs: &Path, digest: &Digest) -> Result<Published> {
    let target = blobs.join(digest.algorithm().name()).join(digest.hex());
    if target.exists() {
        fs::remove_file(path).map_err(Error::io("remove", path))?;
        return Ok(Published::Older);
    }
    file.sync_data().map_err(Error::io("write", path))?;
    fs::rename(path, &target).map_err(Error::io("write", &target))?;
    Ok(Published::Ours)
}

pub(crate) fn verify(hasher: Hasher, expected: &Digest) -> Result<()> {
    let found = hasher.finish();
    if found == *expected { Ok(()) } else { Err(Error::DigestMismatch { expected: expected.clone(), found }) }
}
