//! SecretsUsedInArgOrEnv: values of ARG and ENV can be read from the image, so nothing secret belongs there.

use super::{Linter, Rule, Site};
use crate::ast::Span;

pub(crate) static RULE: Rule = Rule::new(
    "SecretsUsedInArgOrEnv",
    "secrets-used-in-arg-or-env",
    "Sensitive data should not be used in the ARG or ENV commands",
);

/// Words that make a name suspicious.
const SECRET: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];

/// Words that make it harmless again.
const HARMLESS: [&str; 3] = ["public", "file", "version"];

/// Looks at one name of ARG or ENV.
pub fn check(instruction: &str, name: &str, span: Span, site: &Site, linter: &mut Linter) {
    if is_secret_name(name) {
        let message =
            format!("Do not use ARG or ENV instructions for sensitive data ({instruction} {name:?})");
        linter.report(site, &RULE, message, span);
    }
}

/// Whether a variable of this name is likely to hold something secret.
pub fn is_secret_name(name: &str) -> bool {
    has_word(name, &SECRET) && !has_word(name, &HARMLESS)
}

/// Whether one of the words stands in `name`, between underscores or its ends.
fn has_word(name: &str, words: &[&str]) -> bool {
    name.split('_').any(|part| words.iter().any(|word| word.eq_ignore_ascii_case(part)))
}
