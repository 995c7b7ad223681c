//! Which flags an instruction knows, and what form their values have (BuildKit: instructions/bflag.go).

use std::collections::BTreeSet;

use super::Reader;
use crate::ast::{Spanned, Word};
use crate::diagnostic::Diagnostic;
use crate::lex::flags::Flag;
use crate::suggest;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing, `true` or `false`.
    Bool,
    /// One value.
    Text,
    /// One value each time; it may be given several times.
    Texts,
}

/// The flags of one instruction that passed inspection.
#[derive(Debug, Default)]
pub(super) struct Flags {
    given: Vec<(&'static str, Word)>,
    names: BTreeSet<&'static str>,
}

impl Flags {
    /// The value of a flag that may be given once.
    pub(super) fn text(&mut self, name: &str) -> Option<Word> {
        let at = self.given.iter().position(|(given, _)| *given == name)?;
        Some(self.given.remove(at).1)
    }

    /// The values of a flag that may be repeated.
    pub(super) fn texts(&mut self, name: &str) -> Vec<Word> {
        let (found, rest) =
            std::mem::take(&mut self.given).into_iter().partition(|(given, _)| *given == name);
        self.given = rest;
        found.into_iter().map(|(_, word)| word).collect()
    }

    /// The value of a boolean flag.
    pub(super) fn bool(&mut self, name: &str) -> Option<bool> {
        self.text(name).map(|word| word.value == "true")
    }
}

impl Reader<'_> {
    /// Checks the flags against those that the instruction knows; `None` if any is wrong.
    pub(super) fn flags(&mut self, known: &[(&'static str, Takes)]) -> Option<Flags> {
        let mut flags = Flags::default();
        let mut sound = true;
        for flag in &self.statement.flags {
            match check(flag, known, &flags) {
                Ok((name, value)) => {
                    flags.names.insert(name);
                    flags.given.push((name, value));
                }
                Err(diagnostic) => {
                    self.diagnostics.push(diagnostic);
                    sound = false;
                }
            }
        }
        sound.then_some(flags)
    }

    /// Reports every flag as unknown: the instruction has none.
    pub(super) fn no_flags(&mut self) -> Option<()> {
        self.flags(&[]).map(|_| ())
    }
}

fn check(
    flag: &Flag,
    known: &[(&'static str, Takes)],
    given: &Flags,
) -> Result<(&'static str, Word), Diagnostic> {
    let name = flag.name.value.as_str();
    let Some((name, takes)) = known.iter().copied().find(|(known, _)| *known == name) else {
        let error = Diagnostic::error("unknown-flag", format!("unknown flag: --{name}"), flag.name.span);
        return Err(match suggest::nearest(name, known.iter().map(|(name, _)| *name)) {
            Some(near) => error.with_hint(format!("did you mean --{near}?")),
            None => error,
        });
    };
    if takes != Takes::Texts && given.names.contains(name) {
        let message = format!("duplicate flag specified: --{name}");
        return Err(Diagnostic::error("duplicate-flag", message, flag.span()));
    }
    let missing =
        || Diagnostic::error("flag-value", format!("missing a value on flag: --{name}"), flag.span());
    let value = match (takes, &flag.value) {
        (Takes::Bool, None) => Spanned { value: "true".to_owned(), span: flag.span() },
        (Takes::Bool, Some(word)) => match word.value.to_lowercase().as_str() {
            "" => return Err(missing()),
            value @ ("true" | "false") => Spanned { value: value.to_owned(), span: word.span },
            _ => {
                let message = format!("expecting boolean value for flag --{name}, not: {}", word.value);
                return Err(Diagnostic::error("flag-value", message, word.span));
            }
        },
        (_, None) => return Err(missing()),
        (_, Some(word)) => word.clone(),
    };
    Ok((name, value))
}
