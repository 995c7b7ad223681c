//! UndefinedVar: a variable that neither ARG nor ENV nor the base image defines.

use super::{Linter, Rule, Site};
use crate::ast::Span;
use crate::suggest;

pub(crate) static RULE: Rule =
    Rule::new("UndefinedVar", "undefined-var", "Variables should be defined before their use");

/// Takes a variable that is not defined where `span` uses it; `known` are the names that are.
pub fn check<'a>(
    name: &str,
    known: impl Iterator<Item = &'a str>,
    span: Span,
    site: &Site,
    linter: &mut Linter,
) {
    let mut message = format!("Usage of undefined variable '${name}'");
    if let Some(near) = suggest::nearest(name, known) {
        message += &format!(" (did you mean ${near}?)");
    }
    linter.report(site, &RULE, message, span);
}
