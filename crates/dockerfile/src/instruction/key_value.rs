//! ENV and LABEL: `key=value …`, or the legacy `key rest of the line`.

use super::{Reader, arg};
use crate::ast::KeyValue;
use crate::lex::words;

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Vec<KeyValue>> {
    let flags = reader.no_flags();
    let arguments = reader.statement.arguments();
    let words = words::quoted(arguments, reader.escape);
    let Some(first) = words.first() else {
        reader.arguments_error("requires at least one argument");
        return None;
    };
    let pairs = if first.text().contains('=') {
        let mut pairs = Vec::with_capacity(words.len());
        for word in words {
            let Some((key, value)) = arg::split(word) else {
                let message = format!(
                    "Syntax error - can't find = in {:?}. Must be of the form: name=value",
                    word.text()
                );
                reader.error("key-value", message, word.span());
                return None;
            };
            pairs.push(KeyValue { key, value, legacy: false });
        }
        pairs
    } else {
        let (key, Some(value)) = arguments.cut_blank() else {
            reader.arguments_error("must have two arguments");
            return None;
        };
        vec![KeyValue { key: key.word(), value: value.word(), legacy: true }]
    };
    if let Some(blank) = pairs.iter().find(|pair| pair.key.value.is_empty()) {
        let message = format!("{} names can not be blank", reader.keyword);
        reader.error("blank-name", message, blank.key.span);
        return None;
    }
    flags.map(|()| pairs)
}
