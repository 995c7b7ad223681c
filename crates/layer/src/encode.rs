//! Entries become a layer blob: one canonical tar, cut into chunks, each its own gzip member or zstd frame.
//!
//! Where a chunk ends depends on the entries only, so the bytes are the same for any number of threads, and an edit
//! moves no boundary but its own. The tar stream is hashed by one thread, chunks are compressed by several, and put
//! back in order; memory is bounded by the chunks in flight. `docs/formats/layer.md` freezes the format.

use std::io::Write;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use jettison_oci::{Compression, Digest, Hasher};
use libdeflater::{CompressionLvl, Compressor};
use rustix::fs::OFlags;

use crate::header::{self, BLOCK};
use crate::inside::{self, NO_LINKS};
use crate::{Entry, Error, Kind};

/// Version of the format: a change of a single byte of what comes out must change this number.
pub const ENCODER_VERSION: u32 = 1;
/// No chunk is longer, bytes. Independent members of this size cost under 0.3 % against one stream.
const CHUNK_BYTES_MAX: usize = 512 << 10;
/// A chunk of small files may end from here on, bytes.
const CHUNK_BYTES_MIN: usize = 64 << 10;
/// It ends before an entry whose path hashes to 0 modulo this: about every eighth.
const CUT_MODULUS: u32 = 8;
/// Level of gzip when none is asked for. Paid once per content; see the measurements in the performance notes.
const GZIP_LEVEL: i32 = 6;
/// Level of zstd when none is asked for.
const ZSTD_LEVEL: i32 = 3;

/// How to encode.
#[derive(Clone, Copy, Debug)]
pub struct EncodeOptions {
    /// The compression.
    pub compression: Compression,
    /// Its level; `None`: the default.
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
}

/// Writes `entries` as a layer to `out`; the content of files is read below `root`.
pub fn encode(
    entries: &[Entry],
    root: BorrowedFd<'_>,
    options: &EncodeOptions,
    out: &mut (dyn Write + Send),
) -> Result<Encoded, Error> {
    let estimate: u64 = entries.iter().map(|e| BLOCK as u64 + content_bytes(e)).sum();
    if options.threads <= 1 || estimate <= CHUNK_BYTES_MAX as u64 {
        let mut sink = Sequential {
            codec: Codec::new(options),
            writer: Writer::new(out),
            tar: Hasher::sha256(),
            plain: 0,
        };
        produce(entries, root, options, &mut |chunk| sink.take(&chunk))?;
        return Ok(sink.writer.finish(sink.tar.finish(), sink.plain));
    }
    parallel(entries, root, options, out)
}

fn content_bytes(entry: &Entry) -> u64 {
    match entry.kind {
        Kind::File { size } => size,
        _ => 0,
    }
}

/// Cuts the tar of `entries` into chunks.
fn produce(
    entries: &[Entry],
    root: BorrowedFd<'_>,
    options: &EncodeOptions,
    emit: &mut dyn FnMut(Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES_MAX);
    let mut flush = |chunk: &mut Vec<u8>| -> Result<(), Error> {
        if chunk.is_empty() {
            return Ok(());
        }
        emit(std::mem::replace(chunk, Vec::with_capacity(CHUNK_BYTES_MAX)))
    };
    for entry in entries {
        let size = content_bytes(entry);
        let cut = chunk.len() >= CHUNK_BYTES_MIN && path_hash(&entry.path).is_multiple_of(CUT_MODULUS);
        let full = chunk.len() as u64 + size + 4 * BLOCK as u64 > CHUNK_BYTES_MAX as u64;
        if cut || full {
            flush(&mut chunk)?;
        }
        let mut entry = entry.clone();
        entry.mtime_s = options.clamp_mtime_s.map_or(entry.mtime_s, |epoch| entry.mtime_s.min(epoch));
        if entry.kind == Kind::Whiteout {
            entry.mtime_s = 0;
        }
        header::write(&entry, &mut chunk);
        if size > 0 {
            content(&entry, root, size, &mut chunk, &mut flush)?;
        }
    }
    flush(&mut chunk)?;
    // The end mark stands in a chunk of its own, so that appending a file touches no other.
    emit(vec![0; 2 * BLOCK])
}

/// Appends the content of a file; a large one is cut at fixed distances from its header.
fn content(
    entry: &Entry,
    root: BorrowedFd<'_>,
    size: u64,
    chunk: &mut Vec<u8>,
    flush: &mut dyn FnMut(&mut Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    let failed = |action| Error::io(action, &entry.path);
    let file =
        inside::open(root, &entry.path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK, NO_LINKS)
            .map_err(failed("open"))?;
    let mut left = size;
    while left > 0 {
        if chunk.len() >= CHUNK_BYTES_MAX {
            flush(chunk)?;
        }
        let start = chunk.len();
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES_MAX - start);
        chunk.resize(start + want, 0);
        let mut filled = 0;
        while filled < want {
            match rustix::io::read(&file, &mut chunk[start + filled..]) {
                Ok(0) => return Err(Error::invalid(&entry.path, "it became shorter while it was read")),
                Ok(n) => filled += n,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(failed("read")(errno)),
            }
        }
        left -= want as u64;
    }
    let padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    chunk.resize(chunk.len() + padding as usize, 0);
    Ok(())
}

/// FNV-1a: stable, cheap, and good enough to spread cuts.
fn path_hash(path: &[u8]) -> u32 {
    path.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Compresses single chunks.
struct Codec {
    compression: Compression,
    gzip: Compressor,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl Codec {
    fn new(options: &EncodeOptions) -> Self {
        let level = options.level.unwrap_or(GZIP_LEVEL).clamp(0, 12);
        let zstd = (options.compression == Compression::Zstd).then(|| {
            zstd::bulk::Compressor::new(options.level.unwrap_or(ZSTD_LEVEL)).expect("a level is all it takes")
        });
        Self {
            compression: options.compression,
            gzip: Compressor::new(CompressionLvl::new(level).expect("0 to 12 are levels")),
            zstd,
        }
    }

    fn compress(&mut self, plain: &[u8]) -> Result<Vec<u8>, Error> {
        match (self.compression, &mut self.zstd) {
            (Compression::Gzip, _) => {
                let mut out = vec![0; self.gzip.gzip_compress_bound(plain.len())];
                let n = self.gzip.gzip_compress(plain, &mut out).expect("the bound is large enough");
                out.truncate(n);
                Ok(out)
            }
            (Compression::Zstd, Some(zstd)) => zstd.compress(plain).map_err(Error::Write),
            _ => Ok(plain.to_vec()),
        }
    }
}

/// Writes compressed chunks in order.
struct Writer<'a> {
    out: &'a mut (dyn Write + Send),
    blob: Hasher,
    size: u64,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut (dyn Write + Send)) -> Self {
        Self { out, blob: Hasher::sha256(), size: 0 }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.blob.update(bytes);
        self.size += bytes.len() as u64;
        self.out.write_all(bytes).map_err(Error::Write)
    }

    fn finish(self, diff_id: Digest, uncompressed_size: u64) -> Encoded {
        Encoded { diff_id, digest: self.blob.finish(), size: self.size, uncompressed_size }
    }
}

struct Sequential<'a> {
    codec: Codec,
    writer: Writer<'a>,
    tar: Hasher,
    plain: u64,
}

impl Sequential<'_> {
    fn take(&mut self, chunk: &[u8]) -> Result<(), Error> {
        self.tar.update(chunk);
        self.plain += chunk.len() as u64;
        let packed = self.codec.compress(chunk)?;
        self.writer.take(&packed)
    }
}

type Packed = Result<Vec<u8>, Error>;
type Job = (Arc<Vec<u8>>, Sender<Packed>);

fn parallel(
    entries: &[Entry],
    root: BorrowedFd<'_>,
    options: &EncodeOptions,
    out: &mut (dyn Write + Send),
) -> Result<Encoded, Error> {
    let in_flight = options.threads * 4;
    let (jobs, job_queue) = bounded::<Job>(in_flight);
    let (order, ordered) = bounded::<Receiver<Packed>>(in_flight);
    let (to_hash, hash_queue) = bounded::<Arc<Vec<u8>>>(in_flight);
    std::thread::scope(|scope| {
        let hashing = scope.spawn(move || {
            let (mut hasher, mut plain) = (Hasher::sha256(), 0);
            for chunk in hash_queue {
                hasher.update(&chunk);
                plain += chunk.len() as u64;
            }
            (hasher.finish(), plain)
        });
        for _ in 0..options.threads {
            let job_queue = job_queue.clone();
            scope.spawn(move || {
                let mut codec = Codec::new(options);
                for (chunk, reply) in job_queue {
                    // Nobody waits for the answer after an error; then it may be dropped.
                    let _ = reply.send(codec.compress(&chunk));
                }
            });
        }
        drop(job_queue);
        let writing = scope.spawn(move || {
            let mut writer = Writer::new(out);
            for packed in ordered {
                let packed = packed
                    .recv()
                    .unwrap_or_else(|_| Err(Error::Damaged("a worker ended early".to_owned())))?;
                writer.take(&packed)?;
            }
            Ok(writer)
        });
        let produced = produce(entries, root, options, &mut |chunk| {
            let chunk = Arc::new(chunk);
            let (reply, answer) = bounded(1);
            let gone = |_| Error::Damaged("the writing thread ended early".to_owned());
            to_hash
                .send(Arc::clone(&chunk))
                .map_err(|_| Error::Damaged("the hashing thread ended early".to_owned()))?;
            order.send(answer).map_err(gone)?;
            jobs.send((chunk, reply)).map_err(|_| Error::Damaged("the workers ended early".to_owned()))
        });
        drop((jobs, order, to_hash));
        let (diff_id, plain) = hashing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let written: Result<Writer<'_>, Error> =
            writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // An error of the disk makes the producer fail as well; the disk's is the one to tell.
        let writer = written?;
        produced?;
        Ok(writer.finish(diff_id, plain))
    })
}
