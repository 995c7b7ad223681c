//! The tar around an image archive: a few named blobs, canonical headers.
//!
//! Not to be confused with layers (crate `layer`): names here are ASCII and short, so plain ustar is enough, and
//! blobs are streamed from the store. Source: POSIX.1-1988 ustar header.

use std::io::{self, Read, Write};

const BLOCK: usize = 512;
/// Bytes that are read and written at once.
const BUFFER_BYTES: usize = 1 << 20;
/// Largest size that eleven octal digits can hold; larger ones use GNU's base-256 form.
const OCTAL_SIZE_MAX: u64 = 0o777_7777_7777;

/// Writes tar entries one after the other.
#[derive(Debug)]
pub(super) struct TarWriter<W> {
    out: W,
    mtime_seconds: u64,
}

impl<W: Write> TarWriter<W> {
    /// All entries get this time.
    pub(super) fn new(out: W, mtime_seconds: i64) -> Self {
        Self { out, mtime_seconds: u64::try_from(mtime_seconds).unwrap_or(0) }
    }

    /// A directory; `name` ends with a slash.
    pub(super) fn directory(&mut self, name: &str) -> io::Result<()> {
        self.header(name, 0, 0o755, b'5')
    }

    /// A file with `content`.
    pub(super) fn file(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.stream(name, content.len() as u64, &mut &content[..])
    }

    /// A file of exactly `size` bytes from `content`.
    pub(super) fn stream(&mut self, name: &str, size: u64, content: &mut dyn Read) -> io::Result<()> {
        self.header(name, size, 0o644, b'0')?;
        let mut buffer = vec![0; BUFFER_BYTES.min(usize::try_from(size).unwrap_or(usize::MAX).max(1))];
        let mut left = size;
        while left > 0 {
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match content.read(&mut buffer[..most]) {
                Ok(0) => {
                    let message = format!("{name} is shorter than its size");
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
                }
                Ok(n) => {
                    self.out.write_all(&buffer[..n])?;
                    left -= n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let padding = (BLOCK - (size % BLOCK as u64) as usize) % BLOCK;
        self.out.write_all(&[0; BLOCK][..padding])
    }

    /// The end mark.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn header(&mut self, name: &str, size: u64, mode: u32, kind: u8) -> io::Result<()> {
        assert!(name.len() <= 100, "names in image archives are short");
        let mut header = [0_u8; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        octal(&mut header[100..108], u64::from(mode));
        octal(&mut header[108..116], 0);
        octal(&mut header[116..124], 0);
        if size <= OCTAL_SIZE_MAX {
            octal(&mut header[124..136], size);
        } else {
            header[128..136].copy_from_slice(&size.to_be_bytes());
            header[124] = 0x80;
        }
        octal(&mut header[136..148], self.mtime_seconds);
        header[156] = kind;
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].fill(b' ');
        let sum: u64 = header.iter().map(|b| u64::from(*b)).sum();
        octal(&mut header[148..155], sum);
        self.out.write_all(&header)
    }
}

/// Octal digits, zero-filled, ending in NUL.
fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let text = format!("{value:0digits$o}");
    field[..digits].copy_from_slice(&text.as_bytes()[text.len() - digits..]);
    field[digits] = 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gnu_tar_reads_it() {
        let mut tar = TarWriter::new(Vec::new(), 315_532_800);
        tar.directory("blobs/").unwrap();
        tar.file("blobs/a", b"hello").unwrap();
        let bytes = tar.finish().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tar");
        std::fs::write(&path, bytes).unwrap();
        let output =
            std::process::Command::new("tar").arg("-tvf").arg(&path).env("TZ", "UTC").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("5 1980-01-01 00:00 blobs/a"), "{text}");
    }
}
