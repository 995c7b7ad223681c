//! A pipe between two threads: what one writes the other reads, in large chunks, in bounded memory.
//!
//! It overlaps the stages of an unpacking (`pull.rs`): socket, inflate, untar. Chunks go back to the writer once they
//! are read, so that nothing is allocated while bytes flow.

use std::io::{self, Read, Write};

use crossbeam_channel::{Receiver, Sender, bounded};

/// Bytes handed over at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks in flight: bounds the memory of a pipe at 2 MiB.
const CHUNKS_MAX: usize = 8;

/// The two ends of a new pipe.
pub(crate) fn pipe() -> (PipeWriter, PipeReader) {
    let (full, to_read) = bounded(CHUNKS_MAX);
    let (empty, to_fill) = bounded(CHUNKS_MAX + 1);
    let writer = PipeWriter { full, to_fill, chunk: Vec::with_capacity(CHUNK_BYTES) };
    (writer, PipeReader { to_read, empty, chunk: Vec::new(), read: 0 })
}

/// Where bytes go in. Whoever drops it ends the stream.
#[derive(Debug)]
pub(crate) struct PipeWriter {
    full: Sender<io::Result<Vec<u8>>>,
    to_fill: Receiver<Vec<u8>>,
    chunk: Vec<u8>,
}

impl PipeWriter {
    /// Moves everything from `source` into the pipe, the error that ends it included; stops when nobody reads.
    pub(crate) fn fill_from(mut self, mut source: impl Read) {
        loop {
            let have = self.chunk.len();
            self.chunk.resize(CHUNK_BYTES, 0);
            let read = source.read(&mut self.chunk[have..]);
            self.chunk.truncate(have + read.as_ref().map_or(0, |n| *n));
            let sent = match read {
                Ok(0) => return,
                Ok(_) if self.chunk.len() < CHUNK_BYTES => Ok(()),
                Ok(_) => self.send(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                Err(error) => {
                    let _ = self.send();
                    let _ = self.full.send(Err(error));
                    return;
                }
            };
            if sent.is_err() {
                return;
            }
        }
    }

    fn send(&mut self) -> io::Result<()> {
        let mut next = self.to_fill.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK_BYTES));
        next.clear();
        let chunk = std::mem::replace(&mut self.chunk, next);
        self.full.send(Ok(chunk)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..n]);
        if self.chunk.len() == CHUNK_BYTES {
            self.send()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        if !self.chunk.is_empty() {
            let _ = self.send();
        }
    }
}

/// Where bytes come out.
#[derive(Debug)]
pub(crate) struct PipeReader {
    to_read: Receiver<io::Result<Vec<u8>>>,
    empty: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    read: usize,
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.chunk.len() {
            match self.to_read.recv() {
                Ok(chunk) => {
                    let empty = std::mem::replace(&mut self.chunk, chunk?);
                    self.read = 0;
                    // The writer may have ended already.
                    let _ = self.empty.try_send(empty);
                }
                Err(_) => return Ok(0),
            }
        }
        let n = buffer.len().min(self.chunk.len() - self.read);
        buffer[..n].copy_from_slice(&self.chunk[self.read..self.read + n]);
        self.read += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n * 31 % 251) as u8).collect()
    }

    #[test]
    fn everything_arrives_in_order_however_it_is_cut() {
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 20 * CHUNK_BYTES + 7] {
            let sent = bytes(length);
            for piece in [7919, CHUNK_BYTES * 3] {
                let (mut writer, mut reader) = pipe();
                let mut got = Vec::new();
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        let mut writer = writer;
                        sent.chunks(piece).for_each(|piece| writer.write_all(piece).unwrap());
                    });
                    reader.read_to_end(&mut got).unwrap();
                });
                assert!(got == sent, "{length} bytes in pieces of {piece}");
                (writer, reader) = pipe();
                got.clear();
                std::thread::scope(|scope| {
                    scope.spawn(|| writer.fill_from(&sent[..]));
                    reader.read_to_end(&mut got).unwrap();
                });
                assert!(got == sent, "{length} bytes");
            }
        }
    }

    #[test]
    fn the_error_of_a_source_comes_after_the_bytes_before_it() {
        struct Breaks(usize);
        impl Read for Breaks {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if self.0 == 0 {
                    return Err(io::Error::other("broken"));
                }
                let n = buffer.len().min(self.0);
                self.0 -= n;
                Ok(n)
            }
        }
        let (writer, mut reader) = pipe();
        let mut got = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| writer.fill_from(Breaks(CHUNK_BYTES + 5)));
            assert_eq!(reader.read_to_end(&mut got).unwrap_err().to_string(), "broken");
        });
        assert_eq!(got.len(), CHUNK_BYTES + 5);
    }

    #[test]
    fn a_reader_that_goes_ends_the_writer() {
        let (mut writer, reader) = pipe();
        drop(reader);
        let sent = bytes(CHUNK_BYTES);
        assert_eq!(writer.write_all(&sent).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
