//! Where compressed chunks lie in the layers that are here: an edit of a large layer takes the rest from the old one.
//!
//! Nothing is stored twice: a row names a range of a blob. A blob that is gone takes its rows along at the next prune;
//! until then they are found to lead nowhere, and the chunk is compressed anew.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use jettison_layer::{Chunk, ChunkMemory};
use jettison_oci::Digest;
use rusqlite::{OptionalExtension, params};

use crate::{Result, Store};

/// Longest compressed chunk, bytes; chunks of 512 KiB that do not compress come to a little more than that.
const CHUNK_BYTES_MAX: u64 = 1 << 20;

/// The chunks of a store, for one layer to be encoded.
#[derive(Debug)]
pub struct StoredChunks<'a> {
    store: &'a Store,
    /// Blobs that were looked for: most chunks come from one or two.
    blobs: Mutex<HashMap<String, Option<File>>>,
}

impl Store {
    /// What is known of chunks.
    pub fn chunks(&self) -> StoredChunks<'_> {
        StoredChunks { store: self, blobs: Mutex::default() }
    }

    /// Remembers the chunks of `blob`; the newest place of a chunk counts.
    pub fn record_chunks(&self, blob: &Digest, chunks: &[Chunk]) -> Result<()> {
        if chunks.is_empty() {
            return Ok(());
        }
        let blob = blob.to_string();
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(
                "INSERT OR REPLACE INTO chunks (key, blob, offset, length) VALUES (?1, ?2, ?3, ?4)",
            )?;
            for chunk in chunks {
                let (offset, length) = (chunk.offset.cast_signed(), chunk.length.cast_signed());
                statement.execute(params![chunk.key.to_string(), blob, offset, length])?;
            }
            Ok(())
        })
    }

    fn chunk(&self, key: &Digest) -> Result<Option<(String, u64, u64)>> {
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached("SELECT blob, offset, length FROM chunks WHERE key = ?1")
            .map_err(self.index_error())?;
        let row = statement.query_row([key.to_string()], |row| {
            let (offset, length): (i64, i64) = (row.get(1)?, row.get(2)?);
            Ok((row.get(0)?, offset.cast_unsigned(), length.cast_unsigned()))
        });
        row.optional().map_err(self.index_error())
    }
}

impl StoredChunks<'_> {
    fn read(&self, blob: String, offset: u64, length: u64) -> Option<Vec<u8>> {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let store = self.store;
        let file = blobs
            .entry(blob)
            .or_insert_with_key(|blob| blob.parse().ok().and_then(|digest| store.open_blob(&digest).ok()));
        let file = file.as_ref()?.try_clone().ok()?;
        drop(blobs);
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    }
}

impl ChunkMemory for StoredChunks<'_> {
    fn get(&self, key: &Digest) -> Option<Vec<u8>> {
        // An index that cannot be read costs time and nothing else.
        let (blob, offset, length) = self.store.chunk(key).ok()??;
        if length > CHUNK_BYTES_MAX { None } else { self.read(blob, offset, length) }
    }
}
