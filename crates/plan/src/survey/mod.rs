//! A walk through the stages that changes nothing and needs no image: it finds what checks find ([`survey`]), and
//! which arguments, secrets and agents a target takes ([`Outline`]).
//!
//! It is not the planner: it goes on where the planner stops, knows words that the planner does not keep, and takes
//! time that grows with the file only, however stages are chained (`scope.rs`). The rules themselves are in
//! `jettison_dockerfile::lint`; here is what they are told.
//!
//! A base image that nobody could look at is told apart: its variables are not known then, so that in stages on it
//! no variable is called undefined ([`bases`] says which images are wanted).
//!
//! Read next: `from.rs` for FROM lines, `stage.rs` for instructions, `scope.rs` for variables, `outline.rs`.

mod from;
mod outline;
mod scope;
mod stage;
mod watch;

use std::collections::BTreeSet;

use jettison_dockerfile::ignore::Patterns;
use jettison_dockerfile::lint::{Config, Linter};
use jettison_dockerfile::{Diagnostic, Dockerfile, Span, suggest};
use jettison_oci::Platform;

pub use outline::{Agent, Argument, Outline, Secret};

use crate::arguments::Arguments;
use crate::graph::{Image, Options};
use crate::images::Images;
use crate::reach::reach;
use crate::resolve::{Base, Names};
use scope::Scope;
use stage::Parameters;

/// The build argument that takes the place of `# check=`.
const CHECK_ARGUMENT: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// Which stages are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stages {
    /// Those that the target needs, as in a build.
    Needed,
    /// All of them.
    All,
}

/// What a survey needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Survey<'a> {
    /// The Dockerfile.
    pub file: &'a Dockerfile,
    /// The caller's options.
    pub options: &'a Options,
    /// Configs of base images, as far as they are known.
    pub images: &'a Images,
    /// What the build context leaves out; `None` if it has no ignore file, or there is no context.
    pub ignore: Option<&'a Patterns>,
    /// Which stages to look at.
    pub stages: Stages,
}

/// A linter as `# check=` or the build argument `BUILDKIT_DOCKERFILE_CHECK` wants it, and remarks about names of rules
/// that there are not.
///
/// # Errors
/// That the configuration cannot be read, with its place.
pub fn linter(file: &Dockerfile, options: &Options) -> Result<(Linter, Vec<Diagnostic>), Diagnostic> {
    let argument = options.build_args.iter().rev().find(|(name, _)| name == CHECK_ARGUMENT);
    let (text, span) = match (argument, &file.directives.check) {
        (Some((_, value)), _) => (value.as_str(), Span::default()),
        (None, Some(word)) => (word.value.as_str(), word.span),
        (None, None) => return Ok((Linter::default(), Vec::new())),
    };
    let config = Config::parse(text).map_err(|reason| {
        Diagnostic::error("check", format!("failed to parse check options: {reason}"), span)
            .with_hint("for example: skip=UndefinedVar,StageNameCasing;error=true")
    })?;
    let rules = || jettison_dockerfile::lint::RULES.iter().map(|rule| rule.name);
    let unknown = |name: &str| {
        let remark = Diagnostic::warning("unknown-check", format!("there is no check named {name:?}"), span);
        match suggest::nearest(name, rules()) {
            Some(near) => remark.with_hint(format!("did you mean {near}?")),
            None => remark,
        }
    };
    let remarks = config.unknown_rules().map(unknown).collect();
    Ok((Linter::new(config), remarks))
}

/// The base images of the stages that a survey looks at, each once.
pub fn bases(file: &Dockerfile, options: &Options, stages: Stages) -> Vec<Image> {
    let arguments = arguments(file, options);
    let names = names(file, options, &arguments);
    let mut wanted = BTreeSet::new();
    for index in selected(file, &names, stages) {
        if let Ok(Base::Image(reference, platform)) = names.base(index) {
            wanted.insert(Image { reference, platform, span: file.stages[index].from.image.span });
        }
    }
    // Sorted by name and platform first: of several places the first is kept.
    let mut images: Vec<Image> = Vec::new();
    for image in wanted {
        let same = |last: &Image| last.reference == image.reference && last.platform == image.platform;
        if !images.last().is_some_and(same) {
            images.push(image);
        }
    }
    images
}

/// Runs every rule that needs variables, stages or images; see [`jettison_dockerfile::lint::check_text`] for the rest.
pub fn survey(survey: &Survey<'_>, linter: &mut Linter) {
    walk(survey, linter, |_, _| {});
}

/// What the target takes.
///
/// # Errors
/// That there is no such target.
pub fn outline(file: &Dockerfile, options: &Options, images: &Images) -> Result<Outline, Diagnostic> {
    let arguments = arguments(file, options);
    let target = names(file, options, &arguments).target()?;
    let survey = Survey { file, options, images, ignore: None, stages: Stages::Needed };
    let mut stages = Vec::new();
    walk(&survey, &mut Linter::default(), |index, parameters| stages.push((index, parameters)));
    Ok(outline::outline(file, &arguments, target, stages))
}

/// Looks at FROM lines in order, then at the stages: each directly after the one that it is based on, so that what
/// they have in common is never copied.
fn walk(survey: &Survey<'_>, linter: &mut Linter, mut done: impl FnMut(usize, Parameters)) {
    let Survey { file, options, stages, .. } = *survey;
    let arguments = arguments(file, options);
    let names = names(file, options, &arguments);
    from::check_all(file, options, &arguments, linter);
    let wanted = selected(file, &names, stages);
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); file.stages.len()];
    let mut roots = Vec::new();
    for index in wanted.iter().rev() {
        match names.base(*index) {
            Ok(Base::Stage(base)) => children[base].push(*index),
            _ => roots.push(*index),
        }
    }
    let mut walk = stage::Walk::new(survey, &arguments, &names, linter);
    let mut scope = Scope::default();
    for root in roots.into_iter().rev() {
        let mut pending = vec![Visit::Enter(root)];
        while let Some(visit) = pending.pop() {
            match visit {
                Visit::Enter(index) => {
                    pending.push(Visit::Leave(scope.mark()));
                    done(index, walk.stage(index, &mut scope));
                    pending.extend(children[index].iter().map(|child| Visit::Enter(*child)));
                }
                Visit::Leave(mark) => scope.back_to(mark),
            }
        }
    }
}

enum Visit {
    Enter(usize),
    Leave(scope::Mark),
}

/// The global scope. What is wrong with it is the planner's to say.
fn arguments(file: &Dockerfile, options: &Options) -> Arguments {
    let build_platform = options.build_platform.clone().unwrap_or_else(Platform::host);
    Arguments::new(file, options, &platform(options), &build_platform, &mut Vec::new())
}

fn names<'a>(file: &'a Dockerfile, options: &'a Options, arguments: &'a Arguments) -> Names<'a> {
    Names::new(file, options, arguments, platform(options))
}

fn platform(options: &Options) -> Platform {
    options.platform.clone().unwrap_or_else(Platform::host)
}

/// The stages to look at, ascending. An unknown target is the planner's to report.
fn selected(file: &Dockerfile, names: &Names<'_>, stages: Stages) -> BTreeSet<usize> {
    match (stages, names.target()) {
        (Stages::Needed, Ok(target)) => reach(file, names, target),
        _ => (0..file.stages.len()).collect(),
    }
}
