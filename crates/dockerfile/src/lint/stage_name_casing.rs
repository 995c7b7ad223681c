//! StageNameCasing: stage names are compared in lower case, so they had better be written that way.

use super::{Linter, Rule, Site};
use crate::ast::From;

pub(crate) static RULE: Rule =
    Rule::new("StageNameCasing", "stage-name-casing", "Stage names should be lowercase");

pub(crate) fn check(from: &From, site: &Site, linter: &mut Linter) {
    let Some(written) = &from.written_name else { return };
    if written.value.to_lowercase() != written.value {
        let message = format!("Stage name '{}' should be lowercase", written.value);
        linter.report(site, &RULE, message, written.span);
    }
}
