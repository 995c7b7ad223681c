//! Tar archives, member by member, without any care for what is allowed.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Bytes of a header, and the unit in which contents are padded.
const BLOCK_BYTES: usize = 512;

/// An archive that grows.
#[derive(Clone, Default)]
pub struct Tar(pub Vec<u8>);

impl Tar {
    /// A member whose header says `size`, and whose content is `body`.
    pub fn member(mut self, name: &[u8], kind: u8, link: &[u8], size: u64, body: &[u8]) -> Self {
        self.0.extend_from_slice(&header(name, kind, link, size));
        self.pad(body);
        self
    }

    pub fn file(self, name: &str, body: &str) -> Self {
        self.member(name.as_bytes(), b'0', b"", body.len() as u64, body.as_bytes())
    }

    pub fn directory(self, name: &str) -> Self {
        self.member(name.as_bytes(), b'5', b"", 0, b"")
    }

    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.member(name.as_bytes(), b'2', target.as_bytes(), 0, b"")
    }

    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.member(name.as_bytes(), b'1', target.as_bytes(), 0, b"")
    }

    /// A PAX header for the member that follows.
    pub fn pax(self, key: &str, value: &str) -> Self {
        let rest = format!(" {key}={value}\n");
        let mut length = rest.len() + 1;
        while length != rest.len() + length.to_string().len() {
            length = rest.len() + length.to_string().len();
        }
        let record = format!("{length}{rest}");
        self.member(b"pax", b'x', b"", record.len() as u64, record.as_bytes())
    }

    /// GNU's long name (`L`) or long target of a link (`K`) for the member that follows.
    pub fn gnu_long(self, kind: u8, name: &str) -> Self {
        let name = format!("{name}\0");
        self.member(b"././@LongLink", kind, b"", name.len() as u64, name.as_bytes())
    }

    /// With the two blocks of zeros at the end.
    pub fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK_BYTES, 0);
        self.0
    }

    fn pad(&mut self, body: &[u8]) {
        self.0.extend_from_slice(body);
        self.0.resize(self.0.len().next_multiple_of(BLOCK_BYTES), 0);
    }
}

/// A header; what is longer than its field is cut.
pub fn header(name: &[u8], kind: u8, link: &[u8], size: u64) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    let mut put = |at: usize, limit: usize, bytes: &[u8]| {
        let length = bytes.len().min(limit);
        block[at..at + length].copy_from_slice(&bytes[..length]);
    };
    put(0, 100, name);
    put(100, 8, b"0000755\0");
    put(108, 8, b"0000000\0");
    put(116, 8, b"0000000\0");
    if size < 1 << 33 {
        put(124, 12, format!("{size:011o}\0").as_bytes());
    } else {
        put(124, 4, &[0x80, 0, 0, 0]);
        put(128, 8, &size.to_be_bytes());
    }
    put(136, 12, b"00000000000\0");
    put(148, 8, b"        ");
    put(156, 1, &[kind]);
    put(157, 100, link);
    put(257, 8, b"ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// As one gzip member.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes all that is written")
}

/// `member`, then `times` gzip members of `zeros` zeros each.
pub fn gzip_bomb(first: &[u8], zeros: usize, times: usize) -> Vec<u8> {
    let mut bytes = gzip(first);
    let more = gzip(&vec![0; zeros]);
    for _ in 0..times {
        bytes.extend_from_slice(&more);
    }
    bytes
}

/// One zstd frame: `first` as it is, then `blocks` times 128 KiB of zeros in four bytes each.
pub fn zstd_bomb(first: &[u8], blocks: usize) -> Vec<u8> {
    const BLOCK_CONTENT: u32 = 128 << 10;
    let block = |length: u32, kind: u32| (length << 3 | kind << 1).to_le_bytes()[..3].to_vec();
    // Magic number; a descriptor without content size and checksum; a window of 8 MiB.
    let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 13 << 3];
    for part in first.chunks(BLOCK_CONTENT as usize) {
        bytes.extend(block(part.len() as u32, 0));
        bytes.extend_from_slice(part);
    }
    for _ in 0..blocks {
        bytes.extend(block(BLOCK_CONTENT, 1));
        bytes.push(0);
    }
    // The last block, empty.
    bytes.extend([1, 0, 0]);
    bytes
}

/// A zstd frame that wants a window of `2^log` bytes.
pub fn zstd_window(log: u8) -> Vec<u8> {
    vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, (log - 10) << 3, 1, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn through(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        let _ = writer.join();
        output.stdout
    }

    #[test]
    fn what_is_made_is_what_others_read() {
        let tar = Tar::default().file("a", "text").gnu_long(b'L', &"n".repeat(200)).directory("short").end();
        let listed = String::from_utf8(through("tar", &["-t"], &tar)).unwrap();
        assert_eq!(listed, format!("a\n{}\n", "n".repeat(200)));
        assert_eq!(through("gzip", &["-d"], &gzip_bomb(b"x", 1000, 3)).len(), 3001);
    }
}
