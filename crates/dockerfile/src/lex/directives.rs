//! The comments at the top that steer parsing: `# syntax=`, `# escape=`, `# check=` (BuildKit: parser/directives.go).
//!
//! Two readers exist, as in BuildKit. `escape` is what the parser itself obeys: a `#!` line ends it. `syntax` and
//! `check` are looked for separately, behind a `#!` line too, and `syntax` also in `//` comments and in JSON.

use super::lines::{Line, Lines};
use crate::ast::{Directives, Span, Spanned, Word};
use crate::diagnostic::Diagnostic;
use crate::suggest;

const KEYS: [&str; 3] = ["syntax", "escape", "check"];

/// One directive.
struct Directive {
    key: &'static str,
    value: Word,
}

/// Reads the directives; returns them and the lines that they took (offset of the first other line).
pub(crate) fn read(source: &[u8], diagnostics: &mut Vec<Diagnostic>) -> (Directives, usize) {
    let mut directives = Directives::default();
    let end = read_obeyed(source, &mut directives, diagnostics);
    read_announced(source, &mut directives);
    (directives, end)
}

/// What the parser obeys: `escape`, and that no key comes twice.
fn read_obeyed(source: &[u8], directives: &mut Directives, diagnostics: &mut Vec<Diagnostic>) -> usize {
    let mut lines = Lines::new(source);
    let mut seen: Vec<&str> = Vec::new();
    let mut end = lines.offset();
    while let Some(line) = lines.next() {
        let content = lines.content(line);
        let indent = content.len() - content.trim_start().len();
        let Some(directive) = read_line(&lines, Line { start: line.start + indent, ..line }, "#") else {
            misspelt(content, line, diagnostics);
            break;
        };
        end = line.next;
        if seen.contains(&directive.key) {
            let message = format!("only one {} parser directive can be used", directive.key);
            let span = Span { start: line.start, end: line.end };
            diagnostics.push(Diagnostic::error("duplicate-directive", message, span));
            continue;
        }
        seen.push(directive.key);
        if directive.key == "escape" {
            match directive.value.value.as_str() {
                "\\" => directives.escape = Some(Spanned { value: '\\', span: directive.value.span }),
                "`" => directives.escape = Some(Spanned { value: '`', span: directive.value.span }),
                other => {
                    let message = format!("invalid escape token '{other}' does not match ` or \\");
                    diagnostics.push(Diagnostic::error("invalid-escape", message, directive.value.span));
                }
            }
        }
    }
    end
}

/// A comment like `# excape=` is most likely meant as a directive; say so, for it has no effect.
fn misspelt(content: &str, line: Line, diagnostics: &mut Vec<Diagnostic>) {
    let Some(comment) = content.trim_start().strip_prefix('#') else { return };
    let Some((key, _)) = split(comment) else { return };
    let lower = key.to_ascii_lowercase();
    if KEYS.contains(&lower.as_str()) {
        return;
    }
    if let Some(near) = suggest::nearest(&lower, KEYS.into_iter()) {
        let message = format!("unknown parser directive: {key}");
        let span = Span { start: line.start, end: line.end };
        diagnostics.push(
            Diagnostic::warning("unknown-directive", message, span)
                .with_hint(format!("did you mean {near}?")),
        );
    }
}

/// What other programs look for: `syntax` and `check`.
fn read_announced(source: &[u8], directives: &mut Directives) {
    let first_wins = |slot: &mut Option<Word>, value: Word| {
        slot.get_or_insert(value);
    };
    for directive in block(source, "#") {
        match directive.key {
            "syntax" => first_wins(&mut directives.syntax, reference(directive.value)),
            "check" => first_wins(&mut directives.check, directive.value),
            _ => {}
        }
    }
    if directives.syntax.is_none() {
        let found = block(source, "//").into_iter().find(|directive| directive.key == "syntax");
        directives.syntax = found.map(|directive| reference(directive.value)).or_else(|| from_json(source));
    }
}

/// The directives of the first lines, a `#!` line skipped, up to the first line that is none or repeats a key.
fn block(source: &[u8], comment: &str) -> Vec<Directive> {
    let mut lines = Lines::new(source);
    let mut found: Vec<Directive> = Vec::new();
    let mut first = true;
    while let Some(line) = lines.next() {
        if std::mem::take(&mut first) && lines.content(line).starts_with("#!") {
            continue;
        }
        match read_line(&lines, line, comment) {
            Some(directive) if found.iter().all(|other| other.key != directive.key) => found.push(directive),
            _ => break,
        }
    }
    found
}

/// Only the text up to the first blank names the frontend; the rest is its command line.
fn reference(value: Word) -> Word {
    match value.value.find(' ') {
        None => value,
        Some(at) => Word {
            span: Span { start: value.span.start, end: value.span.start + at },
            value: value.value[..at].to_owned(),
        },
    }
}

/// `{"syntax": "…"}` as the whole file, but for a `#!` line.
fn from_json(source: &[u8]) -> Option<Word> {
    let text = source.strip_prefix(b"\xef\xbb\xbf").unwrap_or(source);
    let text = match text.iter().position(|byte| *byte == b'\n') {
        Some(end) if text.starts_with(b"#!") => &text[end..],
        _ => text,
    };
    if text.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let value: serde_json::Value = serde_json::from_slice(text).ok()?;
    let syntax = value.get("syntax")?.as_str()?.split(' ').next()?.to_owned();
    Some(Word { value: syntax, span: Span { start: 0, end: source.len() } })
}

/// Reads `# key = value`.
fn read_line(lines: &Lines<'_>, line: Line, comment: &str) -> Option<Directive> {
    let content = lines.content(line);
    let text = content.strip_prefix(comment)?;
    let (key, value) = split(text)?;
    let key = KEYS.into_iter().find(|known| known.eq_ignore_ascii_case(key))?;
    // `value` is a part of `content`, which says where it stands.
    let start = line.start + (content.len() - text.len()) + offset_in(text, value);
    Some(Directive {
        key,
        value: Word { value: value.to_owned(), span: Span { start, end: start + value.len() } },
    })
}

/// Offset of a value that `split` cut from `text`.
fn offset_in(text: &str, value: &str) -> usize {
    text.trim_end().len() - value.len()
}

/// Splits ` key = value `: the key is a letter and then letters and digits, the value is not empty.
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let length = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    let (key, rest) = text.split_at(length);
    let value = rest.trim_start().strip_prefix('=')?.trim_start();
    (key.starts_with(|c: char| c.is_ascii_alphabetic()) && !value.is_empty()).then_some((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(source: &str) -> (Option<String>, char, Option<String>, Vec<String>) {
        let mut diagnostics = Vec::new();
        let (directives, _) = read(source.as_bytes(), &mut diagnostics);
        for word in [&directives.syntax, &directives.check].into_iter().flatten() {
            if !source.trim_start().starts_with('{') {
                assert_eq!(&source[word.span.start..word.span.end], word.value);
            }
        }
        let escape = directives.escape_char();
        let messages = diagnostics.into_iter().map(|d| d.message).collect();
        (directives.syntax.map(|w| w.value), escape, directives.check.map(|w| w.value), messages)
    }

    #[test]
    fn escape() {
        let cases: &[(&str, char)] = &[
            ("# escape=`\n", '`'),
            ("#escape=`", '`'),
            ("  #  EsCaPe  =  ` \r\n", '`'),
            ("\u{feff}# escape=`\n", '`'),
            ("# escape=\\\n", '\\'),
            ("# syntax=a\n# escape=`\n", '`'),
            ("# a comment\n# escape=`\n", '\\'),
            ("\n# escape=`\n", '\\'),
            ("# unknown=x\n# escape=`\n", '\\'),
            ("FROM a\n# escape=`\n", '\\'),
            ("#!/usr/bin/env x\n# escape=`\n", '\\'),
        ];
        for (source, expected) in cases {
            assert_eq!(all(source).1, *expected, "{source:?}");
        }
    }

    #[test]
    fn syntax() {
        let cases: &[(&str, Option<&str>)] = &[
            ("# syntax=docker/dockerfile:1\n", Some("docker/dockerfile:1")),
            ("# syntax = x y z\n", Some("x")),
            ("#!/bin/x\n# syntax=a\n", Some("a")),
            ("// syntax=a\nxx", Some("a")),
            ("#!/bin/x\n// syntax=a\n", Some("a")),
            ("{\"syntax\": \"a\", \"b\": 1}", Some("a")),
            ("# check=skip=all\n# syntax=a\n", Some("a")),
            ("FROM a\n# syntax=a", None),
            ("# syntax=\nFROM a", None),
            ("", None),
        ];
        for (source, expected) in cases {
            assert_eq!(all(source).0.as_deref(), *expected, "{source:?}");
        }
    }

    #[test]
    fn check_is_kept_verbatim() {
        let found = all("# check=skip=A,B;error=true \nFROM a");
        assert_eq!(found.2.as_deref(), Some("skip=A,B;error=true"));
    }

    #[test]
    fn mistakes() {
        let cases: &[(&str, &[&str])] = &[
            ("# escape=`\n# escape=\\\n", &["only one escape parser directive can be used"]),
            ("# syntax=a\n# SYNTAX=b\n", &["only one syntax parser directive can be used"]),
            ("# escape=x\n", &["invalid escape token 'x' does not match ` or \\"]),
            ("# excape=`\n", &["unknown parser directive: excape"]),
            ("# foo=`\n", &[]),
        ];
        for (source, expected) in cases {
            assert_eq!(&all(source).3, expected, "{source:?}");
        }
    }
}
