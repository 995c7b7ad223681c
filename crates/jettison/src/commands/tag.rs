//! `jettison tag`: a further name for an image.

use std::process::ExitCode;

use super::names;
use crate::args::Tag;
use crate::environment::Environment;
use crate::failure::Failure;

pub(crate) fn run(args: &Tag, environment: &Environment) -> Result<ExitCode, Failure> {
    let store = environment.store()?;
    let name = names::reference(&args.name)?;
    let (_, descriptor) = names::find(&store, &args.image)?;
    store.tag(&name, &descriptor)?;
    Ok(ExitCode::SUCCESS)
}
