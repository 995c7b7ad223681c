//! ExposeInvalidFormat: an address or a port of the host means nothing in EXPOSE.

use super::{Linter, Rule, Site};
use crate::ast::Span;

pub(crate) static RULE: Rule = Rule::new(
    "ExposeInvalidFormat",
    "expose-invalid-format",
    "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future \
     release",
);

/// Looks at one port of EXPOSE, expanded.
pub fn check(port: &str, span: Span, site: &Site, linter: &mut Linter) {
    // `ip:host:container`; `:container` has neither address nor port of the host.
    let before = port.rsplit_once(':').map_or("", |(before, _)| before);
    if !before.is_empty() {
        let message = format!(
            "EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
        );
        linter.report(site, &RULE, message, span);
    }
}
