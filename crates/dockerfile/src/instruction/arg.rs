//! ARG: names, some with a default. Flags are not looked at, as in BuildKit.

use super::Reader;
use crate::ast::{ArgItem, Word};
use crate::lex::{Fragment, words};

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Vec<ArgItem>> {
    let words = words::quoted(reader.statement.arguments(), reader.escape);
    if words.is_empty() {
        reader.arguments_error("requires at least one argument");
        return None;
    }
    let mut items = Vec::with_capacity(words.len());
    for word in words {
        let (name, default) = match split(word) {
            None => (word.word(), None),
            Some((name, value)) => (name, Some(value)),
        };
        if name.value.is_empty() {
            reader.error("blank-name", "ARG names can not be blank", name.span);
            return None;
        }
        items.push(ArgItem { name, default });
    }
    Some(items)
}

/// Splits `name=value` at the first `=`.
pub(super) fn split(word: Fragment<'_>) -> Option<(Word, Word)> {
    let at = word.text().find('=')?;
    Some((word.part(0..at).word(), word.from(at + 1).word()))
}
