//! FROM: where a stage starts.

use super::flags::Takes;
use super::{Meaning, Reader};
use crate::ast::Spanned;
use crate::lex::{Fragment, words};

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Meaning> {
    let flags = reader.flags(&[("platform", Takes::Text)]);
    let words = words::blank_separated(reader.statement.arguments());
    let (as_keyword, written) = match words.as_slice() {
        [_] => (None, None),
        [_, middle, name] if middle.text().eq_ignore_ascii_case("as") => (Some(middle.word()), Some(name)),
        _ => {
            reader.error("arguments", "FROM requires either one or three arguments", reader.statement.span);
            return None;
        }
    };
    let name = match written {
        None => None,
        Some(name) => {
            let lower = name.text().to_lowercase();
            if !is_stage_name(&lower) {
                let message = format!(
                    "invalid name for build stage: {:?}, name can't start with a number or contain symbols",
                    name.text()
                );
                reader.error("stage-name", message, name.span());
                return None;
            }
            Some(Spanned { value: lower, span: name.span() })
        }
    };
    // A value of "" is the same as none.
    let platform = flags?.text("platform").filter(|platform| !platform.value.is_empty());
    let written_name = written.map(Fragment::word);
    Some(Meaning::From { platform, image: words[0].word(), as_keyword, name, written_name })
}

/// `^[a-z][a-z0-9-_.]*$`
fn is_stage_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_' | '.'))
}
