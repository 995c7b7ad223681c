//! One instruction's parts: keyword, flags, arguments, heredocs. What they mean is up to `instruction/`.

use std::ops::Range;

use crate::ast::{EmptyLine, Span};
use crate::diagnostic::Diagnostic;
use crate::lex::flags::{self, Flag};
use crate::lex::heredoc::{self, Document};
use crate::lex::json::{self, Json};
use crate::lex::lines::{Line, Lines};
use crate::lex::{Fragment, Logical};

/// An instruction before it is understood.
#[derive(Debug)]
pub(crate) struct Statement {
    line: Logical,
    keyword: Range<usize>,
    arguments: Range<usize>,
    /// The flags in front of the arguments.
    pub(crate) flags: Vec<Flag>,
    /// The heredocs, with bodies.
    pub(crate) documents: Vec<Document>,
    /// The whole instruction, heredocs included.
    pub(crate) span: Span,
    /// An empty line inside the continuation.
    pub(crate) empty_line: Option<EmptyLine>,
    /// A heredoc has no end, so that nothing more can be said about the instruction.
    pub(crate) broken: bool,
}

impl Statement {
    /// Reads the statement that starts on `first`; `None` if nothing but continuation marks is there.
    pub(crate) fn read(
        lines: &mut Lines<'_>,
        first: Line,
        escape: char,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let line = lines.join(first, escape);
        let whole = line.trimmed();
        if whole.text().is_empty() {
            return None;
        }
        let mut span = whole.span();
        let empty_line = line.empty_line.map(|span| EmptyLine { span, last: whole.last_line() });
        let (keyword, behind) = whole.cut_blank();
        let behind = behind.unwrap_or_else(|| whole.from(whole.text().len()));
        let (flags, arguments) = flags::take(behind);
        let openings = if takes_heredocs(keyword, arguments) { heredoc::openings(&line) } else { Vec::new() };
        let bodies = heredoc::read(lines, openings);
        if let Some(opening) = &bodies.unterminated {
            let place = line.span(opening.range.clone());
            let hint = format!("no line consists of {:?} alone", opening.name);
            diagnostics.push(
                Diagnostic::error("unterminated-heredoc", "unterminated heredoc", place).with_hint(hint),
            );
        }
        span.end = bodies.end.unwrap_or(span.end);
        if let Some(at) = line.invalid_byte.or(bodies.invalid_byte) {
            let place = Span { start: at, end: at + 1 };
            diagnostics.push(Diagnostic::error("invalid-utf8", "the Dockerfile is not valid UTF-8", place));
        }
        let (keyword, arguments) = (keyword.range(), arguments.range());
        let broken = bodies.unterminated.is_some();
        Some(Self { keyword, arguments, flags, documents: bodies.documents, span, empty_line, broken, line })
    }

    fn whole(&self) -> Fragment<'_> {
        self.line.trimmed()
    }

    fn fragment(&self, range: &Range<usize>) -> Fragment<'_> {
        let offset = self.whole().range().start;
        self.whole().part(range.start - offset..range.end - offset)
    }

    /// The place in the source of a range of the logical line.
    pub(crate) fn line_span(&self, range: Range<usize>) -> Span {
        self.line.span(range)
    }

    /// The first word.
    pub(crate) fn keyword(&self) -> Fragment<'_> {
        self.fragment(&self.keyword)
    }

    /// What stands behind keyword and flags.
    pub(crate) fn arguments(&self) -> Fragment<'_> {
        self.fragment(&self.arguments)
    }

    /// Everything behind the keyword, flags included.
    pub(crate) fn behind_keyword(&self) -> Fragment<'_> {
        self.fragment(&(self.keyword.end..self.whole().range().end)).trim()
    }

    /// The instruction as one line.
    pub(crate) fn text(&self) -> String {
        self.whole().text().to_owned()
    }
}

/// Whether an instruction may have heredocs: RUN, COPY and ADD, also behind ONBUILD, not in JSON form.
fn takes_heredocs(keyword: Fragment<'_>, arguments: Fragment<'_>) -> bool {
    let is = |fragment: Fragment<'_>, name: &str| fragment.text().eq_ignore_ascii_case(name);
    let (keyword, arguments) = if is(keyword, "ONBUILD") {
        let (inner, behind) = arguments.cut_blank();
        let Some(behind) = behind else { return false };
        (inner, flags::take(behind).1)
    } else {
        (keyword, arguments)
    };
    ["RUN", "COPY", "ADD"].iter().any(|name| is(keyword, name)) && json::read(arguments) == Json::No
}
