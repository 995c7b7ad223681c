//! LegacyKeyValueFormat: `ENV key value` is easily mistaken, `ENV key=value` is not.

use super::{Linter, Rule, Site};
use crate::ast::KeyValue;

pub(crate) static RULE: Rule = Rule::new(
    "LegacyKeyValueFormat",
    "legacy-key-value-format",
    "Legacy key/value format with whitespace separator should not be used",
);

/// Looks at the pairs of ENV or LABEL, as `keyword` is written.
pub fn check(keyword: &str, pairs: &[KeyValue], site: &Site, linter: &mut Linter) {
    for pair in pairs.iter().filter(|pair| pair.legacy) {
        let message = format!(
            "\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format"
        );
        linter.report(site, &RULE, message, pair.key.span);
    }
}
