//! From bytes to logical lines: directives, continuations, comments and heredocs.
//!
//! A logical line is what an instruction consists of once continuations are joined. It remembers where each of its
//! stretches came from, so that every later finding can point into the source as written.
//!
//! Read next: `lines.rs` for joining, `heredoc.rs` for bodies, `words.rs` for what an argument can look like.

pub(crate) mod directives;
pub(crate) mod flags;
pub(crate) mod heredoc;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod words;

use std::ops::Range;

use crate::ast::{Span, Word};

/// An instruction's text with continuations joined and comments dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logical {
    /// The joined text.
    pub(crate) text: String,
    /// Stretches in order: offset in `text`, offset in the source.
    segments: Vec<(usize, usize)>,
    /// First empty line inside the continuation.
    pub(crate) empty_line: Option<Span>,
    /// First byte that is not UTF-8.
    pub(crate) invalid_byte: Option<usize>,
}

impl Logical {
    /// Appends a stretch of the source.
    fn push(&mut self, text: &str, source_offset: usize) {
        self.segments.push((self.text.len(), source_offset));
        self.text.push_str(text);
    }

    /// Where the byte at `offset` of the text stands in the source.
    fn locate(&self, offset: usize) -> usize {
        let index = self.segments.partition_point(|(text, _)| *text <= offset);
        match index.checked_sub(1).and_then(|i| self.segments.get(i)) {
            Some((text, source)) => source + (offset - text),
            None => 0,
        }
    }

    /// The place in the source of a range of the text.
    pub(crate) fn span(&self, range: Range<usize>) -> Span {
        let start = self.locate(range.start);
        if range.is_empty() {
            return Span { start, end: start };
        }
        Span { start, end: self.locate(range.end - 1) + 1 }
    }

    /// The whole text, blanks at both ends left out.
    pub(crate) fn trimmed(&self) -> Fragment<'_> {
        Fragment { line: self, start: 0, end: self.text.len() }.trim()
    }
}

/// A part of a logical line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment<'a> {
    line: &'a Logical,
    start: usize,
    end: usize,
}

impl<'a> Fragment<'a> {
    /// Its text.
    pub(crate) fn text(&self) -> &'a str {
        &self.line.text[self.start..self.end]
    }

    /// Its range in the logical line.
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// Its place in the source.
    pub(crate) fn span(&self) -> Span {
        self.line.span(self.start..self.end)
    }

    /// A part of it; `range` counts from its own start.
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        Self { line: self.line, start: self.start + range.start, end: self.start + range.end }
    }

    /// From an offset to the end.
    pub(crate) fn from(&self, offset: usize) -> Self {
        self.part(offset..self.end - self.start)
    }

    /// Without blanks at both ends.
    pub(crate) fn trim(&self) -> Self {
        let text = self.text();
        let start = text.len() - text.trim_start().len();
        self.part(start..start + text.trim().len())
    }

    /// Its part on the last physical line that it takes.
    pub(crate) fn last_line(&self) -> Span {
        let end = self.span().end;
        let stretches = self.line.segments.iter().rev();
        let start = stretches.map(|(_, source)| *source).find(|source| *source < end).unwrap_or(end);
        Span { start: start.max(self.span().start), end }
    }

    /// As a word that stands as written.
    pub(crate) fn word(&self) -> Word {
        Word { value: self.text().to_owned(), span: self.span() }
    }

    /// Cuts it at the first run of blanks: what is before, and what is behind (`None` without a blank).
    pub(crate) fn cut_blank(&self) -> (Self, Option<Self>) {
        let text = self.text();
        match text.find(words::is_blank) {
            None => (*self, None),
            Some(at) => {
                let rest = text[at..].trim_start_matches(words::is_blank);
                (self.part(0..at), Some(self.from(text.len() - rest.len())))
            }
        }
    }
}
