//! From the text of the Dockerfile to a plan: parse, plan, fetch the configs of the images that the plan needs, and
//! again until nothing new is needed (an ONBUILD trigger may bring in further images).

use std::sync::{Mutex, PoisonError};

use jettison_dockerfile::{Diagnostic, Dockerfile, Severity};
use jettison_plan::{self as plan, Outcome, Plan};

use crate::checks;
use crate::error::Error;
use crate::event::{Event, Sink};
use crate::images::{Image, Images};
use crate::pull::each_at_once;
use crate::request::BuildRequest;

/// Rounds of planning before we call it a loop: each round needs a new image, brought by a trigger of the one before.
const ROUNDS_MAX: usize = 32;
/// Images whose manifests are asked for at the same time.
const LOOKUPS_MAX: usize = 4;

/// A plan, and the images that it needs at the positions that it uses.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) file: Dockerfile,
    pub(crate) plan: Plan,
    /// The configs that planning needed.
    pub(crate) configs: plan::Images,
    pub(crate) bases: Vec<Image>,
}

pub(crate) fn prepare(
    request: &BuildRequest,
    options: &plan::Options,
    images: Images<'_>,
    sink: &dyn Sink,
) -> Result<Prepared, Error> {
    let parsed = jettison_dockerfile::parse(&request.dockerfile.text);
    // First of all: a file for another frontend is not to be judged by our rules.
    refuse_other_frontends(&parsed.dockerfile, options)?;
    let (errors, warnings): (Vec<Diagnostic>, Vec<Diagnostic>) =
        parsed.diagnostics.into_iter().partition(|d| d.severity == Severity::Error);
    if !errors.is_empty() {
        checks::tell_of_broken(&parsed.dockerfile, options, sink);
        return Err(Error::Dockerfile(errors));
    }
    for warning in warnings {
        sink.emit(Event::Warning(warning));
    }
    let stages = &parsed.dockerfile.stages;
    let resolve =
        |wanted| resolve(request, images, wanted).map_err(|error: Error| error.with_nearest_stage(stages));
    let mut known: Vec<(plan::Image, Image)> = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let mut configs = plan::Images::default();
        for (wanted, image) in &known {
            configs.insert(wanted.reference.clone(), wanted.platform.clone(), image.config.clone());
        }
        match plan::plan(&parsed.dockerfile, options, &configs).map_err(Error::Dockerfile)? {
            Outcome::Ready(plan) => {
                let missing: Vec<_> =
                    plan.images.iter().filter(|w| find(&known, w).is_none()).cloned().collect();
                known.extend(resolve(missing)?);
                let bases = plan.images.iter().map(|wanted| {
                    find(&known, wanted).cloned().expect("every image of the plan was just resolved")
                });
                return Ok(Prepared { bases: bases.collect(), file: parsed.dockerfile, plan, configs });
            }
            Outcome::NeedsImages(wanted) => known.extend(resolve(wanted)?),
        }
    }
    Err(Error::InvalidImage {
        reference: "ONBUILD".to_owned(),
        reason: format!("triggers still ask for new images after {ROUNDS_MAX} rounds"),
    })
}

fn find<'k>(known: &'k [(plan::Image, Image)], wanted: &plan::Image) -> Option<&'k Image> {
    let same = |w: &plan::Image| w.reference == wanted.reference && w.platform == wanted.platform;
    known.iter().find(|(w, _)| same(w)).map(|(_, image)| image)
}

fn resolve(
    request: &BuildRequest,
    images: Images<'_>,
    wanted: Vec<plan::Image>,
) -> Result<Vec<(plan::Image, Image)>, Error> {
    let resolved: Mutex<Vec<(usize, Image)>> = Mutex::default();
    let numbered: Vec<(usize, &plan::Image)> = wanted.iter().enumerate().collect();
    each_at_once(&numbered, LOOKUPS_MAX, |(index, wanted)| {
        let found = match request.known_images.get(&wanted.reference) {
            Some(descriptor) => images.known(&wanted.reference, descriptor, &wanted.platform),
            None => images.resolve(&wanted.reference, &wanted.platform, request.pull),
        };
        let image = found.map_err(|error| error.for_image(&wanted.reference, wanted.span))?;
        resolved.lock().unwrap_or_else(PoisonError::into_inner).push((*index, image));
        Ok(())
    })?;
    let mut resolved = resolved.into_inner().unwrap_or_else(PoisonError::into_inner);
    resolved.sort_by_key(|(index, _)| *index);
    Ok(wanted.into_iter().zip(resolved.into_iter().map(|(_, image)| image)).collect())
}

/// `# syntax=docker/dockerfile:*` means the language that is built in; any other frontend is a program that we do not
/// run.
pub(crate) fn refuse_other_frontends(file: &Dockerfile, options: &plan::Options) -> Result<(), Error> {
    let from_argument = options.build_args.iter().rev().find(|(name, _)| name == "BUILDKIT_SYNTAX");
    let (frontend, span) = match (from_argument, &file.directives.syntax) {
        (Some((_, value)), _) => (value.as_str(), None),
        (None, Some(word)) => (word.value.as_str(), Some(word.span)),
        (None, None) => return Ok(()),
    };
    let name = frontend.split_whitespace().next().unwrap_or_default();
    let name = name.split(['@']).next().unwrap_or_default();
    let repository = name.strip_prefix("docker.io/").unwrap_or(name).split(':').next().unwrap_or_default();
    let built_in =
        matches!(repository, "" | "docker/dockerfile" | "docker/dockerfile-upstream" | "dockerfile.v0");
    if built_in {
        return Ok(());
    }
    Err(Error::Unsupported { feature: format!("the frontend {name}"), span })
}
