//! HEALTHCHECK: `NONE`, or flags and a command.

use super::flags::{Flags, Takes};
use super::{Reader, command, duration};
use crate::ast::{Command, Healthcheck, Word};

/// Shorter intervals are refused: one millisecond, in nanoseconds.
const MIN_DURATION_NS: i64 = 1_000_000;

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Healthcheck> {
    let (kind, behind) = reader.statement.arguments().cut_blank();
    let command = match behind {
        None => Command::Shell(String::new()),
        Some(text) => command::form(reader, text)?,
    };
    let empty = match &command {
        Command::Shell(text) => text.is_empty(),
        Command::Exec(words) => words.is_empty(),
    };
    match kind.text().to_ascii_uppercase().as_str() {
        "" => {
            reader.arguments_error("requires at least one argument");
            None
        }
        // Flags are not looked at, as in BuildKit.
        "NONE" if empty => Some(Healthcheck::None),
        "NONE" => {
            reader.arguments_error("NONE takes no arguments");
            None
        }
        "CMD" if empty => {
            let span = reader.statement.span;
            reader.error("arguments", "Missing command after HEALTHCHECK CMD", span);
            None
        }
        "CMD" => read_check(reader, command),
        other => {
            let message = format!("Unknown type {other:?} in HEALTHCHECK (try CMD)");
            reader.error("arguments", message, kind.span());
            None
        }
    }
}

fn read_check(reader: &mut Reader<'_>, command: Command) -> Option<Healthcheck> {
    let mut flags = reader.flags(&[
        ("interval", Takes::Text),
        ("timeout", Takes::Text),
        ("start-period", Takes::Text),
        ("start-interval", Takes::Text),
        ("retries", Takes::Text),
    ])?;
    let every = interval(reader, &mut flags, "interval");
    let timeout = interval(reader, &mut flags, "timeout");
    let start_period = interval(reader, &mut flags, "start-period");
    let start_interval = interval(reader, &mut flags, "start-interval");
    let retries = retries(reader, flags.text("retries"));
    Some(Healthcheck::Check {
        command,
        interval: every?,
        timeout: timeout?,
        start_period: start_period?,
        start_interval: start_interval?,
        retries: retries?,
    })
}

/// A duration: zero if not given, otherwise at least a millisecond.
fn interval(reader: &mut Reader<'_>, flags: &mut Flags, name: &str) -> Option<i64> {
    let Some(word) = flags.text(name).filter(|word| !word.value.is_empty()) else { return Some(0) };
    match duration::parse(&word.value) {
        Ok(0) => Some(0),
        Ok(duration) if duration < MIN_DURATION_NS => {
            reader.error("flag-value", format!("Interval {name:?} cannot be less than 1ms"), word.span);
            None
        }
        Ok(duration) => Some(duration),
        Err(message) => {
            reader.error("flag-value", message, word.span);
            None
        }
    }
}

/// A non-negative 32-bit number; zero if not given.
fn retries(reader: &mut Reader<'_>, word: Option<Word>) -> Option<i64> {
    let Some(word) = word.filter(|word| !word.value.is_empty()) else { return Some(0) };
    match word.value.parse::<i32>() {
        Ok(retries) if retries < 0 => {
            reader.error("flag-value", format!("--retries cannot be negative ({retries})"), word.span);
            None
        }
        Ok(retries) => Some(i64::from(retries)),
        Err(error) => {
            let reason = match error.kind() {
                std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                    "value out of range"
                }
                _ => "invalid syntax",
            };
            reader.error("flag-value", format!("--retries {:?}: {reason}", word.value), word.span);
            None
        }
    }
}
