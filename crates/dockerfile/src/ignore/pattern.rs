//! One pattern: exact text, prefix (`x/**`), suffix (`**/x`), or tokens that are run over the path
//! (moby/patternmatcher: patternmatcher.go `compile`).

use super::class::{Class, Unit, next};

/// One pattern, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// The path is this text.
    Exact(Vec<u8>),
    /// The path starts with this text: `x/**`.
    Prefix(Vec<u8>),
    /// The path ends with this text, or is it without its leading slash: `**/x`, `**x`.
    Suffix(Vec<u8>),
    /// Anything else.
    Tokens(Vec<Token>),
}

/// A step of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// This character.
    Literal(Unit),
    /// `?`: any character but a slash.
    Any,
    /// `[…]`.
    Class(Class),
    /// `*`: any text without a slash.
    Star,
    /// `**` before other things: nothing, or any text that ends in a slash. Goes on with `ToSlash` or behind it.
    Levels,
    /// The second half of `Levels`: any text up to and including some slash.
    ToSlash,
    /// `**` at the end: any text.
    Rest,
}

impl Pattern {
    /// Compiles a cleaned pattern. `None` if Go's `filepath.Match` calls its syntax wrong.
    pub(super) fn compile(pattern: &[u8]) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut literal = Vec::new();
        let mut special = false;
        let mut leading = None;
        let mut rest = pattern;
        while let Some((unit, behind)) = next(rest) {
            let consumed = &rest[..rest.len() - behind.len()];
            match consumed {
                b"*" if behind.first() == Some(&b'*') => {
                    let behind = &behind[1..];
                    let eaten = behind.strip_prefix(b"/").unwrap_or(behind);
                    if rest.len() == pattern.len() {
                        leading = Some(behind);
                    } else if eaten.is_empty() && !special && leading.is_none() {
                        return Some(Self::Prefix(literal));
                    } else {
                        special = true;
                    }
                    if eaten.is_empty() {
                        tokens.push(Token::Rest);
                    } else {
                        tokens.extend([Token::Levels, Token::ToSlash]);
                    }
                    rest = eaten;
                    continue;
                }
                b"*" => {
                    special = true;
                    tokens.push(Token::Star);
                }
                b"?" => {
                    special = true;
                    tokens.push(Token::Any);
                }
                b"[" => {
                    special = true;
                    let (class, behind) = Class::parse(behind)?;
                    tokens.push(Token::Class(class));
                    rest = behind;
                    continue;
                }
                b"\\" => {
                    special = true;
                    let (unit, behind) = next(behind)?;
                    tokens.push(Token::Literal(unit));
                    rest = behind;
                    continue;
                }
                _ => {
                    literal.extend_from_slice(consumed);
                    tokens.push(Token::Literal(unit));
                }
            }
            rest = behind;
        }
        Some(match leading {
            _ if special => Self::Tokens(tokens),
            Some(suffix) => Self::Suffix(suffix.to_vec()),
            None => Self::Exact(pattern.to_vec()),
        })
    }

    /// Whether it matches exactly this path; parents are not looked at.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(text) => path == text,
            Self::Prefix(text) => path.starts_with(text),
            Self::Suffix(text) => {
                path.ends_with(text) || text.strip_prefix(b"/").is_some_and(|text| path == text)
            }
            Self::Tokens(tokens) => run(tokens, path),
        }
    }
}

/// Runs the tokens over the path, all ways at once: `here[i]` says that token i may be next.
fn run(tokens: &[Token], path: &[u8]) -> bool {
    let mut here = vec![false; tokens.len() + 1];
    let mut there = vec![false; tokens.len() + 1];
    enter(tokens, &mut here, 0);
    let mut rest = path;
    while let Some((unit, behind)) = next(rest) {
        let slash = unit == Unit::from(b'/');
        there.fill(false);
        for (index, token) in tokens.iter().enumerate().filter(|(index, _)| here[*index]) {
            match token {
                Token::Literal(literal) if *literal == unit => enter(tokens, &mut there, index + 1),
                Token::Any if !slash => enter(tokens, &mut there, index + 1),
                Token::Class(class) if class.contains(unit) => enter(tokens, &mut there, index + 1),
                Token::Star if !slash => enter(tokens, &mut there, index),
                Token::Rest => enter(tokens, &mut there, index),
                Token::ToSlash => {
                    enter(tokens, &mut there, index);
                    if slash {
                        enter(tokens, &mut there, index + 1);
                    }
                }
                _ => {}
            }
        }
        std::mem::swap(&mut here, &mut there);
        if !here.contains(&true) {
            return false;
        }
        rest = behind;
    }
    here[tokens.len()]
}

/// Marks a token as possibly next, and those behind it that it lets through without a character.
fn enter(tokens: &[Token], state: &mut [bool], mut index: usize) {
    while !std::mem::replace(&mut state[index], true) {
        match tokens.get(index) {
            Some(Token::Star | Token::Rest) => index += 1,
            Some(Token::Levels) => {
                state[index + 1] = true;
                index += 2;
            }
            _ => return,
        }
    }
}
