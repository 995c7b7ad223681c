//! `jettison rm`: names go at once; what no name needs any more goes with `prune`.

use std::process::ExitCode;

use super::{names, print};
use crate::args::Rm;
use crate::environment::Environment;
use crate::failure::Failure;

pub(crate) fn run(args: &Rm, environment: &Environment) -> Result<ExitCode, Failure> {
    let store = environment.store()?;
    // All or nothing: a mistyped name must not remove half of the others.
    let mut remove = Vec::new();
    for text in &args.images {
        match names::find(&store, text)? {
            (Some(reference), _) => remove.push(reference),
            (None, descriptor) => {
                let same = store.images()?.into_iter().filter(|r| r.descriptor.digest == descriptor.digest);
                remove.extend(same.map(|r| r.reference));
            }
        }
    }
    let mut text = String::new();
    for reference in remove {
        if store.untag(&reference)? {
            text.push_str(&format!("untagged {}\n", reference.familiar()));
        }
    }
    print(&text)
}
