//! A place in the Dockerfile as people see it: `file:line:column`, the line, a caret.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use jettison_dockerfile::Span;
use jettison_dockerfile::source::LineIndex;

/// A source with its lines found, so that many places in it can be drawn.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    name: &'a str,
    text: &'a str,
    lines: LineIndex,
}

/// What is said about a place.
#[derive(Debug)]
pub(crate) struct Remark<'a> {
    pub(crate) level: Level<'a>,
    /// The name of the rule, for findings of checks.
    pub(crate) rule: Option<&'a str>,
    pub(crate) message: &'a str,
    /// Lines below the snippet.
    pub(crate) notes: Vec<(Level<'a>, &'a str)>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text, lines: LineIndex::new(text) }
    }

    pub(crate) fn name(&self) -> &'a str {
        self.name
    }

    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// Line and column of an offset, from 1.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        self.lines.position(offset)
    }

    /// First and last line of a place.
    pub(crate) fn line_range(&self, span: Span) -> (usize, usize) {
        let last = span.end.saturating_sub(1).max(span.start);
        (self.position(span.start).0, self.position(last).0)
    }

    /// Draws a remark at `span`. A place over many lines (a heredoc) is shown by its first.
    pub(crate) fn draw(&self, renderer: &Renderer, span: Span, remark: Remark<'_>) -> String {
        let start = self.boundary(span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let rest = &self.text[line_start..];
        let shown = masked(rest[..rest.find('\n').unwrap_or(rest.len())].trim_end_matches('\r'));
        let within = |offset: usize| offset.saturating_sub(line_start).min(shown.len());
        let end = self.boundary(span.end.max(start));
        let (line, column) = self.position(start);
        let message = format!("{}:{line}:{column}: {}", self.name, remark.message);
        let mut title = remark.level.primary_title(&message);
        if let Some(rule) = remark.rule {
            title = title.id(rule);
        }
        let annotation = AnnotationKind::Primary.span(within(start)..within(end));
        let mut group = title.element(Snippet::source(&shown).line_start(line).annotation(annotation));
        for (level, note) in remark.notes {
            group = group.element(level.message(note));
        }
        let mut drawn = renderer.render(&[group]);
        drawn.push('\n');
        drawn
    }

    /// The nearest offset at or before `offset` that cuts no character.
    fn boundary(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

/// The same text, of the same length, with users and passwords of URLs blotted out.
fn masked(text: &str) -> String {
    let mut out = text.to_owned();
    let mut at = 0;
    while let Some(found) = out[at..].find("://") {
        at += found + 3;
        let end =
            out[at..].find(|c: char| c.is_whitespace() || "/?#\"'".contains(c)).map_or(out.len(), |i| at + i);
        let Some(user) = out[at..end].rfind('@') else { continue };
        // A user name alone is one of ssh, and no secret there.
        let is_ssh = out[..at].ends_with("ssh://");
        if !is_ssh || out[at..at + user].contains(':') {
            out.replace_range(at..at + user, &"*".repeat(user));
        }
    }
    out
}
