//! CopyIgnoredFile: COPY or ADD of something that the ignore file leaves out.

use super::{Linter, Rule, Site};
use crate::ast::Span;
use crate::ignore::Patterns;

pub(crate) static RULE: Rule = Rule::new(
    "CopyIgnoredFile",
    "copy-ignored-file",
    "Attempting to Copy file that is excluded by .dockerignore",
);

/// What copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copier {
    /// COPY.
    Copy,
    /// ADD.
    Add,
}

/// Looks at one source from the context, expanded; a path or a pattern.
pub fn check(copier: Copier, source: &str, ignore: &Patterns, span: Span, site: &Site, linter: &mut Linter) {
    if let Some(path) = ignore.leaves_nothing_of(source) {
        let verb = match copier {
            Copier::Copy => "Copy",
            Copier::Add => "Add",
        };
        let message = format!("Attempting to {verb} file {path:?} that is excluded by .dockerignore");
        linter.report(site, &RULE, message, span);
    }
}
