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

/// gzip of a large tar, where people wait: the second level takes half as long again and saves 5 % of programs and tables of
/// numbers, which a share of zeros gives away, and 3 % of the rest. Together 7 % larger than level 6, for half of
/// its processor time; of a toolchain within 2 % of what zlib's level 6 makes of it, which other builders use.
const LARGE: [i32; 2] = [1, 2];
/// Chunks with a share of zeros from this, out of 20, get the second of [`LARGE`].
const ZEROS_MIN: usize = 3;
/// Below this share, out of 20.
const ZEROS_END: usize = 10;
/// Zeros are counted in the first [`LOOKED_AT`] of so many bytes.
const STRIDE: usize = 4096;
const LOOKED_AT: usize = 256;

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
            None => self.compress(plain)?,
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

    fn compress(&mut self, plain: &[u8]) -> Result<Vec<u8>, Error> {
        if self.compression == Compression::None {
            return Ok(plain.to_owned());
        }
        if let Some(zstd) = &mut self.zstd {
            return zstd.compress(plain).map_err(Error::Write);
        }
        let second = self.gzip.len() > 1 && is_worth_the_second(plain);
        let gzip = &mut self.gzip[usize::from(second)];
        let bound = gzip.gzip_compress_bound(plain.len());
        if self.room.len() < bound {
            self.room.resize(bound, 0);
        }
        let n = gzip.gzip_compress(plain, &mut self.room).expect("the bound is large enough");
        Ok(self.room[..n].to_owned())
    }
}

/// Whether a chunk of a large tar gets the second of [`LARGE`].
fn is_worth_the_second(plain: &[u8]) -> bool {
    let (mut zeros, mut bytes) = (0, 0);
    for stride in plain.chunks(STRIDE) {
        let start = &stride[..stride.len().min(LOOKED_AT)];
        zeros += memchr::memchr_iter(0, start).count();
        bytes += start.len();
    }
    (ZEROS_MIN * bytes..ZEROS_END * bytes).contains(&(20 * zeros))
}

#[cfg(test)]
mod tests {
    use super::super::NoChunks;
    use super::*;

    /// In a large tar programs get the second level and text the first, whatever else is in it.
    #[test]
    fn zeros_tell_what_is_worth_the_second_level() {
        let text = b"what is written here has no zeros at all, and says little that is new. ".repeat(2000);
        let noise: fn(u32) -> u8 = |n| (n.wrapping_mul(n) / 7) as u8 | 1;
        let every = |stride: u32, zero: u8, other: fn(u32) -> u8| -> Vec<u8> {
            (0..200_000).map(|n| if n % stride == 0 { zero } else { other(n) }).collect()
        };
        // As in machine code; nearly all; nearly none.
        let (program, hole, media) = (every(4, 0, noise), every(4, 1, |_| 0), every(40, 0, noise));
        for (plain, second) in
            [(&text, false), (&program, true), (&hole, false), (&media, false), (&Vec::new(), false)]
        {
            let packed = |level| Codec::new(Compression::Gzip, level, &NoChunks).pack(plain).unwrap().bytes;
            let level = LARGE[usize::from(second)];
            assert!(packed(Level::Large) == packed(Level::One(level)), "{level}");
            assert!(plain.len() < 1000 || packed(Level::One(1)) != packed(Level::One(2)));
        }
    }
}
