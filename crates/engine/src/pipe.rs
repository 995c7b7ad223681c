//! A pipe between two threads: what one writes the other reads, in large chunks, in bounded memory.
//!
//! It overlaps the stages of an unpacking (`pull.rs`): socket, inflate, untar, hash. Chunks go back to the writer once they
//! are read, so that nothing is allocated while bytes flow; on their way they may pass a third thread.

use std::io::{self, Read, Write};

use crossbeam_channel::{Receiver, Sender, bounded};

/// Bytes handed over at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks in flight: bounds the memory of a pipe at 2 MiB, or 4 MiB with a third thread.
const CHUNKS_MAX: usize = 8;

/// The two ends of a new pipe.
pub(crate) fn pipe() -> (PipeWriter, PipeReader) {
    let (full, to_read) = bounded(CHUNKS_MAX);
    let (empty, to_fill) = bounded(CHUNKS_MAX + 1);
    let writer = PipeWriter { full, to_fill, chunk: Chunk::new() };
    (writer, PipeReader { to_read, done: Done::Empty(empty), chunk: Chunk::none(), read: 0 })
}

/// A pipe whose bytes somebody sees again after its reader.
pub(crate) fn pipe_seen_again() -> (PipeWriter, PipeReader, SeenAgain) {
    let (writer, mut reader) = pipe();
    let (pass, passed) = bounded(CHUNKS_MAX);
    let Done::Empty(empty) = std::mem::replace(&mut reader.done, Done::Passed(pass)) else {
        unreachable!("a new pipe has two ends")
    };
    (writer, reader, SeenAgain { passed, empty })
}

/// Room for bytes, and how many are in it.
#[derive(Debug)]
struct Chunk {
    room: Box<[u8]>,
    filled: usize,
}

impl Chunk {
    fn new() -> Self {
        Self { room: vec![0; CHUNK_BYTES].into(), filled: 0 }
    }

    fn none() -> Self {
        Self { room: Box::default(), filled: 0 }
    }

    fn bytes(&self) -> &[u8] {
        &self.room[..self.filled]
    }

    fn is_full(&self) -> bool {
        self.filled == self.room.len()
    }
}

/// Where bytes go in. Whoever drops it ends the stream.
#[derive(Debug)]
pub(crate) struct PipeWriter {
    full: Sender<io::Result<Chunk>>,
    to_fill: Receiver<Chunk>,
    chunk: Chunk,
}

impl PipeWriter {
    /// Moves everything from `source` into the pipe, the error that ends it included; stops when nobody reads.
    pub(crate) fn fill_from(mut self, mut source: impl Read) {
        loop {
            match source.read(&mut self.chunk.room[self.chunk.filled..]) {
                Ok(0) => return,
                Ok(n) => self.chunk.filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let _ = self.send();
                    let _ = self.full.send(Err(error));
                    return;
                }
            }
            if self.chunk.is_full() && self.send().is_err() {
                return;
            }
        }
    }

    fn send(&mut self) -> io::Result<()> {
        let mut next = self.to_fill.try_recv().unwrap_or_else(|_| Chunk::new());
        next.filled = 0;
        let chunk = std::mem::replace(&mut self.chunk, next);
        self.full.send(Ok(chunk)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = &mut self.chunk.room[self.chunk.filled..];
        let n = bytes.len().min(room.len());
        room[..n].copy_from_slice(&bytes[..n]);
        self.chunk.filled += n;
        if self.chunk.is_full() {
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
        if self.chunk.filled > 0 {
            let _ = self.send();
        }
    }
}

/// Where bytes come out.
#[derive(Debug)]
pub(crate) struct PipeReader {
    to_read: Receiver<io::Result<Chunk>>,
    done: Done,
    chunk: Chunk,
    read: usize,
}

/// Where a chunk goes that was read.
#[derive(Debug)]
enum Done {
    /// Back to the writer, if that can use it.
    Empty(Sender<Chunk>),
    /// To whoever wants to see it again.
    Passed(Sender<Chunk>),
}

impl PipeReader {
    /// Puts `next` in the place of the chunk that was read.
    fn take(&mut self, next: Chunk) {
        let chunk = std::mem::replace(&mut self.chunk, next);
        self.read = 0;
        if chunk.room.is_empty() {
            return;
        }
        // Either may have ended already.
        match &self.done {
            Done::Empty(empty) => drop(empty.try_send(chunk)),
            Done::Passed(pass) => drop(pass.send(chunk)),
        }
    }
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.chunk.filled {
            match self.to_read.recv() {
                Ok(chunk) => self.take(chunk?),
                Err(_) => {
                    self.take(Chunk::none());
                    return Ok(0);
                }
            }
        }
        let n = buffer.len().min(self.chunk.filled - self.read);
        buffer[..n].copy_from_slice(&self.chunk.bytes()[self.read..self.read + n]);
        self.read += n;
        Ok(n)
    }
}

/// Where the bytes that were read come by once more.
#[derive(Debug)]
pub(crate) struct SeenAgain {
    passed: Receiver<Chunk>,
    empty: Sender<Chunk>,
}

impl SeenAgain {
    /// Shows `each` all bytes in order, until the reader has ended. Whole are they if it has read to the end.
    pub(crate) fn for_each(self, mut each: impl FnMut(&[u8])) {
        for chunk in self.passed {
            each(chunk.bytes());
            let _ = self.empty.try_send(chunk);
        }
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
    fn a_third_sees_every_byte_again() {
        for length in [0, 1, CHUNK_BYTES, 40 * CHUNK_BYTES + 7] {
            let sent = bytes(length);
            let (writer, mut reader, again) = pipe_seen_again();
            let (mut got, mut seen) = (Vec::new(), Vec::new());
            std::thread::scope(|scope| {
                scope.spawn(|| writer.fill_from(&sent[..]));
                scope.spawn(|| again.for_each(|bytes| seen.extend_from_slice(bytes)));
                reader.read_to_end(&mut got).unwrap();
                drop(reader);
            });
            assert!(got == sent && seen == sent, "{length} bytes");
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
