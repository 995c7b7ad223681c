//! RedundantTargetPlatform: `--platform=$TARGETPLATFORM` says what holds anyway.

use super::{Linter, Rule, Site};
use crate::ast::Word;

pub(crate) static RULE: Rule = Rule::new(
    "RedundantTargetPlatform",
    "redundant-target-platform",
    "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
);

/// Looks at a `--platform` of which nothing but `$TARGETPLATFORM` is left when it is expanded.
pub fn report(platform: &Word, site: &Site, linter: &mut Linter) {
    let message = format!(
        "Setting platform to predefined {} in FROM is redundant as this is the default behavior",
        platform.value
    );
    linter.report(site, &RULE, message, platform.span);
}
