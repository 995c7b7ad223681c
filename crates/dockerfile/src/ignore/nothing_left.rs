//! Whether an ignore file leaves anything of what COPY asks for, as far as patterns alone can tell (lint
//! CopyIgnoredFile; BuildKit: dockerfile2llb/validations.go `validateCopySourcePath`).

use super::{Patterns, clean};

impl Patterns {
    /// The cleaned source if every path that it can mean is left out: a path, or a pattern as COPY takes it.
    ///
    /// A `!` that could bring back the source or something below it counts as doing so.
    pub fn leaves_nothing_of(&self, source: &str) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let cleaned = clean::clean(source.as_bytes());
        let path = cleaned.strip_prefix(b"/").unwrap_or(&cleaned);
        let root = path.is_empty() || path == b".";
        let excluded = if root { self.last_of_everything() } else { self.last_exclusion(path) };
        let later = &self.patterns[excluded? + 1..];
        let brought_back = later.iter().any(|entry| entry.negated && (root || may_meet(&entry.text, path)));
        let shown = if path.is_empty() { b"." } else { path };
        (!brought_back).then(|| String::from_utf8_lossy(shown).into_owned())
    }

    /// The last pattern that leaves out everything in the root.
    fn last_of_everything(&self) -> Option<usize> {
        let everything = |text: &[u8]| matches!(text, b"*" | b"**" | b"**/*");
        self.patterns.iter().rposition(|entry| !entry.negated && everything(&entry.text))
    }

    /// The last pattern that leaves out `path` or a parent of it, if the path is left out at all.
    fn last_exclusion(&self, path: &[u8]) -> Option<usize> {
        let last_of = |text: &[u8]| {
            self.patterns.iter().rposition(|entry| !entry.negated && entry.pattern.matches(text))
        };
        let last = super::parents(path).chain([path]).filter_map(last_of).max();
        last.filter(|_| self.excludes(path))
    }
}

/// Whether two patterns can mean the same path, or one a path below the other's: judged by the components before the
/// first wildcard.
fn may_meet(a: &[u8], b: &[u8]) -> bool {
    plain_components(a).zip(plain_components(b)).all(|(a, b)| a == b)
}

fn plain_components(pattern: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let plain = |component: &&[u8]| !component.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['));
    pattern.split(|byte| *byte == b'/').take_while(plain).map(unescaped)
}

fn unescaped(component: &[u8]) -> Vec<u8> {
    let mut bytes = component.iter();
    let mut text = Vec::with_capacity(component.len());
    while let Some(byte) = bytes.next() {
        text.extend(if *byte == b'\\' { bytes.next() } else { Some(byte) });
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::ignore::Patterns;

    #[test]
    fn what_is_left() {
        // Ignore file, source, whether nothing of it is left.
        let cases = [
            ("Dockerfile", "Dockerfile", true),
            ("Dockerfile", "./Dockerfile", true),
            ("Dockerfile", "/Dockerfile", true),
            ("foobar", "Dockerfile", false),
            ("sub", "sub/a.txt", true),
            ("sub", "sub/*.txt", true),
            ("*.txt", "a.txt", true),
            ("*.txt", "a*.txt", true),
            ("*.txt", "*", false),
            ("", ".", false),
            (".*", ".", false),
            ("*", ".", true),
            ("**", "/", true),
            ("**/*", "", true),
            ("**\n!Dockerfile", "./Dockerfile", false),
            ("**\n!Dockerfile", ".", false),
            ("!Dockerfile\n**", ".", true),
            ("sub\n!sub/b.txt", "sub/a.txt", true),
            ("sub\n!other.txt", "sub/a.txt", true),
            ("!sub/b.txt\nsub", "sub/a.txt", true),
            ("!sub\nsub", "sub/a.txt", true),
            ("sub\n!sub/a.txt", "sub", false),
            ("sub\n!sub/a.txt", "sub/a.txt", false),
            ("sub\n!sub/a.txt", "sub/*.txt", false),
            ("sub\n!**/a.txt", "sub", false),
            ("su.b\n!su\\.b/keep.txt", "su.b", false),
        ];
        for (ignore, source, nothing) in cases {
            let patterns = Patterns::parse(ignore.as_bytes()).unwrap();
            assert_eq!(patterns.leaves_nothing_of(source).is_some(), nothing, "{ignore:?} {source:?}");
        }
    }
}
