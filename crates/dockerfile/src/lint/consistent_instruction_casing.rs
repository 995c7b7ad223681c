//! ConsistentInstructionCasing: all keywords in upper case, or all in lower case, whichever the file mostly has.

use super::{Linter, Rule, Site};
use crate::ast::{Dockerfile, Span};

pub(crate) static RULE: Rule = Rule::new(
    "ConsistentInstructionCasing",
    "consistent-instruction-casing",
    "All commands within the Dockerfile should use the same casing (either upper or lower)",
);

pub(super) fn is_lower(word: &str) -> bool {
    word.to_lowercase() == word
}

pub(super) fn is_upper(word: &str) -> bool {
    word.to_uppercase() == word
}

pub(crate) fn check(file: &Dockerfile, linter: &mut Linter) {
    let keywords = || {
        file.stages.iter().flat_map(|stage| {
            let from = &stage.from;
            let first = (from.keyword.value.as_str(), from.keyword.span, from.span, &from.comments);
            let others = stage.instructions.iter().map(|instruction| {
                (instruction.written_keyword(), instruction.keyword, instruction.span, &instruction.comments)
            });
            std::iter::once(first).chain(others)
        })
    };
    let lower = keywords().filter(|(word, ..)| is_lower(word)).count();
    let upper = keywords().filter(|(word, ..)| !is_lower(word) && is_upper(word)).count();
    let mostly_lower = lower > upper;
    let casing = if mostly_lower { "lowercase" } else { "uppercase" };
    let report = |(word, span, location, comments): (&str, Span, Span, &Vec<String>)| {
        let message = format!("Command '{word}' should match the case of the command majority ({casing})");
        linter.report(&Site::new(location, comments), &RULE, message, span);
    };
    keywords()
        .filter(|(word, ..)| if mostly_lower { !is_lower(word) } else { !is_upper(word) })
        .for_each(report);
}
