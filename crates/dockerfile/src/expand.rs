//! Variable expansion: `$NAME`, the `${…}` forms, quotes and escapes.

use std::collections::{BTreeMap, HashMap};

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

impl Env for HashMap<String, String> {
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
}

/// Expands a word: quotes and escapes removed, variables replaced.
pub fn expand(word: &str, _escape: char, _env: &dyn Env) -> Result<Expanded, ExpandError> {
    Ok(Expanded { text: word.to_owned(), unmatched: Vec::new() })
}

/// Expands a word and then splits it at blanks that were not quoted (EXPOSE).
pub fn expand_words(word: &str, _escape: char, _env: &dyn Env) -> Result<Vec<String>, ExpandError> {
    Ok(vec![word.to_owned()])
}

/// Expands the body of a COPY or ADD heredoc: quotes mean nothing, backslashes (never another escape) do.
pub fn expand_heredoc(body: &str, _env: &dyn Env) -> Result<String, ExpandError> {
    Ok(body.to_owned())
}
