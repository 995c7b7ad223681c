//! Quotes, escapes, variables and words: one pass over a text, as BuildKit's shell/lex.go makes it.

use std::collections::HashSet;
use std::ops::Range;

use super::{Env, ExpandError, MAX_EXPANDED_BYTES, MAX_NESTING};

/// What is done with quotes, escapes and unset variables. The default is what words of instructions get.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches, named as upstream")]
pub(crate) struct Mode {
    /// Quotes work but stay in the result.
    pub(crate) raw_quotes: bool,
    /// Escapes work but stay in the result.
    pub(crate) raw_escapes: bool,
    /// Quotes are ordinary characters.
    pub(crate) literal_quotes: bool,
    /// Variables that are not set stay as written.
    pub(crate) keep_unset: bool,
}

/// A word of the result and the part of the text that it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The word.
    pub(crate) text: String,
    /// Its bytes in the text.
    pub(crate) range: Range<usize>,
}

/// A lexed text: as a whole, and split at unquoted white space.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) text: String,
    pub(crate) words: Vec<Piece>,
    word: String,
    start: usize,
    end: usize,
}

impl Output {
    /// Adds to the result; `splits` tells whether white space separates words.
    fn push(&mut self, text: &str, range: Range<usize>, splits: bool) -> Result<(), ExpandError> {
        if self.text.len() + text.len() > MAX_EXPANDED_BYTES {
            return Err(ExpandError::new(format!("expansion is longer than {MAX_EXPANDED_BYTES} bytes")));
        }
        self.text.push_str(text);
        if !splits {
            self.extend(text, &range);
            return Ok(());
        }
        for part in text.split_inclusive(char::is_whitespace) {
            let word = part.trim_end_matches(char::is_whitespace);
            self.extend(word, &range);
            if word.len() < part.len() {
                self.finish_word();
            }
        }
        Ok(())
    }

    fn extend(&mut self, text: &str, range: &Range<usize>) {
        if self.word.is_empty() {
            self.start = range.start;
        }
        if !text.is_empty() {
            self.end = range.end;
            self.word.push_str(text);
        }
    }

    fn finish_word(&mut self) {
        if !self.word.is_empty() {
            self.words.push(Piece { text: std::mem::take(&mut self.word), range: self.start..self.end });
        }
    }
}

/// The state of one pass.
pub(crate) struct Lexer<'a> {
    source: &'a str,
    at: usize,
    escape: char,
    env: &'a dyn Env,
    pub(super) mode: Mode,
    unmatched: Vec<String>,
    known_unmatched: HashSet<String>,
    nesting: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(source: &'a str, escape: char, env: &'a dyn Env, mode: Mode) -> Self {
        Self {
            source,
            at: 0,
            escape,
            env,
            mode,
            unmatched: Vec::new(),
            known_unmatched: HashSet::new(),
            nesting: 0,
        }
    }

    /// Lexes the whole text.
    pub(crate) fn run(&mut self) -> Result<Output, ExpandError> {
        self.until(None, self.mode.raw_escapes)
    }

    /// Names that were asked for and are not set.
    pub(crate) fn into_unmatched(self) -> Vec<String> {
        self.unmatched
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.source[self.at..].chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Asks for a variable, and remembers those that are not set.
    pub(super) fn variable(&mut self, name: &str) -> Option<String> {
        let value = self.env.get(name);
        if value.is_none() && self.known_unmatched.insert(name.to_owned()) {
            self.unmatched.push(name.to_owned());
        }
        value
    }

    /// Lexes up to `stop`, which is consumed, or to the end.
    pub(super) fn until(&mut self, stop: Option<char>, raw_escapes: bool) -> Result<Output, ExpandError> {
        if self.nesting >= MAX_NESTING {
            return Err(ExpandError::new(format!("substitutions are nested more than {MAX_NESTING} deep")));
        }
        self.nesting += 1;
        let outer = std::mem::replace(&mut self.mode.raw_escapes, raw_escapes);
        let result = self.until_stop(stop);
        self.mode.raw_escapes = outer;
        self.nesting -= 1;
        result
    }

    fn until_stop(&mut self, stop: Option<char>) -> Result<Output, ExpandError> {
        let mut output = Output::default();
        while let Some(c) = self.peek() {
            let start = self.at;
            if Some(c) == stop {
                self.next();
                output.finish_word();
                return Ok(output);
            }
            match c {
                '$' => {
                    let text = self.dollar().map_err(|error| error.within(start..self.at))?;
                    output.push(&text, start..self.at, true)?;
                }
                '\'' if !self.mode.literal_quotes => {
                    let text = self.single_quoted()?;
                    output.push(&text, start..self.at, false)?;
                }
                '"' if !self.mode.literal_quotes => {
                    let text = self.double_quoted()?;
                    output.push(&text, start..self.at, false)?;
                }
                '<' if !self.mode.literal_quotes => {
                    self.possible_heredoc();
                    output.push(&self.source[start..self.at], start..self.at, false)?;
                }
                _ if c == self.escape => self.escaped(&mut output)?,
                _ => {
                    self.next();
                    output.push(&self.source[start..self.at], start..self.at, true)?;
                }
            }
        }
        if let Some(stop) = stop {
            let message = format!("unexpected end of statement while looking for matching {stop}");
            return Err(ExpandError::new(message));
        }
        output.finish_word();
        Ok(output)
    }

    /// The escape character outside quotes: it goes, what it escapes stays. At the end it escapes nothing.
    fn escaped(&mut self, output: &mut Output) -> Result<(), ExpandError> {
        let start = self.at;
        self.next();
        let behind = self.at;
        self.next();
        let from = if self.mode.raw_escapes { start } else { behind };
        output.push(&self.source[from..self.at], start..self.at, false)
    }

    /// `<<` and `<<-` keep the blanks behind them, so that `<< EOF` is one word.
    fn possible_heredoc(&mut self) {
        self.next();
        if self.peek() == Some('<') {
            self.next();
            if self.peek() == Some('-') {
                self.next();
            }
            while matches!(self.peek(), Some(' ' | '\t')) {
                self.next();
            }
        }
    }

    fn single_quoted(&mut self) -> Result<String, ExpandError> {
        let start = self.at + 1;
        match self.source[start..].find('\'') {
            None => {
                Err(ExpandError::new("unexpected end of statement while looking for matching single-quote"))
            }
            Some(length) => {
                let end = start + length;
                self.at = end + 1;
                let kept = if self.mode.raw_quotes { start - 1..end + 1 } else { start..end };
                Ok(self.source[kept].to_owned())
            }
        }
    }

    fn double_quoted(&mut self) -> Result<String, ExpandError> {
        let mut text = String::new();
        let quote = if self.mode.raw_quotes { "\"" } else { "" };
        self.next();
        text.push_str(quote);
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    self.next();
                    text.push_str(quote);
                    return Ok(text);
                }
                '$' => {
                    text.push_str(&self.dollar()?);
                    if text.len() > MAX_EXPANDED_BYTES {
                        let message = format!("expansion is longer than {MAX_EXPANDED_BYTES} bytes");
                        return Err(ExpandError::new(message));
                    }
                }
                _ if c == self.escape => {
                    self.next();
                    // Raw escapes come out twice before an ordinary character, as in BuildKit: in a pattern that
                    // makes them literal.
                    text.extend(self.mode.raw_escapes.then_some(c));
                    match self.peek() {
                        None => {}
                        Some(escaped) if escaped == '"' || escaped == '$' || escaped == self.escape => {
                            text.push(escaped);
                            self.next();
                        }
                        Some(_) => text.push(c),
                    }
                }
                _ => {
                    self.next();
                    text.push(c);
                }
            }
        }
        Err(ExpandError::new("unexpected end of statement while looking for matching double-quote"))
    }

    /// `$` and what belongs to it.
    fn dollar(&mut self) -> Result<String, ExpandError> {
        self.next();
        if self.peek() == Some('{') {
            self.next();
            return self.braces();
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        match self.variable(&name) {
            Some(value) => Ok(value),
            None if self.mode.keep_unset => Ok(format!("${name}")),
            None => Ok(String::new()),
        }
    }

    /// A variable's name: a number, one special character, or letters, digits and underscores.
    pub(super) fn name(&mut self) -> String {
        let rest = &self.source[self.at..];
        let length = match rest.chars().next() {
            Some(c) if c.is_ascii_digit() => rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => {
                let part = |c: char| c.is_alphabetic() || c.is_ascii_digit() || c == '_';
                rest.find(|c: char| !part(c)).unwrap_or(rest.len())
            }
        };
        self.at += length;
        rest[..length].to_owned()
    }
}
