//! MaintainerDeprecated: a label says it as well.

use super::{Linter, Rule, Site};
use crate::ast::Instruction;

pub(crate) static RULE: Rule = Rule::new(
    "MaintainerDeprecated",
    "maintainer-deprecated",
    "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
);

pub(crate) fn check(instruction: &Instruction, site: &Site, linter: &mut Linter) {
    let message = "Maintainer instruction is deprecated in favor of using label".to_owned();
    linter.report(site, &RULE, message, instruction.keyword);
}
