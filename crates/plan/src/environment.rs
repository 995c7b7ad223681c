//! Variables in order, and the expansion of words with them.

use std::cell::Cell;
use std::collections::HashMap;

use jettison_dockerfile::expand::{self, Env};
use jettison_dockerfile::mount::{self, RawMount};
use jettison_dockerfile::{Diagnostic, Heredoc, Span, Word};

/// Bytes that variables may add to one word. A value doubled a few dozen times would fill any memory; no program can
/// be started with an argument or variable beyond 128 KiB anyway (Linux MAX_ARG_STRLEN).
const EXPANSION_BYTES_MAX: usize = 1 << 20;

/// Names and values; a name that is set again keeps its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    entries: Vec<(String, String)>,
    positions: HashMap<String, usize>,
}

impl Environment {
    /// From `NAME=value` texts; one without `=` is a name with an empty value.
    pub(crate) fn from_entries(entries: &[String]) -> Self {
        let mut environment = Self::default();
        for entry in entries {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            environment.set(name, value);
        }
        environment
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        if let Some(position) = self.positions.get(name) {
            value.clone_into(&mut self.entries[*position].1);
        } else {
            self.positions.insert(name.to_owned(), self.entries.len());
            self.entries.push((name.to_owned(), value.to_owned()));
        }
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.positions.get(name).map(|position| self.entries[*position].1.as_str())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    /// As `NAME=value` texts.
    pub(crate) fn to_entries(&self) -> Vec<String> {
        self.entries.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }
}

impl Env for Environment {
    fn get(&self, name: &str) -> Option<String> {
        self.value(name).map(str::to_owned)
    }
}

/// An environment that stops answering when it has given away too much.
struct Budget<'e> {
    environment: &'e dyn Env,
    bytes_left: Cell<usize>,
    exceeded: Cell<bool>,
}

impl Env for Budget<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let value = self.environment.get(name)?;
        let Some(left) = self.bytes_left.get().checked_sub(value.len()) else {
            self.exceeded.set(true);
            return Some(String::new());
        };
        self.bytes_left.set(left);
        Some(value)
    }
}

/// How words of one instruction are expanded: with which variables, which escape character, and where errors point.
#[derive(Clone, Copy)]
pub(crate) struct Expander<'e> {
    pub(crate) environment: &'e dyn Env,
    pub(crate) escape: char,
    /// Place of every word, for instructions that do not stand in this file (ONBUILD triggers).
    pub(crate) place: Option<Span>,
}

impl Expander<'_> {
    pub(crate) fn span(&self, span: Span) -> Span {
        self.place.unwrap_or(span)
    }

    /// The text of a word: variables, quotes and escapes processed.
    pub(crate) fn word(&self, word: &Word) -> Result<String, Diagnostic> {
        self.text(&word.value, word.span)
    }

    pub(crate) fn text(&self, text: &str, span: Span) -> Result<String, Diagnostic> {
        let expand = |env: &dyn Env| expand::expand(text, self.escape, env);
        self.within_budget("expansion", span, |env| Ok(expand(env).map_err(|e| e.message)?.text))
    }

    /// The words that one word becomes when its variables contain blanks (EXPOSE).
    pub(crate) fn words(&self, word: &Word) -> Result<Vec<String>, Diagnostic> {
        self.within_budget("expansion", word.span, |env| {
            expand::expand_words(&word.value, self.escape, env).map_err(|e| e.message)
        })
    }

    /// The body of a COPY or ADD heredoc.
    pub(crate) fn heredoc(&self, heredoc: &Heredoc) -> Result<String, Diagnostic> {
        let mut part = 0..0;
        let result = self.within_budget("expansion", heredoc.span, |env| {
            expand::expand_heredoc(&heredoc.body, env).map_err(|error| {
                part = error.range;
                error.message
            })
        });
        result.map_err(|error| Diagnostic { span: self.span(heredoc.place(part)), ..error })
    }

    /// The value of `--mount`, each of its values expanded for itself.
    pub(crate) fn mount(&self, word: &Word) -> Result<RawMount, Diagnostic> {
        self.within_budget("mount", word.span, |env| mount::parse_expanding(&word.value, self.escape, env))
    }

    fn within_budget<T>(
        &self,
        code: &'static str,
        span: Span,
        expand: impl FnOnce(&dyn Env) -> Result<T, String>,
    ) -> Result<T, Diagnostic> {
        let budget = Budget {
            environment: self.environment,
            bytes_left: Cell::new(EXPANSION_BYTES_MAX),
            exceeded: Cell::new(false),
        };
        let result = expand(&budget);
        let result = if budget.exceeded.get() {
            Err(format!("the variables of this word hold more than {EXPANSION_BYTES_MAX} bytes"))
        } else {
            result
        };
        result.map_err(|message| Diagnostic::error(code, message, self.span(span)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_again_keeps_the_place() {
        let mut environment = Environment::from_entries(&["A=1".into(), "B".into(), "A=2".into()]);
        environment.set("B", "3");
        environment.set("C", "");
        assert_eq!(environment.to_entries(), ["A=2", "B=3", "C="]);
        assert_eq!(environment.value("D"), None);
    }
}
