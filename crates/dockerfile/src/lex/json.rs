//! The JSON form of arguments: one array of strings, or no JSON at all (BuildKit: parser/line_parsers.go `parseJSON`).

use super::Fragment;
use crate::ast::{Spanned, Word};

/// What an argument turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Json {
    /// An array of strings, each with its place.
    Strings(Vec<Word>),
    /// An array that holds something else: an error, not another form.
    NotStrings,
    /// No JSON array; the text has its other meaning.
    No,
}

/// Reads an argument as JSON.
pub(crate) fn read(argument: Fragment<'_>) -> Json {
    let argument = argument.trim();
    let text = argument.text();
    if !text.starts_with('[') {
        return Json::No;
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else { return Json::No };
    let mut places = string_places(text).into_iter();
    let mut strings = Vec::with_capacity(values.len());
    for value in values {
        let serde_json::Value::String(value) = value else { return Json::NotStrings };
        let span = places.next().map_or_else(|| argument.span(), |place| argument.part(place).span());
        strings.push(Spanned { value, span });
    }
    Json::Strings(strings)
}

/// Where the strings of a valid array of strings stand, quotes included.
fn string_places(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut places = Vec::new();
    let mut open = None;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match (byte, open) {
            (b'\\', Some(_)) => {
                bytes.next();
            }
            (b'"', Some(start)) => {
                places.push(start..at + 1);
                open = None;
            }
            (b'"', None) => open = Some(at),
            _ => {}
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::super::Logical;
    use super::*;

    fn read_text(text: &str) -> Json {
        let mut line = Logical::default();
        line.push(text, 0);
        read(Fragment { line: &line, start: 0, end: text.len() })
    }

    fn strings(text: &str) -> Option<Vec<String>> {
        match read_text(text) {
            Json::Strings(words) => Some(words.into_iter().map(|word| word.value).collect()),
            _ => None,
        }
    }

    #[test]
    fn arrays_of_strings() {
        let cases: &[(&str, &[&str])] = &[
            ("[]", &[]),
            ("[\"a\"]", &["a"]),
            ("  [ \"a\" , \"b c\" ]  ", &["a", "b c"]),
            (r#"["\"\\ \u00e9\n"]"#, &["\"\\ é\n"]),
        ];
        for (text, expected) in cases {
            assert_eq!(strings(text).unwrap(), *expected, "{text}");
        }
    }

    #[test]
    fn everything_else_is_no_json() {
        for text in ["", "x", "[\"a\"] # c", "[\"a\",]", "['a']", "[\"a\"", "[a]", "[\"a\"]b", "{\"a\":1}"] {
            assert_eq!(read_text(text), Json::No, "{text}");
        }
    }

    #[test]
    fn arrays_of_other_things_are_errors() {
        for text in ["[1]", "[\"a\", [\"b\"]]", "[null]", "[\"a\", true]", "[{}]"] {
            assert_eq!(read_text(text), Json::NotStrings, "{text}");
        }
    }

    #[test]
    fn strings_know_their_places() {
        let text = r#"["a\"b", "c"]"#;
        let Json::Strings(words) = read_text(text) else { panic!("not JSON") };
        let found: Vec<&str> = words.iter().map(|word| &text[word.span.start..word.span.end]).collect();
        assert_eq!(found, [r#""a\"b""#, r#""c""#]);
    }
}
