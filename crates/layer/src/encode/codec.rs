//! Compresses single chunks, or finds that it was done before.

use jettison_oci::Compression;
use libdeflater::{CompressionLvl, Compressor};

use super::{ChunkHash, ChunkMemory, ENCODER_VERSION, EncodeOptions};
use crate::Error;

/// Level of gzip when none is asked for: what is small is pulled often, and compressed before anybody notices.
const GZIP_LEVEL: i32 = 6;
/// The same for a large tar, where people wait: a twentieth larger, as large as what zlib's level 6 makes of it, which
/// other builders use, in 0.6 of the time.
const GZIP_LEVEL_LARGE: i32 = 2;
/// A tar of more bytes is large.
const SMALL_BYTES_MAX: u64 = 64 << 20;
/// Level of zstd when none is asked for.
const ZSTD_LEVEL: i32 = 3;

/// The level for a tar of about `bytes` if none is asked for. It is part of the format: the bytes depend on it.
pub(super) fn default_level(compression: Compression, bytes: u64) -> i32 {
    match compression {
        Compression::Zstd => ZSTD_LEVEL,
        _ if bytes > SMALL_BYTES_MAX => GZIP_LEVEL_LARGE,
        _ => GZIP_LEVEL,
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
    level: i32,
    gzip: Compressor,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    /// Where gzip writes; kept, as clearing it for each chunk costs a hundredth of the time.
    room: Vec<u8>,
    memory: &'a dyn ChunkMemory,
}

impl<'a> Codec<'a> {
    pub(super) fn new(options: &EncodeOptions, memory: &'a dyn ChunkMemory) -> Self {
        let is_zstd = options.compression == Compression::Zstd;
        let level = options.level.unwrap_or(default_level(options.compression, 0));
        let gzip_level = if is_zstd { GZIP_LEVEL } else { level.clamp(0, 12) };
        Self {
            compression: options.compression,
            level,
            gzip: Compressor::new(CompressionLvl::new(gzip_level).expect("0 to 12 are levels")),
            room: Vec::new(),
            zstd: is_zstd.then(|| zstd::bulk::Compressor::new(level).expect("a level is all it takes")),
            memory,
        }
    }

    pub(super) fn pack(&mut self, plain: &[u8]) -> Result<Packed, Error> {
        let key = self.key(plain);
        let bytes = match self.memory.get(&key) {
            Some(known) => known,
            None => self.compress(plain)?,
        };
        Ok(Packed { key, hash: ChunkHash::of([&bytes[..]]), bytes })
    }

    /// Everything that decides what comes out.
    fn key(&self, plain: &[u8]) -> ChunkHash {
        let form = format!("chunk {ENCODER_VERSION} {:?} {}\0", self.compression, self.level);
        ChunkHash::of([form.as_bytes(), plain])
    }

    fn compress(&mut self, plain: &[u8]) -> Result<Vec<u8>, Error> {
        if self.compression == Compression::None {
            return Ok(plain.to_owned());
        }
        if let Some(zstd) = &mut self.zstd {
            return zstd.compress(plain).map_err(Error::Write);
        }
        let bound = self.gzip.gzip_compress_bound(plain.len());
        if self.room.len() < bound {
            self.room.resize(bound, 0);
        }
        let n = self.gzip.gzip_compress(plain, &mut self.room).expect("the bound is large enough");
        Ok(self.room[..n].to_owned())
    }
}
