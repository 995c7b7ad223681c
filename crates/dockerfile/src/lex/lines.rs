//! Physical lines, and how continuations make logical ones of them (BuildKit: parser/parser.go `Parse`).

use std::borrow::Cow;

use super::Logical;
use crate::ast::Span;
use crate::diagnostic::Diagnostic;

/// A physical line may have this many bytes (BuildKit: bufio's scanner limit less one).
pub const MAX_LINE_BYTES: usize = 65_535;

/// One physical line, as offsets into the source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    /// First byte.
    pub(crate) start: usize,
    /// One past the last byte that is no line end.
    pub(crate) end: usize,
    /// One past the line end.
    pub(crate) next: usize,
}

/// Walks through the physical lines of a source.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    text: Cow<'a, str>,
    /// Offsets of bytes that are not UTF-8, ascending; `text` has a `?` there.
    invalid: Vec<usize>,
    at: usize,
    overlong: Vec<Span>,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl<'a> Lines<'a> {
    /// Starts at the first line, behind a byte-order mark.
    pub(crate) fn new(source: &'a [u8]) -> Self {
        let (text, invalid) = decode(source);
        let at = if source.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        Self { text, invalid, at, overlong: Vec::new() }
    }

    /// The source as text, of the same length.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Offset of the next line.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    /// The next physical line.
    pub(crate) fn next(&mut self) -> Option<Line> {
        let start = self.at;
        if start >= self.text.len() {
            return None;
        }
        let bytes = self.text.as_bytes();
        let (end, next) = match memchr::memchr(b'\n', &bytes[start..]) {
            Some(length) => (start + length, start + length + 1),
            None => (bytes.len(), bytes.len()),
        };
        self.at = next;
        if end - start > MAX_LINE_BYTES {
            self.overlong.push(Span { start, end });
        }
        let content = self.text[start..end].trim_end_matches('\r');
        Some(Line { start, end: start + content.len(), next })
    }

    /// Text of a line without its line end.
    pub(crate) fn content(&self, line: Line) -> &str {
        &self.text[line.start..line.end]
    }

    /// First byte of a range that is not UTF-8.
    pub(crate) fn invalid_in(&self, start: usize, end: usize) -> Option<usize> {
        let index = self.invalid.partition_point(|at| *at < start);
        self.invalid.get(index).copied().filter(|at| *at < end)
    }

    /// Errors about lines that are too long.
    pub(crate) fn overlong(&self) -> impl Iterator<Item = Diagnostic> + '_ {
        self.overlong.iter().map(|span| {
            let message = format!("dockerfile line greater than max allowed size of {MAX_LINE_BYTES}");
            Diagnostic::error("line-too-long", message, *span)
        })
    }

    /// Reads the logical line that starts with `first`.
    pub(crate) fn join(&mut self, first: Line, escape: char) -> Logical {
        let mut logical = Logical::default();
        let content = self.content(first);
        let indent = content.len() - content.trim_start().len();
        let mut open = self.append(&mut logical, Line { start: first.start + indent, ..first }, escape);
        while open {
            let Some(line) = self.next() else { break };
            let content = self.content(line);
            let trimmed = content.trim_start();
            if trimmed.starts_with('#') {
                continue;
            }
            if trimmed.is_empty() {
                logical.empty_line.get_or_insert(Span { start: line.start, end: line.end });
                continue;
            }
            open = self.append(&mut logical, line, escape);
        }
        logical
    }

    /// Adds a physical line; tells whether it continues on the next.
    fn append(&self, logical: &mut Logical, line: Line, escape: char) -> bool {
        let content = self.content(line);
        let kept = before_continuation(content, escape);
        logical.push(kept.unwrap_or(content), line.start);
        logical.invalid_byte = logical.invalid_byte.or_else(|| self.invalid_in(line.start, line.end));
        kept.is_some()
    }
}

/// What stands before the continuation mark, if the line ends in one.
///
/// The mark is the escape character with blanks behind it, unless another escape character stands before it. Only
/// one character is looked at, so that three escape characters in a row are no continuation either.
fn before_continuation(content: &str, escape: char) -> Option<&str> {
    let kept = content.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!kept.ends_with(escape)).then_some(kept)
}

/// The source as text of the same length, and the offsets of bytes that had to be replaced.
fn decode(source: &[u8]) -> (Cow<'_, str>, Vec<usize>) {
    if let Ok(text) = std::str::from_utf8(source) {
        return (Cow::Borrowed(text), Vec::new());
    }
    let mut text = String::with_capacity(source.len());
    let mut invalid = Vec::new();
    for chunk in source.utf8_chunks() {
        text.push_str(chunk.valid());
        for _ in chunk.invalid() {
            invalid.push(text.len());
            text.push('?');
        }
    }
    (Cow::Owned(text), invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(source: &str, escape: char) -> Vec<String> {
        let mut lines = Lines::new(source.as_bytes());
        let mut found = Vec::new();
        while let Some(line) = lines.next() {
            found.push(lines.join(line, escape).text);
        }
        found
    }

    #[test]
    fn continuations() {
        let cases: &[(&str, char, &[&str])] = &[
            ("RUN a \\\n  b", '\\', &["RUN a   b"]),
            ("RUN a \\  \t\nb", '\\', &["RUN a b"]),
            ("RUN a \\\\\nb", '\\', &["RUN a \\\\", "b"]),
            ("RUN a \\\\\\\nb", '\\', &["RUN a \\\\\\", "b"]),
            ("RUN a\\\n\\\nb", '\\', &["RUN ab"]),
            ("RUN a \\\n# no\n   # no\\\nb", '\\', &["RUN a b"]),
            ("RUN a \\\n\n \nb", '\\', &["RUN a b"]),
            ("   RUN a \\\n   b", '\\', &["RUN a    b"]),
            ("RUN a `\nb", '`', &["RUN a b"]),
            ("RUN a \\\nb", '`', &["RUN a \\", "b"]),
            ("RUN a \\\r\nb\r\n", '\\', &["RUN a b"]),
            ("RUN a \\", '\\', &["RUN a "]),
        ];
        for (source, escape, expected) in cases {
            assert_eq!(&joined(source, *escape), expected, "{source:?}");
        }
    }

    #[test]
    fn places_survive_joining() {
        let source = "RUN a \\\n# gone\n  bc";
        let mut lines = Lines::new(source.as_bytes());
        let first = lines.next().unwrap();
        let logical = lines.join(first, '\\');
        assert_eq!(logical.text, "RUN a   bc");
        let span = logical.span(8..10);
        assert_eq!(&source[span.start..span.end], "bc");
        let span = logical.span(4..10);
        assert_eq!(&source[span.start..span.end], "a \\\n# gone\n  bc");
    }

    #[test]
    fn bytes_that_are_not_utf8_keep_their_places() {
        let lines = Lines::new(b"RUN \xff\xfe x");
        assert_eq!(lines.text(), "RUN ?? x");
        assert_eq!(lines.invalid_in(0, 8), Some(4));
        assert_eq!(lines.invalid_in(5, 8), Some(5));
        assert_eq!(lines.invalid_in(6, 8), None);
    }
}
