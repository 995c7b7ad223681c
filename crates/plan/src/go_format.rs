//! Texts as Go's `fmt` writes them: history entries of images contain them, so they are part of the format.

use std::fmt::Write as _;

/// `%q` of a list of strings: `["a" "b"]`.
pub(crate) fn quoted_list(items: &[String]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| quote(item)).collect();
    format!("[{}]", quoted.join(" "))
}

/// `%v` of a list of strings: `[a b]`.
pub(crate) fn list<S: AsRef<str>>(items: &[S]) -> String {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    format!("[{}]", items.join(" "))
}

/// `%q` of a string (strconv.Quote).
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if c.is_ascii_control() => {
                write!(out, "\\x{:02x}", u32::from(c)).expect("strings take all text");
            }
            c if is_printable(c) => out.push(c),
            c if u32::from(c) > 0xffff => {
                write!(out, "\\U{:08x}", u32::from(c)).expect("strings take all text");
            }
            c => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("strings take all text");
            }
        }
    }
    out.push('"');
    out
}

/// Go's notion of printable, without its tables of unassigned characters: the ASCII blank is the only blank.
fn is_printable(c: char) -> bool {
    let invisible = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}');
    c == ' ' || !(c.is_control() || c.is_whitespace() || invisible)
}

/// `%v` of a time.Duration of `nanoseconds`: `1m30s`, `1.5s`, `20ms`, `0s`.
pub(crate) fn duration(nanoseconds: i64) -> String {
    const SECOND: u64 = 1_000_000_000;
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let total = nanoseconds.unsigned_abs();
    if total == 0 {
        return "0s".to_owned();
    }
    if total < SECOND {
        let (unit, name) = match total {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            _ => (1_000_000, "ms"),
        };
        return format!("{sign}{}{name}", decimal(total, unit));
    }
    let minutes = total / SECOND / 60;
    let seconds = format!("{}s", decimal(total - minutes * 60 * SECOND, SECOND));
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}"),
    }
}

/// `n / unit` with as many decimals as it needs; `unit` is a power of ten.
fn decimal(n: u64, unit: u64) -> String {
    let fraction = n % unit;
    if fraction == 0 {
        return (n / unit).to_string();
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{}.{}", n / unit, digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (ns, want) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (20_000_000, "20ms"),
            (1_500_000_000, "1.5s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (-30_000_000_000, "-30s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(duration(ns), want);
        }
    }

    #[test]
    fn quotes() {
        let items: Vec<String> =
            ["a b", "\"\\", "\n\t\u{1}\u{7f}", "é\u{a0}\u{1f600}"].map(str::to_owned).to_vec();
        assert_eq!(quoted_list(&items), "[\"a b\" \"\\\"\\\\\" \"\\n\\t\\x01\\x7f\" \"é\\u00a0\u{1f600}\"]");
        assert_eq!(quoted_list(&[]), "[]");
        assert_eq!(list(&["/a", "/b"]), "[/a /b]");
    }
}
