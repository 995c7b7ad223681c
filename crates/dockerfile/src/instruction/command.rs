//! CMD, ENTRYPOINT and SHELL, and the two forms of a command.

use super::Reader;
use crate::ast::{Command, Word};
use crate::lex::Fragment;
use crate::lex::json::{self, Json};

/// A JSON array as a list, or `None` if it is something else (which is reported if it is wrong).
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Command> {
    let flags = reader.no_flags();
    let command = form(reader, reader.statement.arguments())?;
    flags.map(|()| command)
}

/// Exec or shell form; `None` if it is a JSON array of other things, which is reported.
pub(super) fn form(reader: &mut Reader<'_>, text: Fragment<'_>) -> Option<Command> {
    match json::read(text) {
        Json::Strings(words) => Some(Command::Exec(values(words))),
        Json::No => Some(Command::Shell(text.text().to_owned())),
        Json::NotStrings => {
            reader.not_strings();
            None
        }
    }
}

/// SHELL has the JSON form only.
pub(super) fn read_shell(reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let flags = reader.no_flags();
    let arguments = reader.statement.arguments();
    let shell = match json::read(arguments) {
        Json::Strings(words) => values(words),
        Json::NotStrings => {
            reader.not_strings();
            return None;
        }
        Json::No if arguments.text().is_empty() => Vec::new(),
        Json::No => {
            reader.error("json", "SHELL requires the arguments to be in JSON form", arguments.span());
            return None;
        }
    };
    if shell.is_empty() {
        reader.arguments_error("requires at least one argument");
        return None;
    }
    flags.map(|()| shell)
}

fn values(words: Vec<Word>) -> Vec<String> {
    words.into_iter().map(|word| word.value).collect()
}
