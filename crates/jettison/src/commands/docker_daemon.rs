//! `--load`: hands the result to a Docker daemon through its own client, for people who go on working with docker.
//!
//! The image is in jettison's store in any case; this is the only place that needs docker, and it says so.

use std::process::{Command, Stdio};

use jettison_engine::{ArchiveFormat, ArchiveImage, BuildOutcome, Destination, write_tar};
use jettison_oci::{Reference, time::DEFAULT_EPOCH_SECONDS};
use jettison_store::Store;

use crate::failure::{Failure, Kind};

pub(super) fn load(store: &Store, names: &[Reference], outcome: &BuildOutcome) -> Result<(), Failure> {
    let Some(image) = &outcome.image else { return Ok(()) };
    let manifest = serde_json::from_slice(&store.read_blob(&image.manifest.digest, 16 << 20)?)
        .map_err(|e| Failure::new(Kind::Image, e))?;
    let descriptor = image.manifest.clone();
    let image =
        ArchiveImage { manifests: vec![(descriptor.clone(), manifest)], descriptor, names: names.to_vec() };
    let scratch = store.scratch_dir()?;
    let path = scratch.path().join("image.tar");
    let destination = Destination::Path(path.clone());
    write_tar(store, &[image], ArchiveFormat::Docker, &destination, DEFAULT_EPOCH_SECONDS)?;
    let archive = std::fs::File::open(&path).map_err(|e| Failure::io("open", path.display(), &e))?;
    let failed = |reason: String| {
        Failure::new(Kind::Environment, format!("--load: {reason}"))
            .hint("the image is in jettison's store; without --load no Docker is needed")
    };
    let output = Command::new("docker")
        .arg("load")
        .stdin(archive)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|e| failure_to_start(&e, &failed))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(format!("docker load: {}", said.trim().lines().next_back().unwrap_or("failed"))))
}

fn failure_to_start(error: &std::io::Error, failed: &dyn Fn(String) -> Failure) -> Failure {
    match error.kind() {
        std::io::ErrorKind::NotFound => failed("there is no docker program".to_owned()),
        _ => failed(format!("cannot start docker: {error}")),
    }
}
