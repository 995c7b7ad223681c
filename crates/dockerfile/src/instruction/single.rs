//! USER, WORKDIR, STOPSIGNAL and MAINTAINER: the whole rest of the line is one argument.

use super::Reader;
use crate::ast::Word;

/// What happens to flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flags {
    /// They are errors.
    Refused,
    /// They are dropped without a word, as BuildKit does.
    Ignored,
}

pub(super) fn read(reader: &mut Reader<'_>, flags: Flags) -> Option<Word> {
    let argument = reader.statement.arguments();
    if argument.text().is_empty() {
        reader.arguments_error("requires exactly one argument");
        return None;
    }
    if flags == Flags::Refused {
        reader.no_flags()?;
    }
    Some(argument.word())
}
