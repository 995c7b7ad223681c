//! `jettison images`: what has a name here.

use std::process::ExitCode;

use jettison_oci::AnyManifest;
use jettison_store::Store;
use serde_json::json;

use super::print;
use crate::args::Images;
use crate::environment::Environment;
use crate::failure::Failure;

pub(crate) fn run(args: &Images, environment: &Environment) -> Result<ExitCode, Failure> {
    let store = environment.store()?;
    let mut rows = vec![["NAME", "DIGEST", "COMPRESSED"].map(str::to_owned)];
    let mut lines = String::new();
    for image in store.images()? {
        let digest = &image.descriptor.digest;
        let bytes = compressed_bytes(&store, &image.descriptor)?;
        if args.quiet {
            lines.push_str(&format!("{digest}\n"));
        } else if args.json {
            let name = image.reference.familiar();
            lines.push_str(&format!(
                "{}\n",
                json!({"name": name, "digest": digest, "compressedBytes": bytes})
            ));
        } else {
            rows.push([
                image.reference.familiar(),
                digest.short().to_owned(),
                crate::bytes::for_people(bytes),
            ]);
        }
    }
    if args.quiet || args.json {
        return print(&lines);
    }
    print(&crate::bytes::table(&rows))
}

/// Bytes that a pull of the image transfers.
fn compressed_bytes(store: &Store, descriptor: &jettison_oci::Descriptor) -> Result<u64, Failure> {
    let bytes = store.read_blob(&descriptor.digest, 16 << 20)?;
    Ok(match AnyManifest::parse(&descriptor.media_type, &bytes) {
        Ok(AnyManifest::Image(image)) => image.layers.iter().map(|l| l.size).sum::<u64>() + image.config.size,
        Ok(AnyManifest::Index(index)) => index.manifests.iter().map(|m| m.size).sum(),
        Err(_) => 0,
    })
}
