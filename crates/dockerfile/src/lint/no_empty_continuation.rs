//! NoEmptyContinuation: an empty line in the middle of an instruction. BuildKit places it at the last line.

use super::{Linter, Rule, Site};
use crate::ast::EmptyLine;

pub(crate) static RULE: Rule = Rule::new(
    "NoEmptyContinuation",
    "no-empty-continuation",
    "Empty continuation lines will become errors in a future release",
);

pub(crate) fn check(empty_line: Option<EmptyLine>, site: &Site, linter: &mut Linter) {
    if let Some(EmptyLine { span, last }) = empty_line {
        linter.report(&site.moved_to(last), &RULE, "Empty continuation line".to_owned(), span);
    }
}
