//! `jettison sbom`: which packages an image holds.

use std::process::ExitCode;

use jettison_engine::{Error, Image};
use jettison_inspect::sbom::{self, Inventory, Subject};
use jettison_oci::time;
use jettison_ui::table::Table;

use super::image_source::{self, Source};
use super::{epoch, print, warn_of_gap};
use crate::args::{Sbom, SbomFormat};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::proof;

pub(crate) fn run(args: &Sbom, environment: &Environment) -> Result<ExitCode, Failure> {
    let platform = image_source::platform(args.platform.as_deref())?;
    let source = Source::open(&args.image, &platform, environment)?;
    let (name, image) = source.only(&args.image)?;
    let tree = proof::tree(&source.store, source.files(image, environment)?)?;
    let inventory = sbom::inventory(&*tree).map_err(|error| Error::Inspection(error.to_string()))?;
    for gap in &inventory.gaps {
        warn_of_gap(gap);
    }
    let subject = Subject {
        name,
        digest: &image.descriptor.digest.to_string(),
        created: &created(image)?,
        tool_version: env!("CARGO_PKG_VERSION"),
    };
    let text = match args.format {
        SbomFormat::Spdx => pretty(&sbom::spdx(&inventory, &subject)),
        SbomFormat::Cyclonedx => pretty(&sbom::cyclonedx(&inventory, &subject)),
        SbomFormat::Text => for_reading(&inventory),
    };
    match &args.output {
        Some(path) => std::fs::write(path, text)
            .map_err(|error| Failure::io("write", path.display(), &error))
            .map(|()| ExitCode::SUCCESS),
        None => print(&text),
    }
}

/// SOURCE_DATE_EPOCH, else when the image was made, else the beginning of time as builds have it.
fn created(image: &Image) -> Result<String, Failure> {
    let stated = || image.config.created.as_deref().and_then(time::parse_rfc3339);
    let seconds = epoch::of_environment()?.or_else(stated).unwrap_or(time::DEFAULT_EPOCH_SECONDS);
    Ok(time::rfc3339(seconds))
}

fn pretty(document: &serde_json::Value) -> String {
    format!("{document:#}\n")
}

fn for_reading(inventory: &Inventory) -> String {
    let mut table = Table::new(["PACKAGE", "VERSION", "KIND", "LICENCE"]);
    for package in inventory.packages.keys() {
        table.row([
            plain(&package.name),
            plain(&package.version),
            format!("{:?}", package.ecosystem).to_lowercase(),
            plain(package.license.as_deref().unwrap_or("")),
        ]);
    }
    table.to_string()
}

/// Names come from the image and may hold anything.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
