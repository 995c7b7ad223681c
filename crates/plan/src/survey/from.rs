//! FROM lines: which arguments they use, and what they name.

use std::collections::BTreeSet;

use jettison_dockerfile::lint::{
    Linter, Site, from_platform_flag_const_disallowed, invalid_default_arg_in_from,
    redundant_target_platform, undefined_arg_in_from,
};
use jettison_dockerfile::{Dockerfile, From, Word};
use jettison_oci::{Platform, Reference};

use super::watch::{Budget, Watch};
use crate::arguments::Arguments;
use crate::environment::{Environment, Expander};
use crate::graph::Options;

/// A word of FROM, expanded: the text (`None` if that failed), and the variables it uses, set and not set.
pub(super) struct Expanded {
    pub(super) text: Option<String>,
    pub(super) found: Vec<String>,
    missing: Vec<String>,
}

pub(super) fn expand(word: &Word, global: &Environment, escape: char, budget: &Budget) -> Expanded {
    let watch = Watch::new(global, budget);
    let text = Expander { environment: &watch, escape, place: None }.word(word).ok();
    let (found, missing) = watch.into_names();
    Expanded { text, found, missing }
}

/// Looks at all FROM lines; BuildKit does so whichever stages are built.
pub(super) fn check_all(file: &Dockerfile, options: &Options, arguments: &Arguments, linter: &mut Linter) {
    let (escape, budget) = (file.directives.escape_char(), Budget::default());
    let mut declared: BTreeSet<String> = arguments.global.names().map(str::to_owned).collect();
    for item in file.global_args.iter().flat_map(|arg| &arg.items) {
        let name = expand(&item.name, &arguments.global, escape, &budget).text;
        declared.extend(name);
    }
    check_defaults(file, options, linter);
    for from in file.stages.iter().map(|stage| &stage.from) {
        let site = Site::new(from.span, &from.comments);
        let image = expand(&from.image, &arguments.global, escape, &budget);
        undefined_arg_in_from::check(&image.missing, &declared, from.image.span, &site, linter);
        if let Some(word) = &from.platform {
            let platform = expand(word, &arguments.global, escape, &budget);
            undefined_arg_in_from::check(&platform.missing, &declared, word.span, &site, linter);
            check_platform(from, word, &platform, arguments, &site, linter);
        }
    }
}

fn check_platform(
    from: &From,
    word: &Word,
    platform: &Expanded,
    arguments: &Arguments,
    site: &Site,
    linter: &mut Linter,
) {
    let Some(text) = &platform.text else { return };
    match (&platform.found[..], &platform.missing[..]) {
        ([], []) => {
            // What is no platform is an error of the build, not a finding.
            if let Ok(parsed) = text.parse::<Platform>() {
                let name = from.name.as_ref().map_or("", |name| name.value.as_str());
                from_platform_flag_const_disallowed::check(
                    (text, word.span),
                    (&parsed.os, &parsed.architecture),
                    name,
                    site,
                    linter,
                );
            }
        }
        ([only], []) if only == "TARGETPLATFORM" && arguments.global.value(only) == Some(text.as_str()) => {
            redundant_target_platform::report(word, site, linter);
        }
        _ => {}
    }
}

/// What FROM names if no build argument is given. A global scope that fails then is left alone.
fn check_defaults(file: &Dockerfile, options: &Options, linter: &mut Linter) {
    let options = Options {
        target: options.target.clone(),
        platform: options.platform.clone(),
        build_platform: options.build_platform.clone(),
        ..Options::default()
    };
    let host = Platform::host();
    let (target, build) = (options.platform.as_ref(), options.build_platform.as_ref());
    let mut errors = Vec::new();
    let defaults =
        Arguments::new(file, &options, target.unwrap_or(&host), build.unwrap_or(&host), &mut errors);
    if !errors.is_empty() {
        return;
    }
    let (escape, budget) = (file.directives.escape_char(), Budget::default());
    for from in file.stages.iter().map(|stage| &stage.from) {
        let Some(text) = expand(&from.image, &defaults.global, escape, &budget).text else { return };
        if text.parse::<Reference>().is_err() {
            let site = Site::new(from.span, &from.comments);
            invalid_default_arg_in_from::report(&from.image, &site, linter);
        }
    }
}
