//! Text from elsewhere made safe to show: what a program prints must not move the cursor, change colours for good,
//! set the window's title or ask the terminal for answers.

/// What may stay of escape sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// Nothing.
    Drop,
    /// Colours and weights (SGR); reset at the end of the line if there were any.
    Keep,
}

/// Columns between tab stops.
const TAB_COLUMNS: usize = 8;

/// One line without control characters. Of text that returned to the start of the line the last version counts.
pub(crate) fn line(text: &str, colour: Colour) -> String {
    let text = text.trim_end_matches(['\r', '\n']);
    let text = text.rsplit('\r').find(|version| !version.is_empty()).unwrap_or("");
    let mut out = String::with_capacity(text.len());
    let mut columns = 0;
    let mut coloured = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(length) = escape_length(rest) {
            let sequence = &rest[..length];
            if colour == Colour::Keep && is_colour(sequence) {
                coloured = true;
                out.push_str(sequence);
            }
            rest = &rest[length..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '\t' => {
                let blanks = TAB_COLUMNS - columns % TAB_COLUMNS;
                out.extend(std::iter::repeat_n(' ', blanks));
                columns += blanks;
            }
            '\u{8}' => {
                // A backspace takes a plain character back; behind an escape sequence it is dropped.
                if !out.ends_with('m') || !coloured {
                    columns -= out.pop().map_or(0, char_width).min(columns);
                }
            }
            c if c.is_control() || is_bidirectional_control(c) => {}
            c => {
                out.push(c);
                columns += char_width(c);
            }
        }
    }
    if coloured {
        out.push_str("\u{1b}[0m");
    }
    out
}

/// Bytes of the escape sequence that `text` begins with. An unfinished one takes the rest of the line.
fn escape_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (kind, start) = match bytes.first()? {
        0x1b => (bytes.get(1).copied(), 2),
        // C1 controls, two bytes in UTF-8: CSI, OSC, DCS, SOS, PM, APC.
        0xc2 => match bytes.get(1)? {
            0x9b => (Some(b'['), 2),
            0x9d => (Some(b']'), 2),
            0x90 | 0x98 | 0x9e | 0x9f => (Some(b'P'), 2),
            _ => return None,
        },
        _ => return None,
    };
    let end = match kind {
        None => Some(bytes.len()),
        // Parameters, then one final byte.
        Some(b'[') => bytes[start..].iter().position(|b| (0x40..=0x7e).contains(b)).map(|at| start + at + 1),
        // Strings end with BEL or ESC \.
        Some(b']' | b'P' | b'X' | b'^' | b'_') => {
            let bell = bytes[start..].iter().position(|b| *b == 0x07).map(|at| start + at + 1);
            let terminator = text[start..].find("\u{1b}\\").map(|at| start + at + 2);
            match (bell, terminator) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            }
        }
        // Intermediate bytes, then one final byte: ESC ( B
        Some(0x20..=0x2f) => {
            bytes[start..].iter().position(|b| (0x30..=0x7e).contains(b)).map(|at| start + at + 1)
        }
        Some(0x30..=0x7e) => Some(start),
        // Not an escape sequence; the ESC alone is dropped as a control character.
        Some(_) => return None,
    };
    let end = end.unwrap_or(bytes.len());
    // A final byte is ASCII, so this is a boundary; an odd sequence ends at the next one.
    (end..=bytes.len()).find(|at| text.is_char_boundary(*at))
}

/// `ESC [ digits and semicolons m`
fn is_colour(sequence: &str) -> bool {
    sequence
        .strip_prefix("\u{1b}[")
        .and_then(|rest| rest.strip_suffix('m'))
        .is_some_and(|parameters| parameters.bytes().all(|b| b.is_ascii_digit() || b == b';'))
}

/// Characters that reorder the text around them: the line would not say what it seems to.
fn is_bidirectional_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Columns that a character takes, near enough: wide in East Asian scripts and emoji, none for marks.
///
/// Source: Unicode UAX #11, ranges joined where the gaps are rare. A mistake moves an edge by one column; painting
/// switches line wrapping off, so nothing breaks.
pub(crate) fn char_width(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}'
        | '\u{200b}'..='\u{200d}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// Columns of a text without escape sequences.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// The text cut to `columns`, with an ellipsis if something is missing.
pub(crate) fn truncated(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let mut out = String::new();
    for c in text.chars() {
        match left.checked_sub(char_width(c)) {
            Some(rest) => left = rest,
            None => break,
        }
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_programs_print() {
        for (text, want) in [
            ("plain", "plain"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("10%\r20%\r100%", "100%"),
            ("done\r\n", "done"),
            ("20%\r", "20%"),
            ("a\tb", "a       b"),
            ("abc\u{8}\u{8}X", "aX"),
            ("\u{8}\u{8}a", "a"),
            ("\u{1b}[2J\u{1b}[Hgone", "gone"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}P+q\u{1b}\\x", "x"),
            ("\u{1b}(Bx\u{1b}7y", "xy"),
            ("\u{9b}31mx", "x"),
            ("cut \u{1b}[3", "cut "),
            ("cut \u{1b}", "cut "),
            ("\u{1b}é", "é"),
            ("\u{1b}[é", ""),
            ("bell\u{7}\0", "bell"),
            ("a\u{202e}b", "ab"),
        ] {
            assert_eq!(line(text, Colour::Drop), want, "{text:?}");
        }
    }

    #[test]
    fn colours_may_stay_and_never_leak() {
        assert_eq!(line("\u{1b}[1;31mred", Colour::Keep), "\u{1b}[1;31mred\u{1b}[0m");
        assert_eq!(line("\u{1b}[2Jx\u{1b}[>4mx", Colour::Keep), "xx");
        assert_eq!(line("none", Colour::Keep), "none");
    }

    #[test]
    fn cutting_counts_columns() {
        assert_eq!(truncated("abcdef", 6), "abcdef");
        assert_eq!(truncated("abcdefg", 6), "abcde…");
        assert_eq!(truncated("日本語", 5), "日本…");
        assert_eq!(truncated("日本語", 4), "日…");
        assert_eq!(truncated("abc", 1), "…");
        assert_eq!(truncated("abc", 0), "");
    }

    proptest! {
        #[test]
        fn nothing_that_steers_gets_through(text in "(\\PC|[\\x00-\\x1f\\x7f\\u{80}-\\u{9f}]|\\x1b\\[|\\x1b\\]){0,60}") {
            let clean = line(&text, Colour::Drop);
            prop_assert!(!clean.chars().any(char::is_control), "{clean:?}");
            let coloured = line(&text, Colour::Keep);
            prop_assert!(!coloured.chars().any(|c| c.is_control() && c != '\u{1b}'), "{coloured:?}");
        }

        #[test]
        fn cut_text_fits(text in "\\PC{0,40}", columns in 0_usize..30) {
            prop_assert!(width(&truncated(&text, columns)) <= columns);
        }
    }
}
