//! A stream of gzip members, each of which has the checksum and the size that it says.
//!
//! The framing is ours for the sake of the checksum alone: flate2's own reader takes that of zlib-rs, whose folding is not
//! compiled for carry-less multiplication (0.6.8, `crc32/pclmulqdq.rs`) and takes as long as a quarter of the inflating.
//! Format: RFC 1952. What is compressed with what: `archive.rs`.

use std::io::{self, BufRead, Read};

use crc32fast::Hasher;
use flate2::{Decompress, FlushDecompress, Status};

/// What every header begins with: two magic bytes, and 8 for deflate. Source: RFC 1952, section 2.3.1.
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

/// What a header has besides. Source: RFC 1952, section 2.3.1, `FLG`.
mod flag {
    pub(super) const HEADER_CHECKSUM: u8 = 1 << 1;
    pub(super) const EXTRA: u8 = 1 << 2;
    pub(super) const NAME: u8 = 1 << 3;
    pub(super) const COMMENT: u8 = 1 << 4;
    pub(super) const RESERVED: u8 = 0b1110_0000;
}

/// Reads the plain bytes.
pub(crate) struct GzipMembers<R> {
    reader: R,
    inflate: Decompress,
    at: At,
}

/// Where in the stream we are.
enum At {
    /// Before the first member: there must be one.
    Start,
    /// Within a member, of which there were so far these plain bytes.
    Member { checksum: Hasher, size: u32 },
    /// After a member: it may have been the last.
    Between,
}

impl<R: BufRead> GzipMembers<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, inflate: Decompress::new(false), at: At::Start }
    }

    fn begin_member(&mut self) -> io::Result<()> {
        read_header(&mut self.reader)?;
        self.inflate.reset(false);
        self.at = At::Member { checksum: Hasher::new(), size: 0 };
        Ok(())
    }

    /// Compares what was read with the trailer. Source: RFC 1952, section 2.3.1, `CRC32` and `ISIZE`.
    fn end_member(&mut self) -> io::Result<()> {
        let mut trailer = [0; 8];
        self.reader.read_exact(&mut trailer).map_err(broken_off)?;
        let At::Member { checksum, size } = std::mem::replace(&mut self.at, At::Between) else {
            return Ok(());
        };
        if [checksum.finalize().to_le_bytes(), size.to_le_bytes()].concat() != trailer {
            return Err(invalid("a gzip member does not have the checksum and size that it says"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let At::Member { checksum, size } = &mut self.at else {
                if matches!(self.at, At::Between) && self.reader.fill_buf()?.is_empty() {
                    return Ok(0);
                }
                self.begin_member()?;
                continue;
            };
            let input = self.reader.fill_buf()?;
            let before = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(input, out, FlushDecompress::None)
                .map_err(|error| invalid(&format!("a gzip member is damaged: {error}")))?;
            // Neither is more than a slice is long.
            let read = (self.inflate.total_in() - before.0) as usize;
            let written = (self.inflate.total_out() - before.1) as usize;
            self.reader.consume(read);
            checksum.update(&out[..written]);
            *size = size.wrapping_add(written as u32);
            if status == Status::StreamEnd {
                self.end_member()?;
            } else if read == 0 && written == 0 {
                return Err(broken_off(io::ErrorKind::UnexpectedEof.into()));
            }
            if written > 0 {
                return Ok(written);
            }
        }
    }
}

fn read_header(reader: &mut impl BufRead) -> io::Result<()> {
    let mut header = Header { reader, checksum: Hasher::new() };
    let fixed: [u8; 10] = header.take()?;
    let flags = fixed[3];
    if fixed[..3] != MAGIC || flags & flag::RESERVED != 0 {
        return Err(invalid("this is no gzip member"));
    }
    if flags & flag::EXTRA != 0 {
        for _ in 0..u16::from_le_bytes(header.take()?) {
            header.take::<1>()?;
        }
    }
    for text in [flag::NAME, flag::COMMENT] {
        while flags & text != 0 && header.take()? != [0] {}
    }
    if flags & flag::HEADER_CHECKSUM != 0 {
        // The low half.
        let [a, b, ..] = header.checksum.clone().finalize().to_le_bytes();
        if header.take()? != [a, b] {
            return Err(invalid("the header of a gzip member does not have the checksum that it says"));
        }
    }
    Ok(())
}

/// The bytes of a header, with their checksum.
struct Header<'a, R> {
    reader: &'a mut R,
    checksum: Hasher,
}

impl<R: BufRead> Header<'_, R> {
    fn take<const BYTES: usize>(&mut self) -> io::Result<[u8; BYTES]> {
        let mut bytes = [0; BYTES];
        self.reader.read_exact(&mut bytes).map_err(broken_off)?;
        self.checksum.update(&bytes);
        Ok(bytes)
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// The end of a stream that ends too early says so.
fn broken_off(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            io::Error::new(io::ErrorKind::UnexpectedEof, "a gzip member breaks off")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::GzBuilder;
    use flate2::bufread::MultiGzDecoder;
    use proptest::prelude::*;

    use super::*;

    fn plain(bytes: &[u8], at_once: usize) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        GzipMembers::new(io::BufReader::with_capacity(at_once, bytes)).read_to_end(&mut plain)?;
        Ok(plain)
    }

    fn member(content: &[u8], builder: GzBuilder) -> Vec<u8> {
        let mut encoder = builder.write(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    /// A member without content whose header has everything, a checksum that is `off` by so much included.
    fn full_header(off: u8) -> Vec<u8> {
        let mut header = [&MAGIC[..], &[0b11111, 0, 0, 0, 0, 0, 3, 2, 0, 7, 7], b"name\0comment\0"].concat();
        let [a, b, ..] = crc32fast::hash(&header).to_le_bytes();
        header.extend([a ^ off, b]);
        let whole = member(b"", GzBuilder::new());
        [&header[..], &whole[10..]].concat()
    }

    #[test]
    fn members_are_one_stream_however_they_arrive() {
        let text = b"hello ".repeat(100_000);
        let named = GzBuilder::new().filename("a").comment("b").extra("cd");
        let whole = [member(&text, named), full_header(0), member(&text, GzBuilder::new())].concat();
        for at_once in [1, 2, 7, 1 << 20] {
            assert_eq!(plain(&whole, at_once).unwrap(), text.repeat(2));
            for end in [0, 1, 9, 15, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
                let error = plain(&whole[..end], at_once).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{end}: {error}");
            }
        }
    }

    #[test]
    fn what_is_not_as_it_says_is_refused() {
        let whole = member(b"hello", GzBuilder::new());
        let changed = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x80;
            plain(&bytes, 64).unwrap_err().to_string()
        };
        let last = whole.len() - 1;
        assert_eq!(changed(0), "this is no gzip member");
        assert_eq!(changed(3), "this is no gzip member");
        assert_eq!(changed(last), "a gzip member does not have the checksum and size that it says");
        assert_eq!(changed(last - 4), "a gzip member does not have the checksum and size that it says");
        let error = plain(&full_header(1), 64).unwrap_err();
        assert_eq!(error.to_string(), "the header of a gzip member does not have the checksum that it says");
        let error = plain(&[&whole[..], b"what is this doing here"].concat(), 64).unwrap_err();
        assert_eq!(error.to_string(), "this is no gzip member");
    }

    proptest! {
        /// flate2's reader gives the same bytes, or refuses them too.
        #[test]
        fn it_reads_what_flate2_reads(
            contents in prop::collection::vec(prop::collection::vec(0..4_u8, 0..300), 0..4),
            damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
            end in prop::option::of(any::<prop::sample::Index>()),
            at_once in 1..100_usize,
        ) {
            let mut bytes: Vec<u8> = contents.iter().flat_map(|c| member(c, GzBuilder::new().filename("f"))).collect();
            if let Some((at, change)) = damage.filter(|_| !bytes.is_empty()) {
                let at = at.index(bytes.len());
                bytes[at] ^= change;
            }
            if let Some(end) = end {
                bytes.truncate(end.index(bytes.len() + 1));
            }
            let mut theirs = Vec::new();
            let read = MultiGzDecoder::new(&bytes[..]).read_to_end(&mut theirs);
            let ours = plain(&bytes, at_once);
            prop_assert_eq!(ours.is_ok(), read.is_ok(), "ours {:?}, theirs {:?}", ours, read);
            prop_assert_eq!(ours.unwrap_or_default(), if read.is_ok() { theirs } else { Vec::new() });
        }
    }
}
