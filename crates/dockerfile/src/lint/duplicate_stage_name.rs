//! DuplicateStageName: of two stages with one name only the last can be referred to.

use std::collections::HashSet;

use super::{Linter, Rule, Site};
use crate::ast::Dockerfile;

pub(crate) static RULE: Rule =
    Rule::new("DuplicateStageName", "duplicate-stage-name", "Stage names should be unique");

pub(crate) fn check(file: &Dockerfile, linter: &mut Linter) {
    let mut seen = HashSet::new();
    for from in file.stages.iter().map(|stage| &stage.from) {
        let Some(name) = &from.name else { continue };
        if !seen.insert(name.value.as_str()) {
            let message = format!("Duplicate stage name {:?}, stage names should be unique", name.value);
            linter.report(&Site::new(from.span, &from.comments), &RULE, message, name.span);
        }
    }
}
