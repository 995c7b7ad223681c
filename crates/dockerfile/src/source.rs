//! Byte offsets to lines and columns, for people.

/// Finds line and column of an offset; built once per source.
#[derive(Clone, Debug)]
pub struct LineIndex {
    /// Offset of the first byte of each line.
    starts: Vec<usize>,
    /// Offsets of bytes that continue a UTF-8 character: they take no column.
    continuation_bytes: Vec<usize>,
    /// Length of the source in bytes.
    length: usize,
}

impl LineIndex {
    /// Reads a source (text or bytes, as given to [`crate::parse`]).
    pub fn new<S: AsRef<[u8]> + ?Sized>(source: &S) -> Self {
        let source = source.as_ref();
        let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', source).map(|at| at + 1)).collect();
        let continuation_bytes =
            source.iter().enumerate().filter(|(_, b)| **b & 0xc0 == 0x80).map(|(at, _)| at).collect();
        Self { starts, continuation_bytes, length: source.len() }
    }

    /// Line and column of an offset, both counted from 1, the column in characters.
    /// An offset past the end counts as the end.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.length);
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        let hidden = self.continuation_bytes.partition_point(|at| *at < offset)
            - self.continuation_bytes.partition_point(|at| *at < start);
        (line, offset - start - hidden + 1)
    }

    /// Number of lines; a final line end does not start another one, except in an empty source.
    pub fn lines(&self) -> usize {
        match self.starts.last() {
            Some(last) if *last == self.length && self.starts.len() > 1 => self.starts.len() - 1,
            _ => self.starts.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions() {
        let text = "FROM a\n# é한x\r\n\nRUN";
        let index = LineIndex::new(text);
        let at = |needle: &str| text.find(needle).unwrap();
        let cases = [
            (0, (1, 1)),
            (5, (1, 6)),
            (6, (1, 7)),
            (7, (2, 1)),
            (at("한"), (2, 4)),
            (at("x"), (2, 5)),
            (at("\nRUN"), (3, 1)),
            (at("RUN"), (4, 1)),
            (text.len(), (4, 4)),
            (usize::MAX, (4, 4)),
        ];
        for (offset, expected) in cases {
            assert_eq!(index.position(offset), expected, "{offset}");
        }
    }

    #[test]
    fn line_counts() {
        for (text, lines) in [("", 1), ("a", 1), ("a\n", 1), ("a\nb", 2), ("\n\n", 2)] {
            assert_eq!(LineIndex::new(text).lines(), lines, "{text:?}");
        }
        assert_eq!(LineIndex::new(&b"a\n\xff".to_vec()).position(3), (2, 2));
    }
}
