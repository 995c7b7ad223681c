//! What a Dockerfile says: stages of typed instructions, each with its place in the source.
//!
//! Words are kept as written: expansion needs the environment of the stage, which only the planner knows.
//! See [`crate::expand`] for that, and [`crate::parse`] for how these values come to be.

use std::fmt;
use std::ops::Range;

/// A half-open range of byte offsets in the source text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

/// A word as written: quotes, escapes and variables not yet processed, continuations joined.
pub type Word = Spanned<String>;

/// A whole Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dockerfile {
    /// The directives at the top.
    pub directives: Directives,
    /// ARG instructions before the first FROM, in order.
    pub global_args: Vec<GlobalArg>,
    /// The stages, in order.
    pub stages: Vec<Stage>,
}

/// `# syntax=`, `# escape=`, `# check=`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// Frontend reference of the syntax directive.
    pub syntax: Option<Word>,
    /// The escape character; `None` means backslash.
    pub escape: Option<Spanned<char>>,
    /// Lint configuration, verbatim.
    pub check: Option<Word>,
}

impl Directives {
    /// The escape character in force.
    pub fn escape_char(&self) -> char {
        self.escape.as_ref().map_or('\\', |e| e.value)
    }
}

/// An ARG instruction before the first FROM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalArg {
    /// Place of the whole instruction.
    pub span: Span,
    /// The names that it declares.
    pub items: Vec<ArgItem>,
    /// Text of the comment lines directly above.
    pub comments: Vec<String>,
    /// An empty line inside.
    pub empty_line: Option<EmptyLine>,
}

/// An empty line inside a continuation; of several the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmptyLine {
    /// The line.
    pub span: Span,
    /// What stands on the last line of the continuation.
    pub last: Span,
}

/// One name of an ARG instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgItem {
    /// The name (expandable).
    pub name: Word,
    /// The default (expandable); `None` without `=`.
    pub default: Option<Word>,
}

/// One stage: FROM and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The FROM instruction.
    pub from: From,
    /// The instructions behind it.
    pub instructions: Vec<Instruction>,
}

/// `FROM [--platform=P] IMAGE [AS NAME]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// Place of the whole instruction.
    pub span: Span,
    /// The instruction's text, continuations joined.
    pub text: String,
    /// The keyword as written.
    pub keyword: Word,
    /// `--platform`.
    pub platform: Option<Word>,
    /// Image, stage or `scratch`.
    pub image: Word,
    /// The word `AS` as written.
    pub as_keyword: Option<Word>,
    /// Stage name, lower-cased.
    pub name: Option<Spanned<String>>,
    /// Stage name as written.
    pub written_name: Option<Word>,
    /// Text of the comment lines directly above.
    pub comments: Vec<String>,
    /// An empty line inside.
    pub empty_line: Option<EmptyLine>,
}

/// One instruction of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What it does.
    pub kind: Kind,
    /// Place of the whole instruction, heredoc bodies included.
    pub span: Span,
    /// Place of the keyword.
    pub keyword: Span,
    /// The instruction as one line: continuations joined, comments dropped, heredoc bodies left out.
    pub text: String,
    /// Text of the comment lines directly above.
    pub comments: Vec<String>,
    /// An empty line inside.
    pub empty_line: Option<EmptyLine>,
}

impl Instruction {
    /// The keyword as written.
    pub fn written_keyword(&self) -> &str {
        self.text.split(crate::lex::words::is_blank).next().unwrap_or_default()
    }
}

/// The instructions that may stand in a stage (FROM opens one; global ARG stands before).
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the instruction of that name; see the type of its payload")]
pub enum Kind {
    Add(Add),
    Arg(Vec<ArgItem>),
    Cmd(Command),
    Copy(Copy),
    Entrypoint(Command),
    Env(Vec<KeyValue>),
    Expose(Vec<Word>),
    Healthcheck(Healthcheck),
    Label(Vec<KeyValue>),
    Maintainer(Word),
    Onbuild(Onbuild),
    Run(Run),
    Shell(Vec<String>),
    Stopsignal(Word),
    User(Word),
    Volume(Vec<Word>),
    Workdir(Word),
}

impl Kind {
    /// The keyword in upper case.
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Arg(_) => "ARG",
            Self::Cmd(_) => "CMD",
            Self::Copy(_) => "COPY",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Env(_) => "ENV",
            Self::Expose(_) => "EXPOSE",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::Onbuild(_) => "ONBUILD",
            Self::Run(_) => "RUN",
            Self::Shell(_) => "SHELL",
            Self::Stopsignal(_) => "STOPSIGNAL",
            Self::User(_) => "USER",
            Self::Volume(_) => "VOLUME",
            Self::Workdir(_) => "WORKDIR",
        }
    }
}

/// `KEY=value` of ENV and LABEL, or the legacy `KEY value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// Expandable key.
    pub key: Word,
    /// Expandable value.
    pub value: Word,
    /// True for the legacy form without `=`.
    pub legacy: bool,
}

/// A command in shell or exec form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Given to SHELL as one string.
    Shell(String),
    /// A JSON array, taken as it is.
    Exec(Vec<String>),
}

/// RUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What to execute.
    pub command: RunCommand,
    /// `--mount` values: CSV, to be expanded and then read with [`crate::mount::parse`].
    pub mounts: Vec<Word>,
    /// `--network`.
    pub network: Option<Word>,
    /// `--security`.
    pub security: Option<Word>,
    /// `--device` values.
    pub devices: Vec<Word>,
}

/// What RUN executes. Heredocs are already folded in by the rules of the language (dockerfile2llb `dispatchRun`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunCommand {
    /// Given to SHELL as one string (heredoc bodies included).
    Shell(String),
    /// Exec form.
    Exec(Vec<String>),
    /// The command is one heredoc whose body starts with `#!`: the body becomes `/dev/pipes/NAME`, mode 0755.
    Script {
        /// The heredoc's name.
        name: String,
        /// Its text.
        body: String,
    },
}

/// A heredoc of COPY or ADD: a file written in the Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The word behind `<<`, without quotes: the file's name.
    pub name: String,
    /// The text, tabs already stripped for `<<-`.
    pub body: String,
    /// Whether variables in the body are expanded (the word was not quoted).
    pub expand: bool,
    /// Place of the `<<WORD`.
    pub span: Span,
    /// Where each line of the body begins in the source, behind tabs that were stripped; bytes.
    pub line_starts: Vec<usize>,
}

impl Heredoc {
    /// The place in the source of a part of the body; that of the `<<WORD` for an empty part. It ends with its line.
    pub fn place(&self, part: Range<usize>) -> Span {
        let before = self.body.get(..part.start).filter(|_| !part.is_empty());
        let Some(before) = before else { return self.span };
        let line = before.matches('\n').count();
        let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
        let text = self.body.get(part).unwrap_or_default();
        let length = text.find('\n').unwrap_or(text.len());
        self.line_starts
            .get(line)
            .map_or(self.span, |start| Span { start: start + column, end: start + column + length })
    }
}

/// COPY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// `--from`: stage name, index, image or named context.
    pub from: Option<Word>,
    /// Flags shared with ADD.
    pub common: CopyCommon,
    /// `--parents`.
    pub parents: bool,
}

/// ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// Flags shared with COPY.
    pub common: CopyCommon,
    /// `--checksum`.
    pub checksum: Option<Word>,
    /// `--keep-git-dir`.
    pub keep_git_dir: Option<bool>,
    /// `--unpack`.
    pub unpack: Option<bool>,
}

/// What COPY and ADD share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyCommon {
    /// Paths, patterns or URLs, in order.
    pub sources: Vec<Word>,
    /// Files written in the Dockerfile; copied after the sources.
    pub heredocs: Vec<Heredoc>,
    /// Where to.
    pub destination: Word,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--exclude` patterns (not expanded).
    pub excludes: Vec<Word>,
}

impl Default for Spanned<String> {
    fn default() -> Self {
        Self { value: String::new(), span: Span::default() }
    }
}

/// HEALTHCHECK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Healthcheck {
    /// `HEALTHCHECK NONE`
    None,
    /// `HEALTHCHECK [flags] CMD …`; durations in nanoseconds, zero = not given.
    Check {
        /// What to run.
        command: Command,
        /// `--interval`, ns.
        interval: i64,
        /// `--timeout`, ns.
        timeout: i64,
        /// `--start-period`, ns.
        start_period: i64,
        /// `--start-interval`, ns.
        start_interval: i64,
        /// `--retries`.
        retries: i64,
    },
}

/// ONBUILD: the trigger as text, heredoc bodies appended, as it is stored in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onbuild {
    /// The text.
    pub trigger: Word,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}
