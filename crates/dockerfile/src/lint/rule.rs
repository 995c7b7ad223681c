//! What a rule is, and which there are.

/// Where BuildKit's documentation of a rule is.
const DOCUMENTATION: &str = "https://docs.docker.com/go/dockerfile/rule/";

/// One rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, as in `# check=skip=NAME`.
    pub name: &'static str,
    /// What it is about, one sentence.
    pub description: &'static str,
    /// The last part of the address of its documentation; `None` if it has none.
    pub(crate) page: Option<&'static str>,
    /// Whether it runs only if `# check=experimental=` asks for it.
    pub experimental: bool,
}

impl Rule {
    pub(crate) const fn new(name: &'static str, page: &'static str, description: &'static str) -> Self {
        Self { name, description, page: Some(page), experimental: false }
    }

    /// The address of its documentation.
    pub fn url(&self) -> Option<String> {
        self.page.map(|page| format!("{DOCUMENTATION}{page}/"))
    }
}

/// All rules, in the order of BuildKit's list.
pub static RULES: [&Rule; 22] = [
    &super::stage_name_casing::RULE,
    &super::from_as_casing::RULE,
    &super::no_empty_continuation::RULE,
    &super::consistent_instruction_casing::RULE,
    &super::duplicate_stage_name::RULE,
    &super::reserved_stage_name::RULE,
    &super::json_args_recommended::RULE,
    &super::maintainer_deprecated::RULE,
    &super::undefined_arg_in_from::RULE,
    &super::workdir_relative_path::RULE,
    &super::undefined_var::RULE,
    &super::multiple_instructions_disallowed::RULE,
    &super::legacy_key_value_format::RULE,
    &super::invalid_base_image_platform::RULE,
    &super::redundant_target_platform::RULE,
    &super::secrets_used_in_arg_or_env::RULE,
    &super::invalid_default_arg_in_from::RULE,
    &super::from_platform_flag_const_disallowed::RULE,
    &super::copy_ignored_file::RULE,
    &super::invalid_definition_description::RULE,
    &super::expose_proto_casing::RULE,
    &super::expose_invalid_format::RULE,
];
