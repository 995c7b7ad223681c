//! `jettison save`: images to an archive.

use std::io::IsTerminal;
use std::process::ExitCode;

use jettison_engine::{ArchiveFormat, ArchiveImage, Destination, write_tar};
use jettison_oci::{AnyManifest, Platform, Reference, time::DEFAULT_EPOCH_SECONDS};

use super::names;
use crate::args::{Format, Save};
use crate::environment::Environment;
use crate::failure::{Failure, Kind};

pub(crate) fn run(args: &Save, environment: &Environment) -> Result<ExitCode, Failure> {
    let destination = match &args.output {
        Some(path) if path.as_os_str() != "-" => Destination::Path(path.clone()),
        _ if std::io::stdout().is_terminal() => {
            return Err(
                Failure::usage("an archive does not belong on a terminal").hint("use -o FILE, or a pipe")
            );
        }
        _ => Destination::Stdout,
    };
    let store = environment.store()?;
    let registry = environment.registry()?;
    let _in_use = store.use_shared()?;
    let images = environment.images(&store, &registry);
    let mut list: Vec<ArchiveImage> = Vec::new();
    for text in &args.images {
        let (name, descriptor) = names::find(&store, text)?;
        let anonymous: Reference = "image".parse().expect("a valid name");
        let label = name.clone().unwrap_or(anonymous);
        let bytes = store.read_blob(&descriptor.digest, 16 << 20)?;
        let platform = match AnyManifest::parse(&descriptor.media_type, &bytes) {
            Ok(AnyManifest::Image(manifest)) => {
                let config: jettison_oci::ImageConfig =
                    serde_json::from_slice(&store.read_blob(&manifest.config.digest, 16 << 20)?)
                        .map_err(|e| Failure::new(Kind::Image, format!("{text}: {e}")))?;
                config.platform()
            }
            _ => Platform::host(),
        };
        let image = images.from_store(&label, &descriptor, &platform)?.ok_or_else(|| {
            Failure::new(Kind::Image, format!("{text}: not all of it is in the store"))
                .hint("`jettison pull` it")
        })?;
        match list.iter_mut().find(|i| i.descriptor.digest == image.descriptor.digest) {
            Some(same) => same.names.extend(name),
            None => list.push(ArchiveImage {
                descriptor: image.descriptor.clone(),
                manifests: vec![(image.descriptor, image.manifest)],
                names: name.into_iter().collect(),
            }),
        }
    }
    let format = match args.format {
        Format::Docker => ArchiveFormat::Docker,
        Format::Oci => ArchiveFormat::Oci,
    };
    write_tar(&store, &list, format, &destination, DEFAULT_EPOCH_SECONDS)?;
    Ok(ExitCode::SUCCESS)
}
