//! `jettison images`: what has a name here.

use std::process::ExitCode;

use jettison_oci::AnyManifest;
use jettison_store::Store;
use serde_json::json;

use jettison_ui::bytes::for_people;
use jettison_ui::table::Table;

use super::print;
use crate::args::Images;
use crate::environment::Environment;
use crate::failure::Failure;

pub(crate) fn run(args: &Images, environment: &Environment) -> Result<ExitCode, Failure> {
    let store = environment.store()?;
    let mut table = Table::new(["NAME", "DIGEST", "COMPRESSED"]).right(&[2]);
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
            table.row([image.reference.familiar(), digest.short(), for_people(bytes)]);
        }
    }
    if args.quiet || args.json {
        return print(&lines);
    }
    print(&table.to_string())
}

/// Bytes that a pull of the image transfers.
fn compressed_bytes(store: &Store, descriptor: &jettison_oci::Descriptor) -> Result<u64, Failure> {
    let bytes = store.read_blob(&descriptor.digest, 16 << 20)?;
    Ok(match AnyManifest::parse(&descriptor.media_type, &bytes) {
        Ok(AnyManifest::Image(image)) => image.packed_bytes(),
        Ok(AnyManifest::Index(index)) => index.manifests.iter().map(|m| m.size).fold(0, u64::saturating_add),
        Err(_) => 0,
    })
}
