//! FromPlatformFlagConstDisallowed: a constant `--platform` makes the build good for one platform only. A stage that
//! has the platform in its name is meant that way.

use super::{Linter, Rule, Site};
use crate::ast::Span;

pub(crate) static RULE: Rule = Rule::new(
    "FromPlatformFlagConstDisallowed",
    "from-platform-flag-const-disallowed",
    "FROM --platform flag should not use a constant value",
);

/// Looks at a `--platform` without variables, expanded to `platform`, which means `os` and `architecture`.
pub fn check(
    platform: (&str, Span),
    (os, architecture): (&str, &str),
    stage_name: &str,
    site: &Site,
    linter: &mut Linter,
) {
    if stage_name.contains(os) || stage_name.contains(architecture) {
        return;
    }
    let message = format!("FROM --platform flag should not use constant value {:?}", platform.0);
    linter.report(site, &RULE, message, platform.1);
}
