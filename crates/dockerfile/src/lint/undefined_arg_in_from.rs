//! UndefinedArgInFrom: FROM sees the ARGs before the first FROM, and the predefined ones.

use std::collections::BTreeSet;

use super::{Linter, Rule, Site};
use crate::ast::Span;
use crate::suggest;

pub(crate) static RULE: Rule =
    Rule::new("UndefinedArgInFrom", "undefined-arg-in-from", "FROM command must use declared ARGs");

/// Takes the variables that have no value in a word of FROM; `declared` are all names, with a value or without.
pub fn check(missing: &[String], declared: &BTreeSet<String>, span: Span, site: &Site, linter: &mut Linter) {
    for name in missing.iter().filter(|name| !declared.contains(*name)) {
        let mut message = format!("FROM argument '{name}' is not declared");
        if let Some(near) = suggest::nearest(name, declared.iter().map(String::as_str)) {
            message += &format!(" (did you mean {near}?)");
        }
        linter.report(site, &RULE, message, span);
    }
}
