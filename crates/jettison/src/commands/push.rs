//! `jettison push`: an image of the store to a registry.

use std::process::ExitCode;

use super::{names, print};
use crate::args::{self, Push};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::progress;

pub(crate) fn run(args: &Push, environment: &Environment) -> Result<ExitCode, Failure> {
    let store = environment.store()?;
    let registry = environment.registry()?;
    let _in_use = store.use_shared()?;
    let images = environment.images(&store, &registry);
    let (name, descriptor) = names::find(&store, &args.image)?;
    let destination = match (&args.destination, name) {
        (Some(text), _) => names::reference(text)?,
        (None, Some(name)) => name,
        (None, None) => {
            return Err(
                Failure::usage("a digest alone does not say where to push").hint("name the destination too")
            );
        }
    };
    let mode = if args.quiet { args::Progress::Quiet } else { args::Progress::Auto };
    let title = format!("push {}", destination.familiar());
    let digest = progress::transfer(mode, "Pushing", &title, |progress| {
        Ok(images.push(&destination, &descriptor, progress)?)
    })?;
    print(&format!("{digest}\n"))
}
