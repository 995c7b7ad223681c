//! The flags in front of an instruction's arguments (BuildKit: parser/split_command.go `extractBuilderFlags`).

use super::Fragment;
use crate::ast::{Span, Spanned};

/// One flag as written: quotes and backslashes are gone already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flag {
    /// Name without the dashes, with its place (dashes included).
    pub(crate) name: Spanned<String>,
    /// What stands behind `=`; `None` without `=`.
    pub(crate) value: Option<Spanned<String>>,
}

impl Flag {
    /// The whole flag's place.
    pub(crate) fn span(&self) -> Span {
        let end = self.value.as_ref().map_or(self.name.span.end, |value| value.span.end);
        Span { start: self.name.span.start, end: end.max(self.name.span.end) }
    }
}

/// Cuts the flags off: words that start with `--`. A bare `--` ends them.
///
/// The escape character here is always the backslash, whatever the directive says, as in BuildKit.
pub(crate) fn take(arguments: Fragment<'_>) -> (Vec<Flag>, Fragment<'_>) {
    let text = arguments.text();
    let mut flags = Vec::new();
    let mut at = 0;
    loop {
        at = text.len() - text[at..].trim_start().len();
        if !text[at..].starts_with("--") {
            return (flags, arguments.from(at).trim());
        }
        let (word, end) = unquote(&text[at..]);
        let place = arguments.part(at..at + end);
        at += end;
        if word == "--" {
            return (flags, arguments.from(at).trim());
        }
        flags.push(split(&word, place));
    }
}

/// Splits `--name=value`.
fn split(word: &str, place: Fragment<'_>) -> Flag {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    };
    let length = place.text().len();
    let equals = if value.is_some() { place.text().find('=').unwrap_or(length) } else { length };
    Flag {
        name: Spanned {
            value: name.strip_prefix("--").unwrap_or(name).to_owned(),
            span: place.part(0..equals).span(),
        },
        value: value.map(|value| Spanned {
            value: value.to_owned(),
            span: place.from((equals + 1).min(length)).span(),
        }),
    }
}

/// The word at the start of a text without quotes and escapes, and how many bytes of the text it took.
fn unquote(text: &str) -> (String, usize) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return (word, at),
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == '\\' => word.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => word.push(c),
        }
    }
    (word, text.len())
}

#[cfg(test)]
mod tests {
    use super::super::Logical;
    use super::*;

    #[test]
    fn flags_and_the_rest() {
        type Pair = (&'static str, Option<&'static str>);
        let cases: &[(&str, &[Pair], &str)] = &[
            ("a b", &[], "a b"),
            ("--x a", &[("x", None)], "a"),
            ("--x=1 --y=2 a --z", &[("x", Some("1")), ("y", Some("2"))], "a --z"),
            ("--x= a", &[("x", Some(""))], "a"),
            ("--x=\"a b\" c", &[("x", Some("a b"))], "c"),
            ("--mount=\"type=cache,target=/x\" c", &[("mount", Some("type=cache,target=/x"))], "c"),
            ("--x='a \" b' c", &[("x", Some("a \" b"))], "c"),
            ("--x=a\\ b c", &[("x", Some("a b"))], "c"),
            ("\"--x\" a", &[], "\"--x\" a"),
            ("-- --x a", &[], "--x a"),
            ("--x -- --y", &[("x", None)], "--y"),
            ("--x=\\", &[("x", Some(""))], ""),
            ("--x=\"a", &[("x", Some("a"))], ""),
            ("-x a", &[], "-x a"),
            ("--x=a=b", &[("x", Some("a=b"))], ""),
            ("--x=à à", &[("x", Some("à"))], "à"),
        ];
        for (text, expected, rest) in cases {
            let mut line = Logical::default();
            line.push(text, 0);
            let (flags, behind) = take(line.trimmed());
            let found: Vec<(&str, Option<&str>)> = flags
                .iter()
                .map(|flag| (flag.name.value.as_str(), flag.value.as_ref().map(|v| v.value.as_str())))
                .collect();
            assert_eq!(&found, expected, "{text}");
            assert_eq!(behind.text(), *rest, "{text}");
        }
    }
}
