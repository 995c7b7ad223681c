//! Licences: which texts are expressions that SPDX and CycloneDX accept.
//!
//! `licenses.txt` has the identifiers of the SPDX licence list 3.27, exceptions included.

use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Deepest brackets of an expression.
const DEPTH_MAX: usize = 32;

/// The expression that `text` is, with its identifiers as SPDX writes them; `None` if it is none.
pub(super) fn expression(text: &str) -> Option<String> {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, depth: 0, out: Vec::new() };
    parser.any_of()?;
    parser.words.is_empty().then(|| parser.out.join(" ").replace("( ", "(").replace(" )", ")"))
}

/// A name that SPDX lets stand for a text that is no expression.
pub(super) fn reference(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let short: String = text.chars().take(60).map(safe).collect();
    // Texts that are told apart by other letters only must not become one.
    let digest = jettison_oci::Digest::sha256(text.as_bytes()).to_string();
    format!("LicenseRef-{}-{}", short.trim_matches('-'), &digest["sha256:".len()..][..8])
}

struct Parser<'w> {
    words: &'w [&'w str],
    depth: usize,
    out: Vec<String>,
}

impl<'w> Parser<'w> {
    fn next(&mut self) -> Option<&'w str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn operator(&mut self, name: &str) -> bool {
        let is = self.words.first().is_some_and(|word| word.eq_ignore_ascii_case(name));
        if is {
            self.words = &self.words[1..];
            self.out.push(name.to_owned());
        }
        is
    }

    fn any_of(&mut self) -> Option<()> {
        self.one()?;
        while self.operator("OR") || self.operator("AND") {
            self.one()?;
        }
        Some(())
    }

    fn one(&mut self) -> Option<()> {
        let word = self.next()?;
        if word == "(" {
            self.depth += 1;
            self.out.push("(".to_owned());
            if self.depth > DEPTH_MAX {
                return None;
            }
            self.any_of()?;
            self.depth -= 1;
            self.out.push(")".to_owned());
            return (self.next()? == ")").then_some(());
        }
        let (id, plus) = word.strip_suffix('+').map_or((word, ""), |id| (id, "+"));
        let id = known(word).map(str::to_owned).or_else(|| Some(format!("{}{plus}", known(id)?)))?;
        if is_exception(&id) {
            return None;
        }
        self.out.push(id);
        if self.operator("WITH") {
            let exception = known(self.next()?).filter(|id| is_exception(id))?;
            self.out.push(exception.to_owned());
        }
        Some(())
    }
}

/// The identifier as SPDX writes it.
fn known(id: &str) -> Option<&'static str> {
    static IDS: OnceLock<BTreeMap<String, &'static str>> = OnceLock::new();
    let ids = IDS.get_or_init(|| {
        include_str!("licenses.txt").lines().map(|id| (id.to_ascii_lowercase(), id)).collect()
    });
    ids.get(&id.to_ascii_lowercase()).copied()
}

fn is_exception(id: &str) -> bool {
    (id.contains("-exception") && !id.contains("-with-")) || id == "Linux-syscall-note"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_expression() {
        for (text, want) in [
            ("MIT", Some("MIT")),
            ("mit", Some("MIT")),
            ("GPL-2.0+", Some("GPL-2.0+")),
            ("MIT or Apache-2.0", Some("MIT OR Apache-2.0")),
            ("(MIT AND (BSD-2-Clause OR ISC))", Some("(MIT AND (BSD-2-Clause OR ISC))")),
            ("GPL-2.0-only WITH Classpath-exception-2.0", Some("GPL-2.0-only WITH Classpath-exception-2.0")),
            ("Classpath-exception-2.0", None),
            ("MIT WITH ISC", None),
            ("BSD", None),
            ("GPLv2+ and MIT", None),
            ("MIT AND", None),
            ("(MIT", None),
            ("MIT)", None),
            ("", None),
            ("MIT/X11", None),
        ] {
            assert_eq!(expression(text).as_deref(), want, "{text}");
        }
        assert_eq!(expression(&"(".repeat(10_000)), None);
        assert_ne!(reference("a b"), reference("a/b"));
    }
}
