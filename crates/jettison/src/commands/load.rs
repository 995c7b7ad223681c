//! `jettison load`: images from an archive or an OCI layout folder.

use std::fs::File;
use std::process::ExitCode;

use super::print;
use crate::args::Load;
use crate::environment::Environment;
use crate::failure::Failure;

pub(crate) fn run(args: &Load, environment: &Environment) -> Result<ExitCode, Failure> {
    let store = environment.store()?;
    let _in_use = store.use_shared()?;
    let loaded = match &args.input {
        Some(path) if path.as_os_str() != "-" => {
            let file = File::open(path).map_err(|e| Failure::io("open", path.display(), &e))?;
            if file.metadata().is_ok_and(|m| m.is_dir()) {
                jettison_engine::load_folder(&store, &file.into())?
            } else {
                jettison_engine::load(&store, file)?
            }
        }
        _ => jettison_engine::load(&store, std::io::stdin())?,
    };
    let mut text = String::new();
    for image in loaded {
        let digest = &image.descriptor.digest;
        if args.quiet {
            text.push_str(&format!("{digest}\n"));
        } else if image.names.is_empty() {
            text.push_str(&format!("loaded {digest}\n"));
        } else {
            for name in &image.names {
                text.push_str(&format!("loaded {} {digest}\n", name.familiar()));
            }
        }
    }
    print(&text)
}
