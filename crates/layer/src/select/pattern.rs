//! Wildcards of COPY sources: Go's `filepath.Match`, component by component.

/// Whether a component has wildcard characters.
pub(super) fn has_wildcard(component: &[u8]) -> bool {
    component.iter().any(|b| matches!(b, b'*' | b'?' | b'[' | b'\\'))
}

/// A malformed pattern, as `filepath.Match` reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadPattern;

/// Whether `name` (one component) matches `pattern`. Source: Go `path/filepath/match.go`.
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> Result<bool, BadPattern> {
    check(pattern)?;
    Ok(matches_from(pattern, name))
}

fn matches_from(pattern: &[u8], name: &[u8]) -> bool {
    // Classic backtracking to the last star: linear in practice, never exponential.
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p + 1, n));
            p += 1;
            continue;
        }
        if p < pattern.len() && n < name.len() {
            if let Some((next, used)) = one(&pattern[p..], &name[n..]) {
                p += next;
                n += used;
                continue;
            }
        } else if p == pattern.len() && n == name.len() {
            return true;
        }
        match star {
            Some((after, from)) if from < name.len() => {
                star = Some((after, from + 1));
                (p, n) = (after, from + 1);
            }
            _ => return false,
        }
    }
}

/// Matches one pattern element against the start of `name`: lengths of both if it fits.
fn one(pattern: &[u8], name: &[u8]) -> Option<(usize, usize)> {
    let (c, width) = first_char(name);
    match pattern[0] {
        b'?' => Some((1, width)),
        b'\\' if pattern.len() > 1 => (pattern[1] == name[0]).then_some((2, 1)),
        b'[' => {
            let (end, negated, ranges) = class(pattern).ok()?;
            let inside = ranges.iter().any(|(low, high)| *low <= c && c <= *high);
            (inside != negated).then_some((end, width))
        }
        byte => (byte == name[0]).then_some((1, 1)),
    }
}

fn check(pattern: &[u8]) -> Result<(), BadPattern> {
    let mut at = 0;
    while at < pattern.len() {
        at += match pattern[at] {
            b'[' => class(&pattern[at..])?.0,
            b'\\' if at + 1 == pattern.len() => return Err(BadPattern),
            b'\\' => 2,
            _ => 1,
        };
    }
    Ok(())
}

type Class = (usize, bool, Vec<(u32, u32)>);

/// Reads `[…]`: its length, whether it is negated, its ranges.
fn class(pattern: &[u8]) -> Result<Class, BadPattern> {
    let mut at = 1;
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let mut ranges = Vec::new();
    loop {
        if pattern.get(at) == Some(&b']') && !ranges.is_empty() {
            return Ok((at + 1, negated, ranges));
        }
        let low = class_char(pattern, &mut at)?;
        let mut high = low;
        if pattern.get(at) == Some(&b'-') {
            at += 1;
            high = class_char(pattern, &mut at)?;
        }
        ranges.push((low, high));
    }
}

fn class_char(pattern: &[u8], at: &mut usize) -> Result<u32, BadPattern> {
    match pattern.get(*at) {
        None | Some(b'-' | b']') => return Err(BadPattern),
        Some(b'\\') => *at += 1,
        Some(_) => {}
    }
    let rest = pattern.get(*at..).filter(|r| !r.is_empty()).ok_or(BadPattern)?;
    let (c, width) = first_char(rest);
    *at += width;
    Ok(c)
}

/// The first character; a byte that is no UTF-8 counts as one.
fn first_char(bytes: &[u8]) -> (u32, usize) {
    let width = match bytes[0] {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => 1,
    };
    match bytes.get(..width).and_then(|b| std::str::from_utf8(b).ok()).and_then(|s| s.chars().next()) {
        Some(c) => (u32::from(c), width),
        None => (u32::from(bytes[0]), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_match_table() {
        for (pattern, name, want) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*b*c*d*e*", "axbxcxdxexxx", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "aöb", true),
            ("a[[]1", "a[1", true),
            ("[\\-x]", "-", true),
            ("*x", "xxx", true),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), Ok(want), "{pattern} {name}");
        }
        for pattern in ["[", "[]a]", "[a", "[-]", "a\\", "[a-]", "[^"] {
            assert_eq!(matches(pattern.as_bytes(), b"a"), Err(BadPattern), "{pattern}");
        }
    }
}
