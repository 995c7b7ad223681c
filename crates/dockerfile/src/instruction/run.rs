//! RUN: flags, and the folding of heredocs into the command (BuildKit: dockerfile2llb/convert.go `dispatchRun`).

use super::flags::Takes;
use super::{Reader, command};
use crate::ast::{Command, Run, RunCommand, Word};
use crate::diagnostic::Diagnostic;
use crate::lex::heredoc;
use crate::{mount, suggest};

const NETWORKS: [&str; 3] = ["default", "none", "host"];
const SECURITIES: [&str; 2] = ["sandbox", "insecure"];

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Run> {
    let mut flags = reader.flags(&[
        ("mount", Takes::Texts),
        ("network", Takes::Text),
        ("security", Takes::Text),
        ("device", Takes::Texts),
    ])?;
    let run = Run {
        command: command(reader)?,
        mounts: flags.texts("mount"),
        network: flags.text("network"),
        security: flags.text("security"),
        devices: flags.texts("device"),
    };
    let mut sound = true;
    for value in &run.mounts {
        if let Err(message) = mount::check_unexpanded(&value.value) {
            reader.error("mount", message, value.span);
            sound = false;
        }
    }
    let network = |value: &str| format!("invalid network mode: {value:?}");
    sound &= one_of(reader, run.network.as_ref(), &NETWORKS, network);
    let security = |value: &str| format!("security {value:?} is not valid");
    sound &= one_of(reader, run.security.as_ref(), &SECURITIES, security);
    sound.then_some(run)
}

/// Whether a flag's value, if given, is one of the words allowed; reports it otherwise.
fn one_of(
    reader: &mut Reader<'_>,
    value: Option<&Word>,
    allowed: &[&str],
    message: impl Fn(&str) -> String,
) -> bool {
    let Some(word) = value.filter(|word| !allowed.contains(&word.value.as_str())) else { return true };
    let hint = match suggest::nearest(&word.value, allowed.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("it is one of {}", allowed.join(", ")),
    };
    reader.diagnostics.push(Diagnostic::error("flag-value", message(&word.value), word.span).with_hint(hint));
    false
}

fn command(reader: &mut Reader<'_>) -> Option<RunCommand> {
    let arguments = reader.statement.arguments();
    let documents = &reader.statement.documents;
    let Some(first) = documents.first() else {
        return command::form(reader, arguments).map(|form| match form {
            Command::Shell(text) => RunCommand::Shell(text),
            Command::Exec(words) => RunCommand::Exec(words),
        });
    };
    if heredoc::is_only_opening(arguments) {
        let body = first.body();
        return Some(if body.starts_with("#!") {
            RunCommand::Script { name: first.opening.name.clone(), body }
        } else {
            RunCommand::Shell(body)
        });
    }
    let mut text = arguments.text().to_owned();
    for document in documents {
        text.push('\n');
        text.push_str(&document.reconstituted());
    }
    Some(RunCommand::Shell(text))
}
