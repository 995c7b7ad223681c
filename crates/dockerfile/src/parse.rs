//! From bytes to a [`Dockerfile`]: the never-fail parser.
//!
//! It goes through the file once: logical line, heredoc bodies, instruction. An instruction that is wrong is reported
//! and left out, and the next is read as if nothing had happened.
//!
//! Read next: `lex/lines.rs` for lines, `statement.rs` for one instruction's parts, `instruction/mod.rs` for each kind.

use crate::ast::{Dockerfile, From, GlobalArg, Instruction, Kind, Span, Stage, Word};
use crate::diagnostic::Diagnostic;
use crate::instruction::{self, Meaning};
use crate::lex::directives;
pub use crate::lex::lines::MAX_LINE_BYTES;
use crate::lex::lines::{Line, Lines};
use crate::statement::Statement;

/// A Dockerfile may have this many bytes; nothing that people write comes near.
pub const MAX_SOURCE_BYTES: usize = 16 << 20;

/// After this many findings the rest of the file is not read: nobody would read more of them.
pub const MAX_DIAGNOSTICS: usize = 1000;

/// A Dockerfile may have this many instructions. Each costs a kilobyte of memory and an entry in the image's history.
const MAX_INSTRUCTIONS: usize = 100_000;

/// What [`parse`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Everything that was understood.
    pub dockerfile: Dockerfile,
    /// Everything that was not, in order of place.
    pub diagnostics: Vec<Diagnostic>,
}

impl Parsed {
    /// Whether any diagnostic is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Parses a Dockerfile. Never fails and never panics, whatever the bytes.
///
/// Spans are offsets into `source` as given, a byte-order mark included.
pub fn parse(source: &[u8]) -> Parsed {
    let mut diagnostics = Vec::new();
    if source.is_empty() {
        diagnostics.push(Diagnostic::error("empty", "the Dockerfile cannot be empty", Span::default()));
        return Parsed { diagnostics, ..Parsed::default() };
    }
    if source.len() > MAX_SOURCE_BYTES {
        let message =
            format!("the Dockerfile has {} bytes; at most {MAX_SOURCE_BYTES} are read", source.len());
        diagnostics.push(Diagnostic::error("too-large", message, Span::default()));
        return Parsed { diagnostics, ..Parsed::default() };
    }
    let (directives, start) = directives::read(source, &mut diagnostics);
    let escape = directives.escape_char();
    let dockerfile = Dockerfile { directives, ..Dockerfile::default() };
    let mut parser = Parser { lines: Lines::new(source), escape, dockerfile, diagnostics, homeless: false };
    let count = parser.run(start);
    let Parser { lines, dockerfile, mut diagnostics, .. } = parser;
    if count == 0 {
        diagnostics.push(Diagnostic::error("empty", "file with no instructions", Span::default()));
    }
    diagnostics.extend(lines.overlong());
    diagnostics.sort_by_key(|diagnostic| diagnostic.span);
    Parsed { dockerfile, diagnostics }
}

/// Parses one stored ONBUILD trigger, heredoc bodies included, into its instruction and that instruction's text.
/// Spans are offsets into `trigger`.
pub fn parse_onbuild(trigger: &str) -> Result<(Kind, String), Diagnostic> {
    let whole = Span { start: 0, end: trigger.len() };
    let fail = |message: String| Err(Diagnostic::error("onbuild", message, whole));
    if trigger.len() > MAX_SOURCE_BYTES {
        return fail(format!(
            "the ONBUILD trigger has {} bytes; at most {MAX_SOURCE_BYTES} are read",
            trigger.len()
        ));
    }
    let mut lines = Lines::new(trigger.as_bytes());
    let mut diagnostics = Vec::new();
    let mut found = None;
    while let Some(line) = lines.next() {
        let Some(statement) = next_statement(&mut lines, line, '\\', &mut diagnostics) else { continue };
        if found.is_some() {
            return fail("onbuild trigger should be a single expression".to_owned());
        }
        let keyword = statement.keyword().text().to_ascii_uppercase();
        if matches!(keyword.as_str(), "FROM" | "ONBUILD" | "MAINTAINER") {
            return fail(format!("{keyword} isn't allowed as an ONBUILD trigger"));
        }
        if let Some(Meaning::Step(kind)) = instruction::read(&statement, '\\', &mut diagnostics) {
            found = Some((kind, statement.text()));
        }
    }
    if let Some(error) = diagnostics.into_iter().find(Diagnostic::is_error) {
        return Err(error);
    }
    found.ok_or_else(|| Diagnostic::error("onbuild", "onbuild trigger should be a single expression", whole))
}

/// The statement that starts on `line`, unless that is a comment or blank.
fn next_statement(
    lines: &mut Lines<'_>,
    line: Line,
    escape: char,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Statement> {
    let content = lines.content(line).trim_start();
    if content.is_empty() || content.starts_with('#') {
        return None;
    }
    Statement::read(lines, line, escape, diagnostics)
}

struct Parser<'a> {
    lines: Lines<'a>,
    escape: char,
    dockerfile: Dockerfile,
    diagnostics: Vec<Diagnostic>,
    /// An instruction before the first FROM was reported already.
    homeless: bool,
}

impl Parser<'_> {
    /// Reads all instructions; returns how many there were. Directives end at `start`.
    fn run(&mut self, start: usize) -> usize {
        let mut count = 0;
        let mut comments = Vec::new();
        while let Some(line) = self.lines.next() {
            if let Some(comment) = self.lines.content(line).trim_start().strip_prefix('#') {
                if line.start >= start {
                    collect(&mut comments, comment);
                }
                continue;
            }
            if self.lines.content(line).trim_start().is_empty() {
                // What stands above an empty line is about something else.
                comments.clear();
                continue;
            }
            let statement = next_statement(&mut self.lines, line, self.escape, &mut self.diagnostics);
            if let Some(statement) = statement {
                count += 1;
                self.place(&statement, std::mem::take(&mut comments));
            }
            let what = if count > MAX_INSTRUCTIONS {
                format!("{MAX_INSTRUCTIONS} instructions")
            } else {
                format!("{MAX_DIAGNOSTICS} findings")
            };
            if count > MAX_INSTRUCTIONS || self.diagnostics.len() >= MAX_DIAGNOSTICS {
                let message = format!("more than {what}; the rest of the file was not read");
                let end = Span { start: line.end, end: line.end };
                self.diagnostics.push(Diagnostic::error("too-many", message, end));
                break;
            }
        }
        count
    }

    /// Puts a statement where it belongs.
    fn place(&mut self, statement: &Statement, comments: Vec<String>) {
        let meaning = instruction::read(statement, self.escape, &mut self.diagnostics);
        let (span, empty_line) = (statement.span, statement.empty_line);
        let is_from = statement.keyword().text().eq_ignore_ascii_case("FROM");
        match meaning {
            Some(Meaning::Step(Kind::Arg(items))) if self.dockerfile.stages.is_empty() => {
                self.dockerfile.global_args.push(GlobalArg { span, items, comments, empty_line });
            }
            Some(Meaning::Step(kind)) => match self.dockerfile.stages.last_mut() {
                Some(stage) => {
                    let (keyword, text) = (statement.keyword().span(), statement.text());
                    let instruction = Instruction { kind, span, keyword, text, comments, empty_line };
                    stage.instructions.push(instruction);
                }
                None if !self.homeless => {
                    self.homeless = true;
                    self.diagnostics.push(
                        Diagnostic::error("no-stage", "no build stage in current context", span)
                            .with_hint("only ARG may stand before the first FROM"),
                    );
                }
                None => {}
            },
            // A broken FROM still opens a stage: what follows is no mistake.
            None if !is_from => {}
            from => {
                let (platform, image, as_keyword, name, written_name) = match from {
                    Some(Meaning::From { platform, image, as_keyword, name, written_name }) => {
                        (platform, image, as_keyword, name, written_name)
                    }
                    _ => (None, Word { value: String::new(), span }, None, None, None),
                };
                let (keyword, text) = (statement.keyword().word(), statement.text());
                let from = From {
                    span,
                    text,
                    keyword,
                    platform,
                    image,
                    as_keyword,
                    name,
                    written_name,
                    comments,
                    empty_line,
                };
                self.dockerfile.stages.push(Stage { from, instructions: Vec::new() });
            }
        }
    }
}

/// Adds a comment line to those above an instruction; an empty one starts anew.
fn collect(comments: &mut Vec<String>, comment: &str) {
    let comment = comment.trim();
    if comment.is_empty() {
        comments.clear();
    } else {
        comments.push(comment.to_owned());
    }
}
