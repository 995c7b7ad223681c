//! Where compressed chunks lie in the layers that are here: an edit of a large layer takes the rest from the old one.
//!
//! Nothing is stored twice: a row names a range of a blob, and what its bytes hash to: a chunk that a disk gives back
//! otherwise is compressed anew, and reaches no new layer. A blob that is gone takes its rows along at the next prune;
//! until then they are found to lead nowhere, and the chunk is compressed anew.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use jettison_layer::{Chunk, ChunkHash, ChunkMemory};
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

/// Where a chunk lies, and what its bytes there hash to.
struct Place {
    blob: String,
    offset: u64,
    length: u64,
    hash: ChunkHash,
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
                "INSERT OR REPLACE INTO chunks (key, blob, offset, length, hash) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for chunk in chunks {
                let (offset, length) = (chunk.offset.cast_signed(), chunk.length.cast_signed());
                let (key, hash) = (chunk.key.as_bytes(), chunk.hash.as_bytes());
                statement.execute(params![key, blob, offset, length, hash])?;
            }
            Ok(())
        })
    }

    fn chunk(&self, key: &ChunkHash) -> Result<Option<Place>> {
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached("SELECT blob, offset, length, hash FROM chunks WHERE key = ?1")
            .map_err(self.index_error())?;
        let row = statement.query_row([key.as_bytes()], |row| {
            let (offset, length): (i64, i64) = (row.get(1)?, row.get(2)?);
            Ok(Place {
                blob: row.get(0)?,
                offset: offset.cast_unsigned(),
                length: length.cast_unsigned(),
                hash: ChunkHash::from_bytes(row.get(3)?),
            })
        });
        row.optional().map_err(self.index_error())
    }
}

impl StoredChunks<'_> {
    fn read(&self, place: Place) -> Option<Vec<u8>> {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let store = self.store;
        let file = blobs
            .entry(place.blob)
            .or_insert_with_key(|blob| blob.parse().ok().and_then(|digest| store.open_blob(&digest).ok()));
        let file = file.as_ref()?.try_clone().ok()?;
        drop(blobs);
        let mut bytes = vec![0; usize::try_from(place.length).ok()?];
        file.read_exact_at(&mut bytes, place.offset).ok()?;
        (ChunkHash::of([&bytes[..]]) == place.hash).then_some(bytes)
    }
}

impl ChunkMemory for StoredChunks<'_> {
    fn get(&self, key: &ChunkHash) -> Option<Vec<u8>> {
        // An index that cannot be read costs time and nothing else.
        let place = self.store.chunk(key).ok()??;
        if place.length > CHUNK_BYTES_MAX { None } else { self.read(place) }
    }
}
