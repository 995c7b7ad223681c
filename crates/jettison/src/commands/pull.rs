//! `jettison pull`: an image from a registry into the store.

use std::process::ExitCode;

use jettison_oci::Platform;

use super::{names, print};
use crate::args::{self, Pull};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::progress;

pub(crate) fn run(args: &Pull, environment: &Environment) -> Result<ExitCode, Failure> {
    let reference = names::reference(&args.image)?;
    let platform = match &args.platform {
        Some(text) => text.parse().map_err(Failure::usage)?,
        None => Platform::host(),
    };
    let store = environment.store()?;
    let registry = environment.registry()?;
    let _in_use = store.use_shared()?;
    let images = environment.images(&store, &registry);
    let mode = if args.quiet { args::Progress::Quiet } else { args::Progress::Auto };
    let name = format!("pull {}", reference.familiar());
    let image = progress::transfer(mode, "Pulling", &name, |progress| {
        let image = images.resolve(&reference, &platform, true)?;
        if args.unpack {
            images.unpack(&image, progress)?;
        }
        images.fetch(&image, progress)?;
        store.tag(&reference, &image.descriptor)?;
        Ok(image)
    })?;
    print(&format!("{}\n", image.descriptor.digest))
}
