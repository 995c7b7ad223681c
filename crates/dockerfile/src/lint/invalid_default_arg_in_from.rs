//! InvalidDefaultArgInFrom: without any `--build-arg` FROM would name no image.

use super::{Linter, Rule, Site};
use crate::ast::Word;

pub(crate) static RULE: Rule = Rule::new(
    "InvalidDefaultArgInFrom",
    "invalid-default-arg-in-from",
    "Default value for global ARG results in an empty or invalid base image name",
);

/// Reports an image name that is none with the defaults alone.
pub fn report(image: &Word, site: &Site, linter: &mut Linter) {
    let message =
        format!("Default value for ARG {} results in empty or invalid base image name", image.value);
    linter.report(site, &RULE, message, image.span);
}
