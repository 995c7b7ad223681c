//! A layer that is not compressed: one reads, one hashes and writes. The blob is the tar.
//!
//! Entries are taken in groups. Where the digests of all files of a group are known, its bytes may lie in an older layer
//! as a whole: one read instead of hundreds of small files. They are checked against headers and digests like anything
//! that comes from a disk, so a memory that errs costs time and nothing else.

use std::io::Write;
use std::thread::Builder;

use crossbeam_channel::bounded;
use jettison_oci::{Digest, Hasher};

use super::chunks::{self, CHUNK_BYTES_MAX};
use super::{
    Chunk, ChunkHash, ChunkMemory, Contents, ENCODER_VERSION, EncodeOptions, Encoded, content_bytes,
};
use crate::header::{self, BLOCK};
use crate::{Entry, Error};

/// Chunks that were read and not written yet.
const IN_FLIGHT: usize = 8;

/// Bytes of the tar, and the name under which they can be found again if they are a whole group.
type Piece = (Vec<u8>, Option<ChunkHash>);

pub(super) fn encode(
    entries: &[Entry],
    contents: &dyn Contents,
    options: &EncodeOptions,
    memory: &dyn ChunkMemory,
    out: &mut (dyn Write + Send),
) -> Result<Encoded, Error> {
    let mut writer = Writer { out, hasher: Hasher::sha256(), size: 0, chunks: Vec::new() };
    if options.threads <= 1 {
        produce(entries, contents, options, memory, &mut |piece| writer.take(piece))?;
        return Ok(writer.finish());
    }
    let (sender, receiver) = bounded::<Piece>(IN_FLIGHT);
    std::thread::scope(|scope| {
        let writing = Builder::new()
            .spawn_scoped(scope, move || {
                for piece in receiver {
                    writer.take(piece)?;
                }
                Ok(writer.finish())
            })
            .map_err(Error::Write)?;
        let produced = produce(entries, contents, options, memory, &mut |piece| {
            sender.send(piece).map_err(|_| Error::Damaged("the writing thread ended early".to_owned()))
        });
        drop(sender);
        // An error of the disk makes the producer fail as well; the disk's is the one to tell.
        let encoded = writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        produced?;
        Ok(encoded)
    })
}

fn produce(
    entries: &[Entry],
    contents: &dyn Contents,
    options: &EncodeOptions,
    memory: &dyn ChunkMemory,
    emit: &mut dyn FnMut(Piece) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rest = entries;
    while !rest.is_empty() {
        let group = Group::first_of(rest, contents, options);
        rest = &rest[group.count..];
        if let Some(known) = group.key.as_ref().and_then(|key| memory.get(key)).filter(|k| group.is(k)) {
            emit((known, group.key))?;
            continue;
        }
        let mut whole = Vec::new();
        chunks::entries(
            &entries[entries.len() - rest.len() - group.count..][..group.count],
            contents,
            options,
            &mut |chunk| {
                match &group.key {
                    Some(_) if whole.is_empty() => whole = chunk,
                    Some(_) => whole.extend_from_slice(&chunk),
                    None => emit((chunk, None))?,
                }
                Ok(())
            },
        )?;
        if group.key.is_some() {
            emit((whole, group.key))?;
        }
    }
    emit((vec![0; 2 * BLOCK], None))
}

/// Entries that follow each other.
struct Group<'a> {
    count: usize,
    /// Header, and size and digest of the content.
    parts: Vec<(Vec<u8>, u64, Option<&'a Digest>)>,
    /// The name of its bytes: made of headers and digests. `None` if a digest is not known, or the group is large.
    key: Option<ChunkHash>,
}

impl<'a> Group<'a> {
    /// The first group of `entries`, cut by the rule of chunks.
    fn first_of(entries: &[Entry], contents: &'a dyn Contents, options: &EncodeOptions) -> Self {
        let (mut parts, mut bytes, mut known) = (Vec::new(), 0, true);
        for entry in entries {
            let size = content_bytes(entry);
            if chunks::ends_before(entry, bytes) {
                break;
            }
            let mut head = Vec::new();
            header::write(&chunks::as_written(entry, options), &mut head);
            let digest = (size > 0).then(|| contents.digest(entry)).flatten();
            known &= size == 0 || digest.is_some();
            bytes += head.len() as u64 + size.next_multiple_of(BLOCK as u64);
            parts.push((head, size, digest));
        }
        let key = (known && bytes <= CHUNK_BYTES_MAX as u64).then(|| Self::name(&parts));
        Self { count: parts.len(), parts, key }
    }

    fn name(parts: &[(Vec<u8>, u64, Option<&Digest>)]) -> ChunkHash {
        let mut bytes = format!("group {ENCODER_VERSION}\0").into_bytes();
        for (head, _, digest) in parts {
            bytes.extend((head.len() as u64).to_le_bytes());
            bytes.extend(head);
            bytes.extend(digest.map_or(&[][..], Digest::as_bytes));
        }
        ChunkHash::of([&bytes[..]])
    }

    /// Whether `bytes` are this group.
    fn is(&self, mut bytes: &[u8]) -> bool {
        for (head, size, digest) in &self.parts {
            let padded = size.next_multiple_of(BLOCK as u64) as usize;
            let Some((found, rest)) = bytes.split_at_checked(head.len()) else { return false };
            let Some((content, rest)) = rest.split_at_checked(padded) else { return false };
            let (content, padding) = content.split_at(*size as usize);
            let same = digest.is_none_or(|digest| Digest::sha256(content) == *digest);
            if found != head || !same || padding.iter().any(|byte| *byte != 0) {
                return false;
            }
            bytes = rest;
        }
        bytes.is_empty()
    }
}

struct Writer<'a> {
    out: &'a mut (dyn Write + Send),
    hasher: Hasher,
    size: u64,
    chunks: Vec<Chunk>,
}

impl Writer<'_> {
    fn take(&mut self, (bytes, key): Piece) -> Result<(), Error> {
        let (offset, length) = (self.size, bytes.len() as u64);
        self.hasher.update(&bytes);
        self.size += length;
        self.chunks.extend(key.map(|key| Chunk { key, offset, length, hash: ChunkHash::of([&bytes[..]]) }));
        self.out.write_all(&bytes).map_err(Error::Write)
    }

    fn finish(self) -> Encoded {
        let digest = self.hasher.finish();
        Encoded {
            diff_id: digest.clone(),
            digest,
            size: self.size,
            uncompressed_size: self.size,
            chunks: self.chunks,
        }
    }
}
