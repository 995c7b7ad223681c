//! JSONArgsRecommended: in shell form the shell is process 1 and keeps signals to itself. Whoever sets SHELL means it.

use super::{Linter, Rule, Site};
use crate::ast::{Command, Span};

pub(crate) static RULE: Rule = Rule::new(
    "JSONArgsRecommended",
    "json-args-recommended",
    "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
);

/// Looks at CMD or ENTRYPOINT, whose keyword is `keyword`; `shell_is_set`: SHELL stands above, or comes from the base.
pub fn check(keyword: (&str, Span), command: &Command, shell_is_set: bool, site: &Site, linter: &mut Linter) {
    if matches!(command, Command::Shell(_)) && !shell_is_set {
        let message = format!(
            "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
            keyword.0
        );
        linter.report(site, &RULE, message, keyword.1);
    }
}
