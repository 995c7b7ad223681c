//! `.dockerignore` and `--exclude`: which paths are left out.

/// Why a pattern list is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {pattern:?}")]
pub struct PatternError {
    /// The pattern as written.
    pub pattern: String,
    /// What is wrong with it, in BuildKit's words.
    pub reason: &'static str,
}

/// An ordered list of patterns, the last effective one winning.
#[derive(Clone, Debug, Default)]
pub struct Patterns {}

impl Patterns {
    /// Reads an ignore file.
    pub fn parse(_text: &[u8]) -> Result<Self, PatternError> {
        Ok(Self::default())
    }

    /// Takes patterns as they are (`--exclude`): no comments, no leading slash dropped.
    pub fn from_lines<I, S>(_patterns: I) -> Result<Self, PatternError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<[u8]>,
    {
        Ok(Self::default())
    }

    /// Whether `path` (relative, `/` between components) or one of its parents is left out.
    pub fn excludes(&self, _path: impl AsRef<[u8]>) -> bool {
        false
    }

    /// Whether any pattern brings paths back (`!`), so that a walk must go into excluded directories.
    pub fn has_negations(&self) -> bool {
        false
    }

    /// Whether there is no pattern at all.
    pub fn is_empty(&self) -> bool {
        true
    }
}
