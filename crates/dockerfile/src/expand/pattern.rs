//! The patterns of `${v#p}` and its kin: `*` is any text, `?` any character, neither a line end, as in BuildKit.

use super::{ExpandError, MAX_EXPANDED_BYTES};

/// Pattern length times value length may be this large; it bounds the time of one match.
const MAX_WORK: usize = 1 << 28;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    Any,
    Star,
}

/// A pattern, ready to match.
#[derive(Debug)]
pub(super) struct Pattern {
    tokens: Vec<Token>,
}

impl Pattern {
    /// Reads a pattern. Only `* ? \ } /` may be escaped, always with a backslash.
    pub(super) fn parse(text: &str) -> Result<Self, ExpandError> {
        let mut tokens = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Star,
                '?' => Token::Any,
                '\\' => match chars.next() {
                    Some(c @ ('*' | '?' | '\\' | '}' | '/')) => Token::Literal(c),
                    other => {
                        let escaped = other.map(String::from).unwrap_or_default();
                        return Err(ExpandError::new(format!(
                            "invalid pattern ({text}) in substitution: invalid escape '\\{escaped}'"
                        )));
                    }
                },
                _ => Token::Literal(c),
            });
        }
        // Stars in a row mean the same as one.
        tokens.dedup_by(|a, b| *a == Token::Star && *b == Token::Star);
        Ok(Self { tokens })
    }

    /// The value without its shortest or longest prefix that matches.
    pub(super) fn trim_start(&self, value: &str, longest: bool) -> Result<String, ExpandError> {
        let chars: Vec<char> = value.chars().collect();
        let end = ends(&self.tokens, &chars, longest)?[0].unwrap_or(0);
        Ok(chars[end..].iter().collect())
    }

    /// The value without its shortest or longest suffix that matches.
    pub(super) fn trim_end(&self, value: &str, longest: bool) -> Result<String, ExpandError> {
        let chars: Vec<char> = value.chars().rev().collect();
        let tokens: Vec<Token> = self.tokens.iter().rev().copied().collect();
        let end = ends(&tokens, &chars, longest)?[0].unwrap_or(0);
        Ok(chars[end..].iter().rev().collect())
    }

    /// The value with the first or all matches replaced; the leftmost and longest match counts.
    pub(super) fn replace(&self, value: &str, replacement: &str, all: bool) -> Result<String, ExpandError> {
        let chars: Vec<char> = value.chars().collect();
        let ends = ends(&self.tokens, &chars, true)?;
        let mut result = String::new();
        let mut copied = 0;
        let mut at = 0;
        while at <= chars.len() {
            let Some((start, end)) = (at..=chars.len()).find_map(|start| Some((start, ends[start]?))) else {
                break;
            };
            result.extend(&chars[copied..start]);
            // An empty match directly behind a match is none.
            if end > copied || start == 0 {
                result.push_str(replacement);
            }
            if result.len() > MAX_EXPANDED_BYTES {
                return Err(ExpandError::new(format!("expansion is longer than {MAX_EXPANDED_BYTES} bytes")));
            }
            copied = end;
            if !all {
                break;
            }
            at = end.max(at + 1);
        }
        result.extend(chars.get(copied..).unwrap_or_default());
        Ok(result)
    }
}

/// For every start, where the pattern ends if it matches there: the nearest or the furthest end.
fn ends(tokens: &[Token], chars: &[char], longest: bool) -> Result<Vec<Option<usize>>, ExpandError> {
    if (tokens.len() + 1).saturating_mul(chars.len() + 1) > MAX_WORK {
        return Err(ExpandError::new("pattern and value are too long for a substitution"));
    }
    let better = |a: Option<usize>, b: Option<usize>| match (a, b) {
        (Some(a), Some(b)) => Some(if longest { a.max(b) } else { a.min(b) }),
        (a, b) => a.or(b),
    };
    let mut found = vec![None; chars.len() + 1];
    // `later[j]`: where the pattern from token j on ends if it starts one character further right.
    let mut later: Vec<Option<usize>> = vec![None; tokens.len() + 1];
    for start in (0..=chars.len()).rev() {
        let here = chars.get(start).copied();
        let mut row = vec![None; tokens.len() + 1];
        row[tokens.len()] = Some(start);
        for (j, token) in tokens.iter().enumerate().rev() {
            row[j] = match token {
                Token::Literal(c) if here == Some(*c) => later[j + 1],
                Token::Any if here.is_some_and(|c| c != '\n') => later[j + 1],
                Token::Star if here.is_some_and(|c| c != '\n') => better(row[j + 1], later[j]),
                Token::Star => row[j + 1],
                Token::Literal(_) | Token::Any => None,
            };
        }
        found[start] = row[0];
        later = row;
    }
    Ok(found)
}
