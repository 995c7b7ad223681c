//! Compressed streams: what they are, by their first bytes, and how to read them.

use std::io::{self, BufReader, Read};

use jettison_oci::Compression;

use crate::gzip_members::GzipMembers;
use crate::zstd_frames::ZstdFrames;

/// Bytes that are read from the stream below at once.
const BUFFER_BYTES: usize = 256 << 10;
/// Largest window that a zstd stream may ask for, as a power of two: 128 MiB, the limit of `zstd -d` without flags.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// What an archive is compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archive {
    /// Plain tar.
    Tar,
    /// gzip.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// zstd.
    Zstd,
}

/// Recognises an archive by its first 512 bytes, as BuildKit does: the name plays no part.
pub fn detect(prefix: &[u8]) -> Option<Archive> {
    match prefix {
        [0x1f, 0x8b, 0x08, ..] => Some(Archive::Gzip),
        [b'B', b'Z', b'h', ..] => Some(Archive::Bzip2),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Archive::Xz),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Archive::Zstd),
        _ => is_tar_header(prefix).then_some(Archive::Tar),
    }
}

fn is_tar_header(prefix: &[u8]) -> bool {
    let Some(block) = prefix.first_chunk::<512>() else { return false };
    block.iter().any(|b| *b != 0) && tar_core::Header::from_bytes(block).verify_checksum().is_ok()
}

/// The plain bytes of a layer blob. Several gzip members or zstd frames are one stream.
pub fn decompress<'a>(
    compression: Compression,
    reader: impl Read + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let archive = match compression {
        Compression::None => Archive::Tar,
        Compression::Gzip => Archive::Gzip,
        Compression::Zstd => Archive::Zstd,
    };
    decompress_archive(archive, reader)
}

/// The plain bytes of an archive.
pub fn decompress_archive<'a>(
    archive: Archive,
    reader: impl Read + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let reader = BufReader::with_capacity(BUFFER_BYTES, reader);
    Ok(match archive {
        Archive::Tar => Box::new(reader),
        Archive::Gzip => Box::new(GzipMembers::new(reader)),
        Archive::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
        Archive::Xz => Box::new(lzma_rust2::XzReader::new(reader, true)),
        Archive::Zstd => Box::new(ZstdFrames::new(reader, ZSTD_WINDOW_LOG_MAX)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_frames_are_one_stream() {
        let mut gzip = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
        let mut member = |bytes: &[u8]| {
            let mut out = vec![0; gzip.gzip_compress_bound(bytes.len())];
            let n = gzip.gzip_compress(bytes, &mut out).unwrap();
            out.truncate(n);
            out
        };
        let two = [member(b"hello "), member(b"world")].concat();
        let mut text = String::new();
        decompress(Compression::Gzip, &two[..]).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello world");
        let two = [zstd::bulk::compress(b"hello ", 3).unwrap(), zstd::bulk::compress(b"world", 3).unwrap()]
            .concat();
        assert_eq!(detect(&two), Some(Archive::Zstd));
        text.clear();
        decompress(Compression::Zstd, &two[..]).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello world");
    }

    #[test]
    fn what_is_no_archive() {
        assert_eq!(detect(b""), None);
        assert_eq!(detect(&[0; 512]), None);
        assert_eq!(detect(b"hello"), None);
    }
}
