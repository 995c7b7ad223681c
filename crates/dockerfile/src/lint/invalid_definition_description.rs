//! InvalidDefinitionDescription (experimental): the comment above FROM or ARG describes it if it begins with its name.

use super::{Linter, Rule, Site};
use crate::ast::{ArgItem, From};

pub(crate) static RULE: Rule = Rule {
    experimental: true,
    ..Rule::new(
        "InvalidDefinitionDescription",
        "invalid-definition-description",
        "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is \
         not intended to be a description comment, add an empty line or comment between the instruction and the \
         comment.",
    )
};

pub(crate) fn check_arg(items: &[ArgItem], comments: &[String], site: &Site, linter: &mut Linter) {
    let names: Vec<&str> = items.iter().map(|item| item.name.value.as_str()).collect();
    check("ARG", &names, comments, site, linter);
}

pub(crate) fn check_from(from: &From, site: &Site, linter: &mut Linter) {
    if let Some(name) = &from.name {
        check("FROM", &[&name.value], &from.comments, site, linter);
    }
}

fn check(keyword: &str, names: &[&str], comments: &[String], site: &Site, linter: &mut Linter) {
    let (Some(comment), Some(first)) = (comments.last(), names.first()) else { return };
    let begins_with = comment.split(' ').next().unwrap_or_default();
    if names.contains(&begins_with) {
        return;
    }
    let example = if names.len() > 1 { "<arg_key>" } else { first };
    let message = format!("Comment for {keyword} should follow the format: `# {example} <description>`");
    linter.report(site, &RULE, message, site.location);
}
