//! Wildcards of COPY sources: Go's `filepath.Match`, component by component; and `**` for `--parents`.

/// Whether a component has wildcard characters. An escaped one is none. Source: fsutil `copy/copy.go`.
pub(super) fn has_wildcard(component: &[u8]) -> bool {
    let mut escaped = false;
    component.iter().any(|byte| {
        let wild = !escaped && matches!(byte, b'*' | b'?' | b'[');
        escaped = !escaped && *byte == b'\\';
        wild
    })
}

/// The name that a pattern without wildcards means.
pub(super) fn unescape(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.iter();
    while let Some(byte) = bytes.next() {
        out.extend(if *byte == b'\\' { bytes.next().or(Some(byte)) } else { Some(byte) });
    }
    out
}

/// A pattern of `--parents`: components, `**` for any number of them. What it matches brings everything below it.
#[derive(Clone, Debug)]
pub(super) struct Include {
    components: Vec<Vec<u8>>,
}

/// How far a path goes along an [`Include`]: the set of components that may come next.
#[derive(Clone, Debug)]
pub(super) struct Reached(Vec<bool>);

impl Reached {
    /// Whether the path matches, so that all that is below counts.
    pub(super) fn whole(&self) -> bool {
        self.0.last() == Some(&true)
    }

    /// Whether nothing below the path can match.
    pub(super) fn hopeless(&self) -> bool {
        !self.0.contains(&true)
    }
}

impl Include {
    /// Reads a clean path of patterns; an empty one means everything.
    pub(super) fn parse(path: &[u8]) -> Result<Self, BadPattern> {
        let mut components = Vec::new();
        for component in path.split(|b| *b == b'/').filter(|c| !c.is_empty()) {
            check(component)?;
            if component.starts_with(b"**") && component.len() > 2 {
                // `**x` matches every path that ends in x (moby patternmatcher).
                components.push(b"**".to_vec());
                components.push(component[1..].to_vec());
            } else {
                components.push(component.to_vec());
            }
        }
        if components.is_empty() {
            components.push(b"**".to_vec());
        }
        Ok(Self { components })
    }

    /// Before the first component.
    pub(super) fn start(&self) -> Reached {
        let mut reached = Reached(vec![false; self.components.len() + 1]);
        self.reach(&mut reached, 0);
        reached
    }

    /// One component further.
    pub(super) fn step(&self, from: &Reached, name: &[u8]) -> Reached {
        let mut reached = Reached(vec![false; self.components.len() + 1]);
        for (at, component) in self.components.iter().enumerate().filter(|(at, _)| from.0[*at]) {
            if component == b"**" {
                self.reach(&mut reached, at);
                // A last `**` wants at least one component: `a/**` is not `a`.
                if at + 1 == self.components.len() {
                    reached.0[at + 1] = true;
                }
            } else if matches_from(component, name) {
                self.reach(&mut reached, at + 1);
            }
        }
        reached
    }

    fn reach(&self, reached: &mut Reached, at: usize) {
        reached.0[at] = true;
        if at + 1 < self.components.len() && self.components[at] == b"**" {
            self.reach(reached, at + 1);
        }
    }
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

/// Refuses a malformed pattern, whatever it is matched with.
pub(super) fn check(pattern: &[u8]) -> Result<(), BadPattern> {
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
        assert!(has_wildcard(b"a[[]1") && has_wildcard(b"\\\\*") && !has_wildcard(b"a\\*b"));
        assert_eq!(unescape(b"a\\[1\\\\"), b"a[1\\");
        for pattern in ["[", "[]a]", "[a", "[-]", "a\\", "[a-]", "[^"] {
            assert_eq!(matches(pattern.as_bytes(), b"a"), Err(BadPattern), "{pattern}");
        }
    }

    #[test]
    fn includes() {
        for (pattern, path, want) in [
            ("a/b", "a/b", true),
            ("a/b", "a", false),
            ("a/**", "a", false),
            ("a/**", "a/b/c", true),
            ("**/c", "c", true),
            ("**/c", "a/b/c", true),
            ("a/**/c", "a/c", true),
            ("**.txt", "a/b.txt", true),
            ("*.txt", "a/b.txt", false),
            ("**", "a", true),
            ("", "a", true),
        ] {
            let include = Include::parse(pattern.as_bytes()).unwrap();
            let reached =
                path.split('/').fold(include.start(), |at, name| include.step(&at, name.as_bytes()));
            assert_eq!(reached.whole(), want, "{pattern} {path}");
        }
        let include = Include::parse(b"a/b").unwrap();
        assert!(include.step(&include.start(), b"x").hopeless());
    }
}
