//! `jettison du`: what takes how much disk space.

use std::process::ExitCode;

use super::print;
use crate::args::Du;
use crate::bytes::{for_people, table};
use crate::environment::Environment;
use crate::failure::Failure;

pub(crate) fn run(_args: &Du, environment: &Environment) -> Result<ExitCode, Failure> {
    let store = environment.store()?;
    let usage = store.du()?;
    let row = |kind: &str, count: String, bytes: u64| [kind.to_owned(), count, for_people(bytes)];
    let total = usage.blobs_bytes + usage.snapshots_bytes + usage.caches_bytes + usage.temporary_bytes;
    print(&table(&[
        ["KIND", "COUNT", "SIZE"].map(str::to_owned),
        row("blobs", usage.blobs.to_string(), usage.blobs_bytes),
        row("unpacked layers and build cache", usage.snapshots.to_string(), usage.snapshots_bytes),
        row("cache mounts", String::new(), usage.caches_bytes),
        row("temporary", String::new(), usage.temporary_bytes),
        row("total", String::new(), total),
    ]))
}
