//! WorkdirRelativePath: what a relative path means is up to the base image, unless an absolute WORKDIR stands above.

use super::{Linter, Rule, Site};
use crate::ast::Span;

pub(crate) static RULE: Rule = Rule::new(
    "WorkdirRelativePath",
    "workdir-relative-path",
    "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base \
     image changes",
);

/// Looks at the first WORKDIR of a chain of stages, expanded.
pub fn check(path: &str, span: Span, site: &Site, linter: &mut Linter) {
    if !path.starts_with('/') {
        let message =
            format!("Relative workdir {path:?} can have unexpected results if the base image changes");
        linter.report(site, &RULE, message, span);
    }
}
