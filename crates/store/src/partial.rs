//! Partial blobs.
use std::io::{self, Write};

use jettison_oci::Digest;

use crate::{Error, Store};

impl Store {
    /// The partial download of `digest`: new, or what an earlier attempt left. Waits while another process has it.
    pub fn partial_blob(&self, digest: &Digest) -> Result<PartialBlob, Error> {
        let _ = digest;
        todo!()
    }
}

/// A download that survives its process.
#[derive(Debug)]
pub struct PartialBlob {}

impl PartialBlob {
    /// Bytes that are there.
    #[expect(clippy::len_without_is_empty, reason = "a length, not a collection")]
    pub fn len(&self) -> u64 {
        todo!()
    }
    /// Whether the blob came into the store while we waited: all of it is there, `commit` has nothing to do.
    pub fn is_in_store(&self) -> bool {
        todo!()
    }
    /// Copies what is already there to `out`; returns how many bytes that is.
    pub fn replay(&mut self, out: &mut dyn Write) -> io::Result<u64> {
        let _ = out;
        todo!()
    }
    /// Throws away what is there, to begin again.
    pub fn restart(&mut self) -> io::Result<()> {
        todo!()
    }
    /// Verifies all of it and makes it a blob.
    pub fn commit(self, digest: &Digest) -> Result<(), Error> {
        let _ = digest;
        todo!()
    }
}

impl Write for PartialBlob {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        todo!()
    }
    fn flush(&mut self) -> io::Result<()> {
        todo!()
    }
}
