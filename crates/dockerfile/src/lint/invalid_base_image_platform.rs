//! InvalidBaseImagePlatform: the base image is for another platform than the build.

use super::{Linter, Rule, Site};
use crate::ast::Span;

pub(crate) static RULE: Rule = Rule {
    page: None,
    ..Rule::new("InvalidBaseImagePlatform", "", "Base image platform does not match expected target platform")
};

/// Reports that `image` is for `actual`, not for `expected`.
pub fn report(image: &str, expected: &str, actual: &str, span: Span, site: &Site, linter: &mut Linter) {
    let message = format!(
        "Base image {image} was pulled with platform {actual:?}, expected {expected:?} for current build"
    );
    linter.report(site, &RULE, message, span);
}
