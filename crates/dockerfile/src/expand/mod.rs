//! Variable expansion: `$NAME`, the `${…}` forms, quotes and escapes (BuildKit: shell/lex.go).
//!
//! Deliberate differences from BuildKit, all in corners: in `${v//p/r}` the replacement is plain text (there it is
//! a template of Go's regexp, so that a `$` in it vanishes), and nesting, result and pattern work are bounded.
//!
//! Read next: `lexer.rs` for quotes and escapes, `substitute.rs` for `${…}`, `pattern.rs` for `*` and `?`.

pub(crate) mod lexer;
mod pattern;
mod substitute;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::ops::Range;

use lexer::{Lexer, Mode};

/// `${…}` may be nested this deep. People write two or three; the lexer recurses.
pub const MAX_NESTING: usize = 100;

/// An expanded word may have this many bytes. Without a bound, a few lines of `ENV a=$a$a` exhaust memory.
pub const MAX_EXPANDED_BYTES: usize = 16 << 20;

/// Where variables come from.
pub trait Env {
    /// The value of `name`, `None` if it is not set.
    fn get(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Env for F {
    fn get(&self, name: &str) -> Option<String> {
        self(name)
    }
}

impl Env for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }
}

impl<S: BuildHasher> Env for HashMap<String, String, S> {
    fn get(&self, name: &str) -> Option<String> {
        HashMap::get(self, name).cloned()
    }
}

/// A word after expansion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The text: quotes and escapes removed, variables replaced.
    pub text: String,
    /// Variables that the word uses and that are not set, in order of appearance, each once.
    pub unmatched: Vec<String>,
}

/// Why a word cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpandError {
    /// What is wrong, in BuildKit's words.
    pub message: String,
    /// The `$…` that it is about, as bytes of the text; empty if it is about all of it.
    pub range: Range<usize>,
}

impl ExpandError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), range: 0..0 }
    }

    /// The error of the innermost `$…`.
    fn within(self, range: Range<usize>) -> Self {
        if self.range.is_empty() { Self { range, ..self } } else { self }
    }
}

/// Expands a word: quotes and escapes removed, variables replaced.
pub fn expand(word: &str, escape: char, env: &dyn Env) -> Result<Expanded, ExpandError> {
    let mut lexer = Lexer::new(word, escape, env, Mode::default());
    let output = lexer.run()?;
    Ok(Expanded { text: output.text, unmatched: lexer.into_unmatched() })
}

/// Expands a word and then splits it at blanks that were not quoted (EXPOSE).
pub fn expand_words(word: &str, escape: char, env: &dyn Env) -> Result<Vec<String>, ExpandError> {
    let output = Lexer::new(word, escape, env, Mode::default()).run()?;
    Ok(output.words.into_iter().map(|word| word.text).collect())
}

/// Expands the body of a COPY or ADD heredoc: quotes mean nothing, backslashes (never another escape) do.
pub fn expand_heredoc(body: &str, env: &dyn Env) -> Result<String, ExpandError> {
    let mode = Mode { literal_quotes: true, ..Mode::default() };
    Ok(Lexer::new(body, '\\', env, mode).run()?.text)
}
