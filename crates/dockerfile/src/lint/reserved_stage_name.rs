//! ReservedStageName: `scratch` and `context` mean other things in FROM and `--from`.

use super::{Linter, Rule, Site};
use crate::ast::Dockerfile;

pub(crate) static RULE: Rule =
    Rule::new("ReservedStageName", "reserved-stage-name", "Reserved words should not be used as stage names");

pub(crate) fn check(file: &Dockerfile, linter: &mut Linter) {
    for from in file.stages.iter().map(|stage| &stage.from) {
        let Some(name) = &from.name else { continue };
        if matches!(name.value.as_str(), "scratch" | "context") {
            let message =
                format!("Stage name should not use the same name as reserved stage {:?}", name.value);
            linter.report(&Site::new(from.span, &from.comments), &RULE, message, name.span);
        }
    }
}
