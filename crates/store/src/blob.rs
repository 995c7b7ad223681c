//! Blobs.
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use jettison_oci::Digest;

use crate::{Error, Store};

impl Store {
    /// Size of a blob in bytes, `None` if it is not there.
    pub fn has_blob(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let _ = digest;
        todo!()
    }
    /// Where the blob is or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        let _ = digest;
        todo!()
    }
    /// Opens a blob for reading.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, Error> {
        let _ = digest;
        todo!()
    }
    /// Reads a blob of at most `max_bytes`, verifying its digest.
    pub fn read_blob(&self, digest: &Digest, max_bytes: u64) -> Result<Vec<u8>, Error> {
        let _ = (digest, max_bytes);
        todo!()
    }
    /// Puts bytes into the store; returns their digest and size.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<(Digest, u64), Error> {
        let _ = bytes;
        todo!()
    }
    /// Begins a blob whose digest is not known yet.
    pub fn blob_writer(&self) -> Result<BlobWriter, Error> {
        todo!()
    }
}

/// A blob that is being written. Dropped without commit, nothing remains of it.
#[derive(Debug)]
pub struct BlobWriter {}

impl BlobWriter {
    /// Makes it a blob; returns its digest and size.
    pub fn commit(self, expected: Option<&Digest>) -> Result<(Digest, u64), Error> {
        let _ = expected;
        todo!()
    }
}

impl Write for BlobWriter {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        todo!()
    }
    fn flush(&mut self) -> io::Result<()> {
        todo!()
    }
}
