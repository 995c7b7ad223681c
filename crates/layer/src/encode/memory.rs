//! Chunks that were compressed before: an edit compresses only what it touched.

/// The BLAKE3 digest that a chunk is known by, or of its bytes. It is named nowhere outside a store, so it need not be what
/// registries know; it costs a third of SHA-256, and every byte of a layer goes through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkHash([u8; 32]);

impl ChunkHash {
    /// Of these parts, one after the other.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// As a store keeps it.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From what [`as_bytes`](Self::as_bytes) gave.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Knows the compressed bytes of chunks by their names, which stand for content, compression, level and
/// [`ENCODER_VERSION`](super::ENCODER_VERSION). Whether it knows any changes how long a layer takes and nothing else.
pub trait ChunkMemory: Sync {
    /// The compressed bytes of a chunk, just as they were when it was compressed.
    fn get(&self, key: &ChunkHash) -> Option<Vec<u8>>;
}

/// Knows no chunk.
#[derive(Clone, Copy, Debug)]
pub struct NoChunks;

impl ChunkMemory for NoChunks {
    fn get(&self, _key: &ChunkHash) -> Option<Vec<u8>> {
        None
    }
}

/// Where the compressed bytes of a chunk lie in a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its name in a [`ChunkMemory`].
    pub key: ChunkHash,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Of these bytes: a disk may give others back.
    pub hash: ChunkHash,
}
