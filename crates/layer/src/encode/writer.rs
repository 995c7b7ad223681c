//! Compressed chunks become a blob, in order.

use std::io::Write;

use jettison_oci::{Digest, Hasher};

use super::codec::Packed;
use super::{Chunk, Encoded};
use crate::Error;

/// Writes and hashes, and notes what lies where.
pub(super) struct Writer<'a> {
    out: &'a mut (dyn Write + Send),
    blob: Hasher,
    size: u64,
    chunks: Vec<Chunk>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut (dyn Write + Send)) -> Self {
        Self { out, blob: Hasher::sha256(), size: 0, chunks: Vec::new() }
    }

    pub(super) fn take(&mut self, packed: Packed) -> Result<(), Error> {
        let (offset, length) = (self.size, packed.bytes.len() as u64);
        self.blob.update(&packed.bytes);
        self.size += length;
        self.out.write_all(&packed.bytes).map_err(Error::Write)?;
        self.chunks.push(Chunk { key: packed.key, offset, length, hash: packed.hash });
        Ok(())
    }

    pub(super) fn finish(self, diff_id: Digest, uncompressed_size: u64) -> Encoded {
        Encoded {
            diff_id,
            digest: self.blob.finish(),
            size: self.size,
            uncompressed_size,
            chunks: self.chunks,
        }
    }
}
