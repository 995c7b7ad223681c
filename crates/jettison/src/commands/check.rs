//! `jettison check`, and `jettison build --check`: what the checks find, without building.
//!
//! Ends with 1 if they find anything, as buildx does, and with 3 if the Dockerfile cannot be built at all. Configs of
//! base images come from the store or a registry; one that cannot be had makes the check know less, and that is said.

use std::process::ExitCode;

use jettison_engine::{BuildRequest, Error, Images, check};
use jettison_oci::ImageConfig;
use jettison_plan::Image;
use jettison_registry::Client;
use jettison_store::Store;

use super::{call, print};
use crate::args::{Check, CheckFormat};
use crate::call::{Call, Method};
use crate::environment::{self, Environment};
use crate::failure::{Failure, Kind, text_with_places};
use crate::report;
use crate::snippet::Source;

pub(crate) fn run(args: &Check, environment: &Environment) -> Result<ExitCode, Failure> {
    let call = match Call::of(&args.build)? {
        Some(call) if call.method != Method::Check => {
            return Err(Failure::usage("check takes no other --call").hint("`jettison build` does"));
        }
        Some(call) => call,
        None => Call { format: args.format, ..Call::new(Method::Check) },
    };
    call::run(&args.build, call, args.offline, environment)
}

pub(super) fn carry_out(
    request: &BuildRequest,
    call: Call,
    offline: bool,
    environment: &Environment,
) -> Result<ExitCode, Failure> {
    let mut bases = Bases { environment, offline, request, opened: None };
    let checked = check(request, &mut |image| bases.config_of(image))?;
    let text = text_with_places(&request.dockerfile.text);
    let source = Source::new(&request.dockerfile.name, &text);
    let failed = !checked.errors.is_empty();
    match call.format {
        CheckFormat::Text => {
            print(&report::text::findings(&source, &checked, environment::stdout_has_colour()))?;
        }
        CheckFormat::Json => drop(print(&report::json::document(&source, &checked))?),
        CheckFormat::Sarif => drop(print(&report::sarif::document(&source, &checked))?),
    }
    report::text::print_remarks(&source, &checked, environment::stderr_has_colour());
    if failed && call.format == CheckFormat::Text {
        let failure = Failure::of_dockerfile(checked.errors);
        failure.print(Some((source.name(), source.text())), environment::stderr_has_colour());
    }
    Ok(match (failed, checked.findings.is_empty()) {
        _ if call.ignore_status => ExitCode::SUCCESS,
        (true, _) => ExitCode::from(Kind::Dockerfile as u8),
        (false, false) => ExitCode::FAILURE,
        (false, true) => ExitCode::SUCCESS,
    })
}

/// Looks up base images. Store and registry are only opened when there is one.
struct Bases<'a> {
    environment: &'a Environment,
    offline: bool,
    request: &'a BuildRequest,
    opened: Option<(Store, Client)>,
}

impl Bases<'_> {
    fn config_of(&mut self, image: &Image) -> Result<ImageConfig, Error> {
        let (store, registry) = match self.opened.take() {
            Some(opened) => self.opened.insert(opened),
            None => {
                let opened = (self.environment.try_store()?, self.environment.try_registry()?);
                self.opened.insert(opened)
            }
        };
        let _in_use = store.use_shared()?;
        let policy = self.request.source_policy.as_deref();
        let images = Images { policy, ..self.environment.images(store, registry) };
        if let Some(descriptor) = self.request.known_images.get(&image.reference) {
            return Ok(images.known(&image.reference, descriptor, &image.platform)?.config);
        }
        if self.offline {
            let found = images.local(&image.reference, &image.platform)?;
            return found.map(|image| image.config).ok_or(Error::NoSuchImage(image.reference.familiar()));
        }
        Ok(images.resolve(&image.reference, &image.platform, self.request.pull)?.config)
    }
}
