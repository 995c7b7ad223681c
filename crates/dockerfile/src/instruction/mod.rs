//! What each instruction's parts mean: one file per family, all rules of form, none that needs an environment
//! (BuildKit: instructions/parse.go).

mod arg;
mod command;
mod copy;
mod duration;
mod flags;
mod from;
mod healthcheck;
mod key_value;
mod onbuild;
mod run;
mod single;
mod words;

use crate::ast::{Kind, Span, Spanned, Word};
use crate::diagnostic::Diagnostic;
use crate::statement::Statement;
use crate::suggest;

/// The keywords.
pub(crate) const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What a statement says.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// It opens a stage.
    From {
        /// `--platform`.
        platform: Option<Word>,
        /// Image, stage or `scratch`.
        image: Word,
        /// `AS` as written.
        as_keyword: Option<Word>,
        /// Stage name in lower case.
        name: Option<Spanned<String>>,
        /// Stage name as written.
        written_name: Option<Word>,
    },
    /// It belongs into a stage (or is an ARG).
    Step(Kind),
}

/// What reading one instruction needs: its parts, and where findings go.
pub(crate) struct Reader<'a> {
    statement: &'a Statement,
    /// The keyword in upper case.
    keyword: &'static str,
    escape: char,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    /// Reports an error.
    fn error(&mut self, code: &'static str, message: impl Into<String>, span: Span) {
        self.diagnostics.push(Diagnostic::error(code, message, span));
    }

    /// Reports that the arguments do not have the right number.
    fn arguments_error(&mut self, message: &str) {
        self.error("arguments", format!("{} {message}", self.keyword), self.statement.span);
    }

    /// Reports that a JSON array holds something else than strings.
    fn not_strings(&mut self) {
        let message = "when using JSON array syntax, arrays must be comprised of strings only";
        self.error("json", message, self.statement.arguments().span());
    }
}

/// Finds out what a statement says; `None` if it is wrong, which is then reported.
pub(crate) fn read(
    statement: &Statement,
    escape: char,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Meaning> {
    let word = statement.keyword();
    let Some(keyword) = KEYWORDS.into_iter().find(|known| known.eq_ignore_ascii_case(word.text())) else {
        diagnostics.push(unknown(word.text(), word.span(), escape));
        return None;
    };
    if statement.broken {
        return None;
    }
    let mut reader = Reader { statement, keyword, escape, diagnostics };
    if keyword == "FROM" {
        return from::read(&mut reader);
    }
    read_step(&mut reader).map(Meaning::Step)
}

fn read_step(reader: &mut Reader<'_>) -> Option<Kind> {
    match reader.keyword {
        "ADD" => copy::read_add(reader).map(Kind::Add),
        "ARG" => arg::read(reader).map(Kind::Arg),
        "CMD" => command::read(reader).map(Kind::Cmd),
        "COPY" => copy::read_copy(reader).map(Kind::Copy),
        "ENTRYPOINT" => command::read(reader).map(Kind::Entrypoint),
        "ENV" => key_value::read(reader).map(Kind::Env),
        "EXPOSE" => words::read_expose(reader).map(Kind::Expose),
        "HEALTHCHECK" => healthcheck::read(reader).map(Kind::Healthcheck),
        "LABEL" => key_value::read(reader).map(Kind::Label),
        "MAINTAINER" => single::read(reader, single::Flags::Refused).map(Kind::Maintainer),
        "ONBUILD" => onbuild::read(reader).map(Kind::Onbuild),
        "RUN" => run::read(reader).map(Kind::Run),
        "SHELL" => command::read_shell(reader).map(Kind::Shell),
        "STOPSIGNAL" => single::read(reader, single::Flags::Ignored).map(Kind::Stopsignal),
        "USER" => single::read(reader, single::Flags::Refused).map(Kind::User),
        "VOLUME" => words::read_volume(reader).map(Kind::Volume),
        "WORKDIR" => single::read(reader, single::Flags::Refused).map(Kind::Workdir),
        _ => None,
    }
}

fn unknown(word: &str, span: Span, escape: char) -> Diagnostic {
    let error = Diagnostic::error("unknown-instruction", format!("unknown instruction: {word}"), span);
    match suggest::nearest(word, KEYWORDS.into_iter()) {
        Some(near) => error.with_hint(format!("did you mean {near}?")),
        None => error.with_hint(format!("if this belongs to the line above, that line must end in {escape}")),
    }
}
