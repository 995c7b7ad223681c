//! `jettison inspect`: manifest and config, as JSON.

use std::process::ExitCode;

use jettison_oci::{AnyManifest, Platform};
use serde_json::{Value, json};

use super::{names, print};
use crate::args::Inspect;
use crate::environment::Environment;
use crate::failure::{Failure, Kind};

/// Largest document that is read, bytes.
const DOCUMENT_BYTES_MAX: u64 = 16 << 20;

pub(crate) fn run(args: &Inspect, environment: &Environment) -> Result<ExitCode, Failure> {
    let store = environment.store()?;
    let mut images = Vec::new();
    for text in &args.images {
        let (_, descriptor) = names::find(&store, text)?;
        let tags: Vec<String> = store
            .images()?
            .into_iter()
            .filter(|r| r.descriptor.digest == descriptor.digest)
            .map(|r| r.reference.familiar())
            .collect();
        let document = |digest| -> Result<Value, Failure> {
            let bytes = store.read_blob(digest, DOCUMENT_BYTES_MAX)?;
            serde_json::from_slice(&bytes).map_err(|e| Failure::new(Kind::Image, format!("{digest}: {e}")))
        };
        let manifest = document(&descriptor.digest)?;
        let bytes = store.read_blob(&descriptor.digest, DOCUMENT_BYTES_MAX)?;
        let parsed = AnyManifest::parse(&descriptor.media_type, &bytes)
            .map_err(|e| Failure::new(Kind::Image, format!("{text}: {e}")))?;
        let config = match &parsed {
            AnyManifest::Image(image) => Some(document(&image.config.digest)?),
            AnyManifest::Index(index) => match index.select(&Platform::host()) {
                Some(chosen) if store.has_blob(&chosen.digest)?.is_some() => {
                    let image: jettison_oci::Manifest = serde_json::from_value(document(&chosen.digest)?)
                        .map_err(|e| Failure::new(Kind::Image, format!("{text}: {e}")))?;
                    Some(document(&image.config.digest)?)
                }
                _ => None,
            },
        };
        images.push(json!({
            "digest": descriptor.digest,
            "mediaType": descriptor.media_type,
            "tags": tags,
            "manifest": manifest,
            "config": config,
        }));
    }
    let text = serde_json::to_string_pretty(&images).expect("a JSON value can always be written");
    print(&format!("{text}\n"))
}
