//! Entries become a layer blob: one canonical tar, cut into chunks, each its own gzip member or zstd frame.
//!
//! Where a chunk ends depends on the entries only, so the bytes are the same for any number of threads, and an edit
//! moves no boundary but its own, and a chunk that was compressed before is taken as it is (`memory.rs`). `chunks.rs`
//! cuts, `codec.rs` compresses, `writer.rs` puts the blob together, `parallel.rs` does it on several threads; memory is
//! bounded by the chunks in flight. `docs/formats/layer.md` freezes the format.

mod chunks;
mod codec;
mod contents;
mod memory;
mod parallel;
mod plain;
mod writer;

use std::io::{Read, Write};

use jettison_oci::{Compression, Digest, Hasher};

use self::codec::{Codec, Level};
use self::writer::Writer;
use crate::header::BLOCK;
use crate::{Entry, Error, Kind};

pub use self::contents::{Contents, Opened};
pub use self::memory::{Chunk, ChunkHash, ChunkMemory, NoChunks};

/// Version of the format: a change of a single byte of what comes out must change this number.
pub const ENCODER_VERSION: u32 = 4;

/// How to encode.
#[derive(Clone, Copy, Debug)]
pub struct EncodeOptions {
    /// The compression.
    pub compression: Compression,
    /// Its level; `None`: the default, which for gzip depends on how large the layer is.
    pub level: Option<i32>,
    /// Times later than this, seconds since 1970, are written as this.
    pub clamp_mtime_s: Option<i64>,
    /// Threads that compress.
    pub threads: usize,
}

/// A finished layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Digest of the tar.
    pub diff_id: Digest,
    /// Digest of the blob.
    pub digest: Digest,
    /// Size of the blob, bytes.
    pub size: u64,
    /// Size of the tar, bytes.
    pub uncompressed_size: u64,
    /// What can be found again in the blob.
    pub chunks: Vec<Chunk>,
}

/// Writes `entries` as a layer to `out`, with files as `contents` has them (a directory to read below is one). What
/// `memory` knows is not compressed again.
pub fn encode(
    entries: &[Entry],
    contents: &dyn Contents,
    options: &EncodeOptions,
    memory: &dyn ChunkMemory,
    out: &mut (dyn Write + Send),
) -> Result<Encoded, Error> {
    if options.compression == Compression::None {
        return plain::encode(entries, contents, options, memory, out);
    }
    let estimate: u64 = entries.iter().map(|e| BLOCK as u64 + content_bytes(e)).sum();
    let level = Level::of(options, estimate);
    if options.threads > 1 && estimate > chunks::CHUNK_BYTES_MAX as u64 {
        return parallel::encode(entries, contents, options, level, memory, out);
    }
    let (mut codec, mut writer) = (Codec::new(options.compression, level, memory), Writer::new(out));
    let (mut tar, mut plain) = (Hasher::sha256(), 0);
    chunks::produce(entries, contents, options, &mut |chunk| {
        tar.update(&chunk);
        plain += chunk.len() as u64;
        writer.take(codec.pack(&chunk)?)
    })?;
    Ok(writer.finish(tar.finish(), plain))
}

/// Writes the tar that `plain` gives as a blob of another compression. Its bytes stay what they are, and so does its
/// diff id.
pub fn recompress(
    mut plain: impl Read,
    options: &EncodeOptions,
    memory: &dyn ChunkMemory,
    out: &mut (dyn Write + Send),
) -> Result<Encoded, Error> {
    let mut codec = Codec::new(options.compression, Level::of(options, 0), memory);
    let mut writer = Writer::new(out);
    let (mut tar, mut bytes) = (Hasher::sha256(), 0);
    loop {
        let mut chunk = Vec::new();
        let limit = chunks::CHUNK_BYTES_MAX as u64;
        plain.by_ref().take(limit).read_to_end(&mut chunk).map_err(Error::Read)?;
        if chunk.is_empty() {
            return Ok(writer.finish(tar.finish(), bytes));
        }
        tar.update(&chunk);
        bytes += chunk.len() as u64;
        writer.take(codec.pack(chunk.as_slice())?)?;
    }
}

fn content_bytes(entry: &Entry) -> u64 {
    match entry.kind {
        Kind::File { size } => size,
        _ => 0,
    }
}
