//! "Did you mean …?": the nearest name (BuildKit: util/suggest; here letters in the wrong order count as one edit).

/// Names further away than this many edits are not worth naming.
const MAX_DISTANCE: usize = 2;

/// Longer words are not compared: nobody mistypes a name of this length, and the cost is quadratic.
const MAX_LENGTH: usize = 64;

/// The candidate nearest to `word`, ignoring case; `None` if none is near enough to be worth naming, or if one is
/// exactly the word.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower: Vec<char> = word.chars().flat_map(char::to_lowercase).take(MAX_LENGTH + 1).collect();
    if lower.len() > MAX_LENGTH {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if candidate == word {
            return None;
        }
        let other: Vec<char> = candidate.chars().flat_map(char::to_lowercase).collect();
        if other.len().abs_diff(lower.len()) > MAX_DISTANCE {
            continue;
        }
        let distance = distance(&lower, &other);
        // Something must be left of the word.
        let near = distance <= MAX_DISTANCE && distance < lower.len();
        if near && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, two characters in the wrong order counting as one edit.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let mut least = (last[j] + usize::from(a[i] != b[j])).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_names() {
        let names = ["ADD", "COPY", "FROM", "RUN", "WORKDIR"];
        let cases: &[(&str, Option<&str>)] = &[
            ("RUNN", Some("RUN")),
            ("runn", Some("RUN")),
            ("FRMO", Some("FROM")),
            ("RNU", Some("RUN")),
            ("WORKDI", Some("WORKDIR")),
            ("copy", Some("COPY")),
            ("COPY", None),
            ("apt-get", None),
            ("&&", None),
            ("", None),
        ];
        for (word, expected) in cases {
            assert_eq!(nearest(word, names.into_iter()), *expected, "{word}");
        }
        assert_eq!(nearest(&"a".repeat(1 << 20), names.into_iter()), None);
    }
}
