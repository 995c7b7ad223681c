//! A stream of zstd frames, each of which has as many bytes as it says.
//!
//! libzstd has a second decoder for a frame that lies before it in one piece, with other opinions on damaged ones, so
//! whether such a frame was refused hung on how the network cut the stream. Here the first byte of each frame comes
//! alone, so that it is never one piece, and the comparison is our own. What is compressed with what: `archive.rs`.

use std::io::{self, BufRead, Read};

use zstd::stream::raw::{DParameter, Decoder, Operation};
use zstd::zstd_safe::get_frame_content_size;

/// Longest header of a frame, bytes. Source: RFC 8878, section 3.1.1.1, with the magic number.
const HEADER_BYTES_MAX: usize = 18;

/// Reads the plain bytes.
pub(crate) struct ZstdFrames<R> {
    reader: R,
    decoder: Decoder<'static>,
    /// The first bytes of the frame at hand; none between frames.
    header: Vec<u8>,
    /// Plain bytes of that frame so far.
    bytes: u64,
}

impl<R: BufRead> ZstdFrames<R> {
    /// Frames with a window of more than 2 to the power of `window_log_max` are refused.
    pub(crate) fn new(reader: R, window_log_max: u32) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(window_log_max))?;
        Ok(Self { reader, decoder, header: Vec::with_capacity(HEADER_BYTES_MAX), bytes: 0 })
    }

    fn end_frame(&mut self) -> io::Result<()> {
        let (says, has) = (get_frame_content_size(&self.header), self.bytes);
        self.header.clear();
        self.bytes = 0;
        match says {
            Ok(Some(says)) if says != has => {
                let text = format!("a zstd frame has {has} bytes and says that it has {says}");
                Err(io::Error::new(io::ErrorKind::InvalidData, text))
            }
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.reader.fill_buf()?;
            let is_end = input.is_empty();
            if out.is_empty() || is_end && self.header.is_empty() {
                return Ok(0);
            }
            let input = if self.header.is_empty() { &input[..1] } else { input };
            let done = self.decoder.run_on_buffers(input, out)?;
            let wanted = HEADER_BYTES_MAX - self.header.len();
            self.header.extend_from_slice(&input[..done.bytes_read.min(wanted)]);
            self.reader.consume(done.bytes_read);
            self.bytes += done.bytes_written as u64;
            if done.remaining == 0 {
                self.end_frame()?;
            } else if is_end && done.bytes_written == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a zstd frame breaks off"));
            }
            if done.bytes_written > 0 {
                return Ok(done.bytes_written);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(bytes: &[u8], at_once: usize) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        ZstdFrames::new(io::BufReader::with_capacity(at_once, bytes), 27)?.read_to_end(&mut plain)?;
        Ok(plain)
    }

    /// Magic number, one segment, a size of so many bytes, an empty block, an empty last block.
    fn empty_frame(says: u8) -> Vec<u8> {
        [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, says][..], &[0, 0, 0, 1, 0, 0]].concat()
    }

    /// A block that calls itself compressed and has no bytes: one of libzstd's decoders takes it for empty, one for damaged.
    #[test]
    fn an_empty_compressed_block_is_the_same_however_it_arrives() {
        for says in 0..2 {
            let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x20, says, 5, 0, 0];
            let came = [1, 4, 9, 1 << 20].map(|at_once| plain(&frame, at_once).ok());
            assert!(came.iter().all(|plain| *plain == came[0]), "{came:?}");
            assert_eq!(came[0].is_some(), says == 0);
        }
    }

    #[test]
    fn a_frame_has_what_it_says_however_it_arrives() {
        let text = b"hello ".repeat(100_000);
        let frame = zstd::bulk::compress(&text, 3).unwrap();
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 7, 7];
        let whole = [&frame[..], &skippable, &empty_frame(0), &frame].concat();
        for at_once in [1, 2, 7, 1 << 20] {
            assert_eq!(plain(&whole, at_once).unwrap(), text.repeat(2));
            assert_eq!(plain(b"", at_once).unwrap(), b"");
            assert!(plain(&[&frame[..], &empty_frame(1)].concat(), at_once).is_err());
            for end in [frame.len() / 2, frame.len() + 3, whole.len() - 1] {
                let error = plain(&whole[..end], at_once).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
            }
            assert!(plain(b"no frame at all", at_once).is_err());
        }
    }
}
