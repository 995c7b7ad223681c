//! The tar of a layer, cut into chunks at places that depend on its entries only.

use std::fs::File;
use std::io::Read;

use jettison_oci::Hasher;

use super::{Contents, EncodeOptions, Opened, content_bytes};
use crate::header::{self, BLOCK};
use crate::{Entry, Error, Kind};

/// No chunk is longer, bytes. Independent members of this size cost under 0.3 % against one stream.
pub(super) const CHUNK_BYTES_MAX: usize = 512 << 10;
/// A chunk of small files may end from here on, bytes.
const CHUNK_BYTES_MIN: usize = 64 << 10;
/// It ends before an entry whose path hashes to 0 modulo this: about every eighth.
const CUT_MODULUS: u32 = 8;

/// Cuts the tar of `entries` into chunks.
pub(super) fn produce(
    all: &[Entry],
    contents: &dyn Contents,
    options: &EncodeOptions,
    emit: &mut dyn FnMut(Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    entries(all, contents, options, emit)?;
    // The end mark stands in a chunk of its own, so that appending a file touches no other.
    emit(vec![0; 2 * BLOCK])
}

/// The same without the end mark.
pub(super) fn entries(
    entries: &[Entry],
    contents: &dyn Contents,
    options: &EncodeOptions,
    emit: &mut dyn FnMut(Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut chunk = Vec::new();
    let mut flush = |chunk: &mut Vec<u8>| -> Result<(), Error> {
        if chunk.is_empty() {
            return Ok(());
        }
        emit(std::mem::take(chunk))
    };
    for entry in entries {
        let size = content_bytes(entry);
        if ends_before(entry, chunk.len() as u64) {
            flush(&mut chunk)?;
        }
        let entry = as_written(entry, options);
        header::write(&entry, &mut chunk);
        if size > 0 {
            content(&entry, contents.open(&entry)?, size, &mut chunk, &mut flush)?;
        }
    }
    flush(&mut chunk)
}

/// Whether a chunk of so many bytes ends before `entry`.
pub(super) fn ends_before(entry: &Entry, bytes: u64) -> bool {
    let cut = bytes >= CHUNK_BYTES_MIN as u64 && path_hash(&entry.path).is_multiple_of(CUT_MODULUS);
    let full = bytes + content_bytes(entry) + 4 * BLOCK as u64 > CHUNK_BYTES_MAX as u64;
    bytes > 0 && (cut || full)
}

/// An entry as the layer shows it.
pub(super) fn as_written(entry: &Entry, options: &EncodeOptions) -> Entry {
    let mut entry = entry.clone();
    entry.mtime_s = options.clamp_mtime_s.map_or(entry.mtime_s, |epoch| entry.mtime_s.min(epoch));
    if entry.kind == Kind::Whiteout {
        entry.mtime_s = 0;
    }
    entry
}

/// Appends the content of a file; a large one is cut at fixed distances from its header.
fn content(
    entry: &Entry,
    opened: Opened<'_>,
    size: u64,
    chunk: &mut Vec<u8>,
    flush: &mut dyn FnMut(&mut Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    let (mut bytes, file, seen) = match opened {
        Opened::Bytes(bytes) => (bytes, None, None),
        Opened::File(file, seen) => (&b""[..], Some(File::from(file)), seen),
    };
    // What was hashed and may have changed unnoticed since is hashed again, as it goes into the layer.
    let mut hasher = seen.filter(|seen| seen.digest.is_some() && !seen.settled).map(|_| Hasher::sha256());
    let mut left = size;
    while left > 0 {
        if chunk.len() >= CHUNK_BYTES_MAX {
            flush(chunk)?;
        }
        let start = chunk.len();
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES_MAX - start);
        // Many chunks wait for a thread, and those of small files are a tenth as long as they may be.
        chunk.reserve(want);
        match &file {
            Some(file) => {
                let read =
                    file.take(want as u64).read_to_end(chunk).map_err(Error::io("read", &entry.path))?;
                if read < want {
                    return Err(shorter(&entry.path));
                }
            }
            None => {
                let (now, later) = bytes.split_at_checked(want).ok_or_else(|| shorter(&entry.path))?;
                chunk.extend_from_slice(now);
                bytes = later;
            }
        }
        if let Some(hasher) = &mut hasher {
            hasher.update(&chunk[start..]);
        }
        left -= want as u64;
    }
    if let (Some(file), Some(seen)) = (&file, seen) {
        seen.still(file, hasher.map(Hasher::finish), &entry.path)?;
    }
    let padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    chunk.resize(chunk.len() + padding as usize, 0);
    Ok(())
}

fn shorter(path: &[u8]) -> Error {
    Error::changed(path)
}

/// FNV-1a: stable, cheap, and good enough to spread cuts.
fn path_hash(path: &[u8]) -> u32 {
    path.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
