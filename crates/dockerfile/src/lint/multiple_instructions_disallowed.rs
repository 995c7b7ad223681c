//! MultipleInstructionsDisallowed: of several CMD, ENTRYPOINT or HEALTHCHECK in a stage only the last counts. The
//! place is that of the earlier one, for that is the one without effect.

use super::{Linter, Rule, Site};
use crate::ast::{Kind, Span};

pub(crate) static RULE: Rule = Rule::new(
    "MultipleInstructionsDisallowed",
    "multiple-instructions-disallowed",
    "Multiple instructions of the same type should not be used in the same stage",
);

/// What a stage has used so far: instruction and keyword.
#[derive(Debug, Default)]
pub struct Used {
    command: Option<(Span, Span)>,
    entry_point: Option<(Span, Span)>,
    health_check: Option<(Span, Span)>,
}

/// Looks at one instruction, whose keyword is `keyword`.
pub fn check(keyword: (&str, Span), kind: &Kind, used: &mut Used, site: &Site, linter: &mut Linter) {
    let slot = match kind {
        Kind::Cmd(_) => &mut used.command,
        Kind::Entrypoint(_) => &mut used.entry_point,
        Kind::Healthcheck(_) => &mut used.health_check,
        _ => return,
    };
    if let Some((location, span)) = slot.replace((site.location, keyword.1)) {
        let message = format!(
            "Multiple {} instructions should not be used in the same stage because only the last one will be used",
            keyword.0
        );
        linter.report(&site.moved_to(location), &RULE, message, span);
    }
}
