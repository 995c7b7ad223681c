//! `${…}`: defaults, alternatives, demands, prefixes, suffixes and replacements.

use super::ExpandError;
use super::lexer::Lexer;
use super::pattern::Pattern;

impl Lexer<'_> {
    /// What stands behind `${`.
    pub(super) fn braces(&mut self) -> Result<String, ExpandError> {
        match self.peek() {
            None => return Err(missing_brace()),
            Some('{' | '}' | ':') => return Err(ExpandError::new("syntax error: bad substitution")),
            Some(_) => {}
        }
        let name = self.name();
        match self.next() {
            Some('}') => match self.variable(&name) {
                Some(value) => Ok(value),
                None if self.mode.keep_unset => Ok(format!("${{{name}}}")),
                None => Ok(String::new()),
            },
            Some(':') => match self.next() {
                Some(operator @ ('-' | '+' | '?')) => self.choose(&name, operator, true),
                other => Err(unsupported(":", other)),
            },
            Some(operator @ ('-' | '+' | '?')) => self.choose(&name, operator, false),
            Some(operator @ ('#' | '%')) => self.trim(&name, operator),
            Some('/') => self.replace(&name),
            other => Err(unsupported("", other)),
        }
    }

    /// `-`, `+`, `?`; with `empty_is_unset` the forms with a colon.
    fn choose(&mut self, name: &str, operator: char, empty_is_unset: bool) -> Result<String, ExpandError> {
        let word = self.operand('}', false, missing_brace)?;
        let value = self.variable(name);
        if value.is_none() && self.mode.keep_unset {
            let colon = if empty_is_unset { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{operator}{word}}}"));
        }
        let present = value.as_ref().is_some_and(|value| !(empty_is_unset && value.is_empty()));
        match operator {
            '-' => Ok(value.filter(|_| present).unwrap_or(word)),
            '+' => Ok(if present { word } else { String::new() }),
            _ if present => Ok(value.unwrap_or_default()),
            _ => {
                let usual = match value {
                    None => "is not allowed to be unset",
                    Some(_) => "is not allowed to be empty",
                };
                let reason = if word.is_empty() { usual } else { word.as_str() };
                Err(ExpandError::new(format!("{name}: {reason}")))
            }
        }
    }

    /// `#`, `##`, `%`, `%%`.
    fn trim(&mut self, name: &str, operator: char) -> Result<String, ExpandError> {
        let word = self.operand('}', true, missing_brace)?;
        let Some(value) = self.variable(name) else {
            let kept = format!("${{{name}{operator}{word}}}");
            return Ok(if self.mode.keep_unset { kept } else { String::new() });
        };
        let (longest, text) = match word.strip_prefix(operator) {
            Some(rest) => (true, rest),
            None => (false, word.as_str()),
        };
        let pattern = Pattern::parse(text)?;
        if operator == '#' { pattern.trim_start(&value, longest) } else { pattern.trim_end(&value, longest) }
    }

    /// `/` and `//`.
    fn replace(&mut self, name: &str) -> Result<String, ExpandError> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let missing_slash = || ExpandError::new("syntax error: missing '/' in ${}");
        let text = self.operand('/', true, missing_slash)?;
        let replacement = self.operand('}', true, missing_brace)?;
        let Some(value) = self.variable(name) else {
            // BuildKit forgets the second slash here; the text is only looked at for heredocs.
            let kept = format!("${{{name}/{text}/{replacement}}}");
            return Ok(if self.mode.keep_unset { kept } else { String::new() });
        };
        Pattern::parse(&text)?.replace(&value, &replacement, all)
    }

    /// A nested text up to `stop`. Whatever went wrong, if it went wrong at the end, the end is what is wrong.
    fn operand(
        &mut self,
        stop: char,
        raw_escapes: bool,
        at_end: impl Fn() -> ExpandError,
    ) -> Result<String, ExpandError> {
        match self.until(Some(stop), raw_escapes) {
            Ok(output) => Ok(output.text),
            Err(_) if self.peek().is_none() => Err(at_end()),
            Err(error) => Err(error),
        }
    }
}

fn missing_brace() -> ExpandError {
    ExpandError::new("syntax error: missing '}'")
}

fn unsupported(before: &str, operator: Option<char>) -> ExpandError {
    match operator {
        None => missing_brace(),
        Some(c) => ExpandError::new(format!("unsupported modifier ({before}{c}) in substitution")),
    }
}
