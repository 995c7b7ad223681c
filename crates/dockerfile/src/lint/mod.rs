//! Checks: what builds, but probably not as meant. One file per rule, with BuildKit's names, texts and places.
//!
//! Rules that need the text only are run by [`check_text`]. Rules that need variables, stages or images (their
//! modules are public) are called by the crate `plan`, which walks through the stages and knows those; what a rule is
//! and says is here all the same. All findings go through a [`Linter`], which obeys `# check=`.
//!
//! Source: BuildKit `frontend/dockerfile/linter/ruleset.go`, `instructions/parse.go`, `dockerfile2llb/validations.go`.
//! Deliberate differences: a finding has a narrow place ([`Finding::span`]) besides BuildKit's
//! ([`Finding::location`]), and the same finding is given once per instruction.
//!
//! Read next: `linter.rs` for what becomes of a finding, `config.rs` for `# check=`, `rule.rs` for the list of rules.

mod config;
mod linter;
mod rule;

mod consistent_instruction_casing;
pub mod copy_ignored_file;
mod duplicate_stage_name;
pub mod expose_invalid_format;
pub mod expose_proto_casing;
mod from_as_casing;
pub mod from_platform_flag_const_disallowed;
pub mod invalid_base_image_platform;
pub mod invalid_default_arg_in_from;
mod invalid_definition_description;
pub mod json_args_recommended;
pub mod legacy_key_value_format;
mod maintainer_deprecated;
pub mod multiple_instructions_disallowed;
mod no_empty_continuation;
pub mod redundant_target_platform;
mod reserved_stage_name;
pub mod secrets_used_in_arg_or_env;
mod stage_name_casing;
pub mod undefined_arg_in_from;
pub mod undefined_var;
pub mod workdir_relative_path;

pub use config::{Config, Selection};
pub use linter::{Finding, Linter, MAX_FINDINGS, Site};
pub use rule::{RULES, Rule};
pub use secrets_used_in_arg_or_env::is_secret_name;

use crate::ast::{Dockerfile, Kind};

/// Runs the rules that need nothing but the text, over the whole file.
pub fn check_text(file: &Dockerfile, linter: &mut Linter) {
    for arg in &file.global_args {
        let site = Site::new(arg.span, &arg.comments);
        no_empty_continuation::check(arg.empty_line, &site, linter);
        invalid_definition_description::check_arg(&arg.items, &arg.comments, &site, linter);
    }
    for stage in &file.stages {
        let from = &stage.from;
        let site = Site::new(from.span, &from.comments);
        no_empty_continuation::check(from.empty_line, &site, linter);
        stage_name_casing::check(from, &site, linter);
        from_as_casing::check(from, &site, linter);
        invalid_definition_description::check_from(from, &site, linter);
        for instruction in &stage.instructions {
            let site = Site::of(instruction);
            no_empty_continuation::check(instruction.empty_line, &site, linter);
            match &instruction.kind {
                Kind::Maintainer(_) => maintainer_deprecated::check(instruction, &site, linter),
                Kind::Arg(items) => {
                    invalid_definition_description::check_arg(items, &instruction.comments, &site, linter);
                }
                _ => {}
            }
        }
    }
    duplicate_stage_name::check(file, linter);
    reserved_stage_name::check(file, linter);
    consistent_instruction_casing::check(file, linter);
}
