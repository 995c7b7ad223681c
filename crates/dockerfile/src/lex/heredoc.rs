//! Heredocs: finding `<<WORD` in a line, and reading the bodies behind it (BuildKit: parser/parser.go).

use std::ops::Range;

use super::lines::Lines;
use super::{Fragment, Logical};
use crate::ast::Span;
use crate::expand::lexer::{Lexer, Mode, Piece};

/// A `<<WORD` in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    /// The word without quotes: terminator and file name.
    pub(crate) name: String,
    /// Whether variables in the body are expanded: no part of the word was quoted.
    pub(crate) expand: bool,
    /// `<<-`: leading tabs go.
    pub(crate) strip_tabs: bool,
    /// Where in the logical line.
    pub(crate) range: Range<usize>,
}

/// A heredoc with its body as it stands in the source, tabs included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Document {
    /// Its `<<WORD`.
    pub(crate) opening: Opening,
    /// The lines between, with their line ends.
    pub(crate) raw: String,
    /// Where they begin in the source.
    pub(crate) start: usize,
}

impl Document {
    /// The body, leading tabs stripped for `<<-`.
    pub(crate) fn body(&self) -> String {
        if !self.opening.strip_tabs {
            return self.raw.clone();
        }
        self.raw.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }

    /// Where each line of the body begins in the source.
    pub(crate) fn line_starts(&self) -> Vec<usize> {
        let mut at = self.start;
        let starts = self.raw.split_inclusive('\n').map(|line| {
            let tabs =
                if self.opening.strip_tabs { line.len() - line.trim_start_matches('\t').len() } else { 0 };
            let start = at + tabs;
            at += line.len();
            start
        });
        starts.collect()
    }

    /// What a shell needs to read it itself: the raw body and the terminator.
    pub(crate) fn reconstituted(&self) -> String {
        format!("{}{}", self.raw, self.opening.name)
    }
}

/// What reading the bodies gave.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    /// Those that were terminated.
    pub(crate) documents: Vec<Document>,
    /// The first that was not; it swallowed the rest of the file.
    pub(crate) unterminated: Option<Opening>,
    /// End of the last terminator line.
    pub(crate) end: Option<usize>,
    /// First byte of a body that is not UTF-8.
    pub(crate) invalid_byte: Option<usize>,
}

/// Finds the heredocs of a line. A line whose quotes do not match has none.
pub(crate) fn openings(line: &Logical) -> Vec<Opening> {
    if !line.text.contains("<<") {
        return Vec::new();
    }
    let Ok(words) =
        split(&line.text, Mode { raw_quotes: true, raw_escapes: true, keep_unset: true, ..Mode::default() })
    else {
        return Vec::new();
    };
    words.into_iter().filter_map(|word| opening(&word.text, word.range)).collect()
}

/// Whether the whole text is one heredoc word and nothing else.
pub(crate) fn is_only_opening(text: Fragment<'_>) -> bool {
    opening(text.text(), text.range()).is_some()
}

/// Reads a word as `<<WORD`: descriptor, `<<`, `-`, blanks, and one word without `<`.
fn opening(word: &str, range: Range<usize>) -> Option<Opening> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (strip_tabs, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.trim_start_matches([' ', '\t', '\n', '\x0c', '\r']);
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let name = single(split(rest, Mode { keep_unset: true, ..Mode::default() }).ok()?)?;
    let quoted = single(split(rest, Mode { raw_quotes: true, keep_unset: true, ..Mode::default() }).ok()?)?;
    Some(Opening { expand: quotes(&name) == quotes(&quoted), name, strip_tabs, range })
}

fn single(mut words: Vec<Piece>) -> Option<String> {
    (words.len() == 1).then(|| words.pop()).flatten().map(|word| word.text)
}

fn quotes(word: &str) -> usize {
    word.matches(['\'', '"']).count()
}

/// Splits into words with no variable set. The escape character is always the backslash here.
fn split(text: &str, mode: Mode) -> Result<Vec<Piece>, crate::expand::ExpandError> {
    let nothing = |_: &str| None;
    let mut lexer = Lexer::new(text, '\\', &nothing, mode);
    lexer.run().map(|output| output.words)
}

/// Reads the bodies that belong to `openings`, in their order.
pub(crate) fn read(lines: &mut Lines<'_>, openings: Vec<Opening>) -> Bodies {
    let mut bodies = Bodies::default();
    for opening in openings {
        let start = lines.offset();
        let mut body = Span { start, end: start };
        let mut terminated = false;
        while let Some(line) = lines.next() {
            let content = lines.content(line);
            let content = if opening.strip_tabs { content.trim_start_matches('\t') } else { content };
            if content == opening.name {
                terminated = true;
                bodies.end = Some(line.end);
                break;
            }
            body.end = line.next;
        }
        bodies.invalid_byte = bodies.invalid_byte.or_else(|| lines.invalid_in(body.start, body.end));
        if !terminated {
            bodies.unterminated = Some(opening);
            break;
        }
        let raw = lines.text()[body.start..body.end].to_owned();
        bodies.documents.push(Document { opening, raw, start: body.start });
    }
    bodies
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, bool, bool)> {
        let mut line = Logical::default();
        line.push(text, 0);
        openings(&line).into_iter().map(|o| (o.name, o.expand, o.strip_tabs)).collect()
    }

    #[test]
    fn words_that_open_a_heredoc() {
        type Found = (&'static str, bool, bool);
        let cases: &[(&str, &[Found])] = &[
            ("RUN <<EOF", &[("EOF", true, false)]),
            ("RUN <<-EOF", &[("EOF", true, true)]),
            ("RUN <<'EOF'", &[("EOF", false, false)]),
            ("RUN <<\"EOF\"", &[("EOF", false, false)]),
            ("RUN <<E\"O\"F", &[("EOF", false, false)]),
            ("RUN <<-'EOF'", &[("EOF", false, true)]),
            ("RUN 4<<EOF", &[("EOF", true, false)]),
            ("RUN <<- EOF", &[("EOF", true, true)]),
            ("RUN << EOF", &[("EOF", true, false)]),
            ("RUN <<  EOF  > foo", &[("EOF", true, false)]),
            ("RUN << -EOF", &[("-EOF", true, false)]),
            ("RUN <<EOF <<EOF2", &[("EOF", true, false), ("EOF2", true, false)]),
            ("RUN cat <<A | cat <<B", &[("A", true, false), ("B", true, false)]),
            ("RUN <<eo\\'f", &[("eo'f", true, false)]),
            ("RUN <<'e'o\\'f", &[("eo'f", false, false)]),
            ("RUN <<'one two'", &[("one two", false, false)]),
            ("RUN <<$EOF", &[("$EOF", true, false)]),
            ("RUN cat <<B; echo", &[("B;", true, false)]),
            ("RUN cat <<B|wc", &[("B|wc", true, false)]),
            ("RUN cat <<B>/out", &[("B>/out", true, false)]),
            ("RUN echo $((1 << 2))", &[("2))", true, false)]),
            ("RUN echo $((1<<2))", &[]),
            ("RUN cat <<<EOF", &[]),
            ("RUN cat <<< EOF", &[]),
            ("RUN '<<EOF'", &[]),
            ("RUN \"<<EOF\"", &[]),
            ("RUN cat <<", &[]),
            ("RUN echo don't <<EOF", &[]),
            ("RUN <<'EOF", &[]),
            ("RUN a<EOF", &[]),
        ];
        for (text, expected) in cases {
            let found = found(text);
            let found: Vec<(&str, bool, bool)> = found.iter().map(|(n, e, s)| (n.as_str(), *e, *s)).collect();
            assert_eq!(&found, expected, "{text}");
        }
    }

    #[test]
    fn places() {
        let mut line = Logical::default();
        line.push("COPY <<A << 'b c' /x", 0);
        let ranges: Vec<&str> = openings(&line).into_iter().map(|o| &line.text[o.range]).collect();
        assert_eq!(ranges, ["<<A", "<< 'b c'"]);
    }
}
