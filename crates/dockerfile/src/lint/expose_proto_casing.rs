//! ExposeProtoCasing: protocols are written in lower case.

use super::{Linter, Rule, Site};
use crate::ast::Span;

pub(crate) static RULE: Rule = Rule::new(
    "ExposeProtoCasing",
    "expose-proto-casing",
    "Protocol in EXPOSE instruction should be lowercase",
);

/// Looks at one port of EXPOSE, expanded.
pub fn check(port: &str, span: Span, site: &Site, linter: &mut Linter) {
    let protocol = port.split_once('/').map_or("", |(_, protocol)| protocol);
    if protocol.to_lowercase() != protocol {
        let message = format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase");
        linter.report(site, &RULE, message, span);
    }
}
