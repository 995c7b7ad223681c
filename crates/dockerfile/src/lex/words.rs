//! The shapes of arguments: words between blanks, and words with quotes (BuildKit: parser/line_parsers.go).

use super::Fragment;

/// What separates words: BuildKit's `[\t\v\f\r ]`. Other white space belongs to the word.
pub(crate) fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\x0b' | '\x0c' | '\r' | ' ')
}

/// Words between blanks; quotes mean nothing.
pub(crate) fn blank_separated(text: Fragment<'_>) -> Vec<Fragment<'_>> {
    let mut words = Vec::new();
    let mut rest = Some(text.trim());
    while let Some(fragment) = rest {
        let (word, behind) = fragment.cut_blank();
        if !word.text().is_empty() {
            words.push(word);
        }
        rest = behind;
    }
    words
}

/// Words between white space, where quotes and the escape character keep words together. Both stay in the word;
/// an escape character at the very end is dropped.
pub(crate) fn quoted(text: Fragment<'_>, escape: char) -> Vec<Fragment<'_>> {
    let source = text.text();
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut chars = source.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if start.is_none() {
            if c.is_whitespace() {
                continue;
            }
            start = Some(at);
        }
        if c == escape && quote != Some('\'') {
            chars.next();
            continue;
        }
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c.is_whitespace() => {
                words.extend(start.take().map(|from| text.part(from..at)));
            }
            Some(_) | None => {}
        }
    }
    if let Some(from) = start {
        let mut word = text.from(from);
        if ends_in_open_escape(word.text(), escape) {
            word = word.part(0..word.text().len() - escape.len_utf8());
        }
        if !word.text().is_empty() {
            words.push(word);
        }
    }
    words
}

/// Whether the last character is an escape character that escapes nothing.
fn ends_in_open_escape(word: &str, escape: char) -> bool {
    let mut quote = None;
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        if c == escape && quote != Some('\'') {
            if chars.next().is_none() {
                return true;
            }
            continue;
        }
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(_) | None => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::Logical;
    use super::*;

    fn line(text: &str) -> Logical {
        let mut logical = Logical::default();
        logical.push(text, 0);
        logical
    }

    #[test]
    fn words_between_blanks() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("a", &["a"]),
            ("  a \t b\r\x0bc ", &["a", "b", "c"]),
            ("\"a b\"", &["\"a", "b\""]),
            ("a\\ b", &["a\\", "b"]),
        ];
        for (text, expected) in cases {
            let logical = line(text);
            let found: Vec<&str> = blank_separated(logical.trimmed()).iter().map(Fragment::text).collect();
            assert_eq!(&found, expected, "{text:?}");
        }
    }

    #[test]
    fn words_with_quotes() {
        let cases: &[(&str, char, &[&str])] = &[
            ("a=1 b=2", '\\', &["a=1", "b=2"]),
            ("a=\"x y\" b='p q'", '\\', &["a=\"x y\"", "b='p q'"]),
            ("a=x\\ y b", '\\', &["a=x\\ y", "b"]),
            ("a=x` y b", '`', &["a=x` y", "b"]),
            ("a=\"x\\\" y\"", '\\', &["a=\"x\\\" y\""]),
            ("a='x\\' b=y", '\\', &["a='x\\'", "b=y"]),
            ("a=x\\", '\\', &["a=x"]),
            ("a=x\\\\", '\\', &["a=x\\\\"]),
            ("a=\"x y", '\\', &["a=\"x y"]),
            ("\"\" a", '\\', &["\"\"", "a"]),
            ("A=${U:?need it}", '\\', &["A=${U:?need", "it}"]),
            ("한=국 어", '\\', &["한=국", "어"]),
        ];
        for (text, escape, expected) in cases {
            let logical = line(text);
            let found: Vec<&str> = quoted(logical.trimmed(), *escape).iter().map(Fragment::text).collect();
            assert_eq!(&found, expected, "{text:?}");
        }
    }
}
