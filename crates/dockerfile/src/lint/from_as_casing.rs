//! FromAsCasing: `FROM … AS …` or `from … as …`, not a mixture. A `From` is the matter of another rule.

use super::consistent_instruction_casing::{is_lower, is_upper};
use super::{Linter, Rule, Site};
use crate::ast::From;

pub(crate) static RULE: Rule = Rule::new(
    "FromAsCasing",
    "from-as-casing",
    "The 'as' keyword should match the case of the 'from' keyword",
);

pub(crate) fn check(from: &From, site: &Site, linter: &mut Linter) {
    let Some(word) = &from.as_keyword else { return };
    let (keyword, written) = (from.keyword.value.as_str(), word.value.as_str());
    let matching =
        if is_lower(keyword) { is_lower(written) } else { !is_upper(keyword) || is_upper(written) };
    if !matching {
        let message = format!("'{written}' and '{keyword}' keywords' casing do not match");
        linter.report(site, &RULE, message, word.span);
    }
}
