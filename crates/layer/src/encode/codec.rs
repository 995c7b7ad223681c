//! Compresses single chunks, or finds that it was done before.

use jettison_oci::Compression;
use libdeflater::{CompressionLvl, Compressor};

use super::{ChunkHash, ChunkMemory, ENCODER_VERSION, EncodeOptions};
use crate::Error;

/// Level of gzip when none is asked for: what is small is pulled often, and compressed before anybody notices.
const GZIP_LEVEL: i32 = 6;
/// A tar of more bytes is large.
const SMALL_BYTES_MAX: u64 = 64 << 20;
/// Level of zstd when none is asked for.
const ZSTD_LEVEL: i32 = 3;

/// gzip of a large tar, where people wait: there is no level between these two, so chunks are dealt out to both by their
/// names. Together 7 % larger than level 6 and within 2 % of what zlib's level 6 makes of it, which other builders use,
/// for half of level 6's processor time.
const LARGE: [i32; 2] = [1, 2];
/// Chunks whose names begin with a smaller byte get the first of [`LARGE`]: three eighths of them.
const FIRST_BELOW: u8 = 96;

/// How hard to try. It is part of the format: the bytes depend on it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Level {
    /// The same for all chunks.
    One(i32),
    /// See [`LARGE`].
    Large,
}

impl Level {
    /// What `options` ask for; else what a tar of about `bytes` gets.
    pub(super) fn of(options: &EncodeOptions, bytes: u64) -> Self {
        match (options.level, options.compression) {
            (Some(level), _) => Self::One(level),
            (None, Compression::Zstd) => Self::One(ZSTD_LEVEL),
            (None, _) if bytes > SMALL_BYTES_MAX => Self::Large,
            (None, _) => Self::One(GZIP_LEVEL),
        }
    }
}

/// A chunk as it goes into the blob.
pub(super) struct Packed {
    /// Its name in a [`ChunkMemory`].
    pub(super) key: ChunkHash,
    /// Of `bytes`.
    pub(super) hash: ChunkHash,
    pub(super) bytes: Vec<u8>,
}

/// Compresses chunks, one at a time.
pub(super) struct Codec<'a> {
    compression: Compression,
    level: Level,
    /// One, or one for each of [`LARGE`].
    gzip: Vec<Compressor>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    /// Where gzip writes; kept, as clearing it for each chunk costs a hundredth of the time.
    room: Vec<u8>,
    memory: &'a dyn ChunkMemory,
}

impl<'a> Codec<'a> {
    pub(super) fn new(compression: Compression, level: Level, memory: &'a dyn ChunkMemory) -> Self {
        let gzip = |level: &i32| {
            Compressor::new(CompressionLvl::new((*level).clamp(0, 12)).expect("0 to 12 are levels"))
        };
        let (gzip, zstd) = match (compression, level) {
            (Compression::Zstd, Level::One(level)) => {
                (Vec::new(), Some(zstd::bulk::Compressor::new(level).expect("a level is all it takes")))
            }
            (_, Level::One(level)) => (vec![gzip(&level)], None),
            (_, Level::Large) => (LARGE.iter().map(gzip).collect(), None),
        };
        Self { compression, level, gzip, zstd, room: Vec::new(), memory }
    }

    pub(super) fn pack(&mut self, plain: &[u8]) -> Result<Packed, Error> {
        let key = self.key(plain);
        let bytes = match self.memory.get(&key) {
            Some(known) => known,
            None => self.compress(plain, &key)?,
        };
        Ok(Packed { key, hash: ChunkHash::of([&bytes[..]]), bytes })
    }

    /// Everything that decides what comes out.
    fn key(&self, plain: &[u8]) -> ChunkHash {
        let level = match self.level {
            Level::One(level) => level.to_string(),
            Level::Large => "large".to_owned(),
        };
        let form = format!("chunk {ENCODER_VERSION} {:?} {level}\0", self.compression);
        ChunkHash::of([form.as_bytes(), plain])
    }

    fn compress(&mut self, plain: &[u8], key: &ChunkHash) -> Result<Vec<u8>, Error> {
        if self.compression == Compression::None {
            return Ok(plain.to_owned());
        }
        if let Some(zstd) = &mut self.zstd {
            return zstd.compress(plain).map_err(Error::Write);
        }
        let second = self.gzip.len() > 1 && key.as_bytes()[0] >= FIRST_BELOW;
        let gzip = &mut self.gzip[usize::from(second)];
        let bound = gzip.gzip_compress_bound(plain.len());
        if self.room.len() < bound {
            self.room.resize(bound, 0);
        }
        let n = gzip.gzip_compress(plain, &mut self.room).expect("the bound is large enough");
        Ok(self.room[..n].to_owned())
    }
}
