//! The lines of an ignore file (moby/patternmatcher: ignorefile/ignorefile.go).

use super::clean::{clean, trim};

/// The patterns of an ignore file, cleaned, in order, with the numbers of their lines; negated ones start with `!`.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let numbered = (1..).zip(text.split(|byte| *byte == b'\n'));
    numbered.filter_map(|(number, line)| pattern(line).map(|pattern| (number, pattern)))
}

/// The pattern of one line. Only a `#` in the first column starts a comment.
fn pattern(line: &[u8]) -> Option<Vec<u8>> {
    if line.starts_with(b"#") {
        return None;
    }
    let line = trim(line);
    let (negation, path): (&[u8], &[u8]) = match line.strip_prefix(b"!") {
        Some(path) => (b"!", trim(path)),
        None => (b"", line),
    };
    if path.is_empty() {
        return (!negation.is_empty()).then(|| negation.to_vec());
    }
    let cleaned = clean(path);
    let relative = match cleaned.strip_prefix(b"/") {
        Some(rest) if !rest.is_empty() => rest,
        _ => &cleaned,
    };
    Some([negation, relative].concat())
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("a\nb", &["a", "b"]),
            ("a\r\nb\r\n", &["a", "b"]),
            ("\u{feff}a\n", &["a"]),
            ("# c\na # c\n #d", &["a # c", "#d"]),
            ("  a  \n\n \t\n", &["a"]),
            ("! a\n!b", &["!a", "!b"]),
            ("!\n! ", &["!", "!"]),
            ("/a\n!/b\n/", &["a", "!b", "/"]),
            ("//a\n./a\na/\na//b/./c/..", &["a", "a", "a", "a/b"]),
            ("../a\n/../a", &["../a", "a"]),
            ("**/x/", &["**/x"]),
        ];
        for (text, expected) in cases {
            let found: Vec<String> =
                super::lines(text.as_bytes()).map(|(_, line)| String::from_utf8(line).unwrap()).collect();
            assert_eq!(&found, expected, "{text:?}");
        }
    }
}
