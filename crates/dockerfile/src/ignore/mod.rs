//! `.dockerignore`, `COPY --exclude` and `COPY --parents`: which paths a list of patterns covers.
//!
//! A port of the meaning of moby/patternmatcher's `MatchesUsingParentResults`, with a matcher of its own: time is
//! linear in the path for each pattern, and paths and patterns are bytes.
//!
//! Deliberate differences, all where moby/patternmatcher passes a pattern on to Go's regexp unawares: `\` before a
//! letter means that letter, `*` and `?` in a class mean themselves, and `.`-like parts cross line ends in names.
//!
//! Read next: `file.rs` for the lines of an ignore file, `pattern.rs` for one pattern, `class.rs` for `[…]`.

mod class;
mod clean;
mod file;
mod nothing_left;
mod pattern;
#[cfg(test)]
mod tests;

use pattern::Pattern;

/// Why a pattern list is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {pattern:?}")]
pub struct PatternError {
    /// The pattern as written.
    pub pattern: String,
    /// What is wrong with it, in BuildKit's words.
    pub reason: &'static str,
    /// Its line, or its place in the list, counted from 1.
    pub line: usize,
}

/// An ordered list of patterns, the last effective one winning.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    patterns: Vec<Entry>,
    negations: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    pattern: Pattern,
    negated: bool,
    /// The cleaned pattern, without `!`.
    text: Box<[u8]>,
}

/// Which patterns matched a directory: a walk hands it down to the directory's entries, so that patterns are not
/// matched against the same parents again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentMatches(Vec<bool>);

impl Patterns {
    /// Reads an ignore file: comments, blanks and leading slashes are dropped.
    pub fn parse(text: &[u8]) -> Result<Self, PatternError> {
        Self::from_numbered(file::lines(text))
    }

    /// Takes patterns as they are (`--exclude`): no comments, no leading slash dropped.
    pub fn from_lines<I, S>(patterns: I) -> Result<Self, PatternError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<[u8]>,
    {
        Self::from_numbered(patterns.into_iter().enumerate().map(|(index, pattern)| (index + 1, pattern)))
    }

    fn from_numbered<S: AsRef<[u8]>>(
        patterns: impl Iterator<Item = (usize, S)>,
    ) -> Result<Self, PatternError> {
        let mut list = Self::default();
        for (line, written) in patterns {
            let trimmed = clean::trim(written.as_ref());
            if trimmed.is_empty() {
                continue;
            }
            let cleaned = clean::clean(trimmed);
            let refuse = |reason| PatternError {
                pattern: String::from_utf8_lossy(trimmed).into_owned(),
                reason,
                line,
            };
            let (negated, text) = match cleaned.strip_prefix(b"!") {
                Some(b"") => return Err(refuse("illegal exclusion pattern")),
                Some(text) => (true, text),
                None => (false, cleaned.as_slice()),
            };
            let pattern = Pattern::compile(text).ok_or_else(|| refuse("syntax error in pattern"))?;
            list.negations |= negated;
            list.patterns.push(Entry { pattern, negated, text: text.into() });
        }
        Ok(list)
    }

    /// Whether `path` (relative, `/` between components) or one of its parents is left out.
    ///
    /// The root itself (empty, or `.`) never is.
    pub fn excludes(&self, path: impl AsRef<[u8]>) -> bool {
        let path = path.as_ref();
        let path = path.strip_suffix(b"/").unwrap_or(path);
        if path.is_empty() || path == b"." {
            return false;
        }
        if !self.negations {
            return self.patterns.iter().any(|entry| {
                parents(path).any(|parent| entry.pattern.matches(parent)) || entry.pattern.matches(path)
            });
        }
        let mut matches = ParentMatches::default();
        for parent in parents(path) {
            matches = self.check(parent, &matches).1;
        }
        self.check(path, &matches).0
    }

    /// One step of a walk: whether `path` is left out, given what its parent directory matched (the default at the
    /// root), and what its own entries are to be given.
    pub fn check(&self, path: impl AsRef<[u8]>, parent: &ParentMatches) -> (bool, ParentMatches) {
        let path = path.as_ref();
        let mut excluded = false;
        let mut matches = vec![false; self.patterns.len()];
        for (index, entry) in self.patterns.iter().enumerate() {
            let inherited = parent.0.get(index).copied().unwrap_or_default();
            // A pattern that could change nothing is not tried: its result counts as no match for what is below.
            if !inherited && (entry.negated != excluded || !entry.pattern.matches(path)) {
                continue;
            }
            matches[index] = true;
            excluded = !entry.negated;
        }
        (excluded, ParentMatches(matches))
    }

    /// Whether any pattern brings paths back (`!`), so that a walk must go into excluded directories.
    pub fn has_negations(&self) -> bool {
        self.negations
    }

    /// Whether there is no pattern at all.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }
}

/// The parent directories of a path, from the outermost.
fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    memchr::memchr_iter(b'/', path).filter(|at| *at > 0).map(|at| &path[..at])
}
