//! Compresses single chunks, or finds that it was done before.

use jettison_oci::{Compression, Digest, Hasher};
use libdeflater::{CompressionLvl, Compressor};

use super::{ChunkMemory, ENCODER_VERSION, EncodeOptions};
use crate::Error;

/// Level of gzip when none is asked for. Paid once per content; see the measurements in the performance notes.
const GZIP_LEVEL: i32 = 6;
/// Level of zstd when none is asked for.
const ZSTD_LEVEL: i32 = 3;

/// A chunk as it goes into the blob.
pub(super) struct Packed {
    /// Its name in a [`ChunkMemory`].
    pub(super) key: Digest,
    pub(super) bytes: Vec<u8>,
}

/// Compresses chunks, one at a time.
pub(super) struct Codec<'a> {
    compression: Compression,
    level: i32,
    gzip: Compressor,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    memory: &'a dyn ChunkMemory,
}

impl<'a> Codec<'a> {
    pub(super) fn new(options: &EncodeOptions, memory: &'a dyn ChunkMemory) -> Self {
        let is_zstd = options.compression == Compression::Zstd;
        let level = options.level.unwrap_or(if is_zstd { ZSTD_LEVEL } else { GZIP_LEVEL });
        let gzip_level = if is_zstd { GZIP_LEVEL } else { level.clamp(0, 12) };
        Self {
            compression: options.compression,
            level,
            gzip: Compressor::new(CompressionLvl::new(gzip_level).expect("0 to 12 are levels")),
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
        Ok(Packed { key, bytes })
    }

    /// Everything that decides what comes out.
    fn key(&self, plain: &[u8]) -> Digest {
        let mut hasher = Hasher::sha256();
        hasher.update(format!("chunk {ENCODER_VERSION} {:?} {}\0", self.compression, self.level).as_bytes());
        hasher.update(plain);
        hasher.finish()
    }

    fn compress(&mut self, plain: &[u8]) -> Result<Vec<u8>, Error> {
        if self.compression == Compression::None {
            return Ok(plain.to_owned());
        }
        if let Some(zstd) = &mut self.zstd {
            return zstd.compress(plain).map_err(Error::Write);
        }
        let mut out = vec![0; self.gzip.gzip_compress_bound(plain.len())];
        let n = self.gzip.gzip_compress(plain, &mut out).expect("the bound is large enough");
        out.truncate(n);
        Ok(out)
    }
}
