//! The end of what a process wrote, for the error message when it fails. Bounded, so an endless log costs nothing.

use std::collections::VecDeque;

/// Most bytes that are kept.
const TAIL_BYTES_MAX: usize = 64 << 10;
/// Most lines that are shown.
const TAIL_LINES_MAX: usize = 20;

/// Keeps the last bytes that it was given.
#[derive(Debug, Default)]
pub(super) struct Tail {
    bytes: VecDeque<u8>,
}

impl Tail {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(TAIL_BYTES_MAX)..];
        let over = (self.bytes.len() + bytes.len()).saturating_sub(TAIL_BYTES_MAX);
        self.bytes.drain(..over);
        self.bytes.extend(bytes);
    }

    /// The last lines.
    pub(super) fn lines(&self) -> Vec<u8> {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        let end = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let start = end.iter().enumerate().rev().filter(|(_, b)| **b == b'\n').nth(TAIL_LINES_MAX - 1);
        end[start.map_or(0, |(i, _)| i + 1)..].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_lines_in_bounded_memory() {
        let mut tail = Tail::default();
        for i in 0..100_000 {
            tail.push(format!("line {i}\n").as_bytes());
        }
        let text = String::from_utf8(tail.lines()).unwrap();
        assert_eq!(text.lines().count(), TAIL_LINES_MAX);
        assert!(text.starts_with("line 99980\n") && text.ends_with("line 99999"), "{text}");
        tail.push(&[b'x'; 3 * TAIL_BYTES_MAX]);
        assert_eq!(tail.lines().len(), TAIL_BYTES_MAX);
    }
}
