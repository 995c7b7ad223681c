//! EXPOSE and VOLUME: lists of words.

use super::Reader;
use crate::ast::Word;
use crate::lex::json::{self, Json};
use crate::lex::{Fragment, words};

pub(super) fn read_expose(reader: &mut Reader<'_>) -> Option<Vec<Word>> {
    let flags = reader.no_flags();
    let ports = separated(reader.statement.arguments());
    if ports.is_empty() {
        reader.arguments_error("requires at least one argument");
        return None;
    }
    flags.map(|()| ports)
}

pub(super) fn read_volume(reader: &mut Reader<'_>) -> Option<Vec<Word>> {
    let flags = reader.no_flags();
    let volumes = list(reader)?;
    if volumes.is_empty() {
        reader.arguments_error("requires at least one argument");
        return None;
    }
    if let Some(empty) = volumes.iter().find(|volume| volume.value.trim().is_empty()) {
        let message = "VOLUME specified can not be an empty string";
        reader.error("arguments", message, empty.span);
        return None;
    }
    let trimmed = |word: Word| Word { value: word.value.trim().to_owned(), ..word };
    flags.map(|()| volumes.into_iter().map(trimmed).collect())
}

/// The arguments as a JSON array or as words between blanks; `None` if it is an array of other things.
pub(super) fn list(reader: &mut Reader<'_>) -> Option<Vec<Word>> {
    let arguments = reader.statement.arguments();
    match json::read(arguments) {
        Json::Strings(words) => Some(words),
        Json::No => Some(separated(arguments)),
        Json::NotStrings => {
            reader.not_strings();
            None
        }
    }
}

fn separated(text: Fragment<'_>) -> Vec<Word> {
    words::blank_separated(text).iter().map(Fragment::word).collect()
}
