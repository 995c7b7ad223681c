//! Chunks that were compressed before: an edit compresses only what it touched.

use jettison_oci::Digest;

/// Knows the compressed bytes of chunks by their names, which stand for content, compression, level and
/// [`ENCODER_VERSION`](super::ENCODER_VERSION). Whether it knows any changes how long a layer takes and nothing else.
pub trait ChunkMemory: Sync {
    /// The compressed bytes of a chunk.
    fn get(&self, key: &Digest) -> Option<Vec<u8>>;
}

/// Knows no chunk.
#[derive(Clone, Copy, Debug)]
pub struct NoChunks;

impl ChunkMemory for NoChunks {
    fn get(&self, _key: &Digest) -> Option<Vec<u8>> {
        None
    }
}

/// Where the compressed bytes of a chunk lie in a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its name in a [`ChunkMemory`].
    pub key: Digest,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}
