//! Characters, and the classes `[…]` of patterns (Go: path/filepath match.go).

/// Above the last Unicode character: a byte that is no UTF-8, plus its value.
const INVALID: u32 = 0x11_0000;

/// A character, or a byte that is none.
pub(super) type Unit = u32;

/// The first character of a text, and the rest.
pub(super) fn next(text: &[u8]) -> Option<(Unit, &[u8])> {
    let first = *text.first()?;
    if first < 0x80 {
        return Some((Unit::from(first), &text[1..]));
    }
    let window = &text[..text.len().min(4)];
    let chunk = window.utf8_chunks().next()?;
    match chunk.valid().chars().next() {
        Some(c) => Some((Unit::from(c), &text[c.len_utf8()..])),
        None => Some((INVALID + Unit::from(first), &text[1..])),
    }
}

/// A class, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Class {
    negated: bool,
    ranges: Vec<(Unit, Unit)>,
}

impl Class {
    /// Reads a class behind its `[`; returns it and what is behind its `]`. `None` if it is malformed.
    pub(super) fn parse(text: &[u8]) -> Option<(Self, &[u8])> {
        let (negated, mut rest) = match text.strip_prefix(b"^") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut ranges = Vec::new();
        loop {
            if !ranges.is_empty() && rest.first() == Some(&b']') {
                return Some((Self { negated, ranges }, &rest[1..]));
            }
            let (low, behind) = member(rest)?;
            let (high, behind) = match behind.strip_prefix(b"-") {
                Some(behind) => member(behind)?,
                None => (low, behind),
            };
            // Go's filepath.Match lets this pass, its regexp does not, and moby/patternmatcher uses both.
            if high < low {
                return None;
            }
            ranges.push((low, high));
            rest = behind;
        }
    }

    /// Whether a character is in it.
    pub(super) fn contains(&self, unit: Unit) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&unit)) != self.negated
    }
}

/// One character of a class, possibly escaped.
fn member(text: &[u8]) -> Option<(Unit, &[u8])> {
    let text = match text.first()? {
        b'-' | b']' => return None,
        b'\\' => &text[1..],
        _ => text,
    };
    let (unit, rest) = next(text)?;
    (unit < INVALID).then_some((unit, rest))
}
