//! `jettison du`: what takes how much disk space.

use std::process::ExitCode;

use jettison_ui::bytes::for_people;
use jettison_ui::table::Table;

use super::print;
use crate::args::Du;
use crate::environment::Environment;
use crate::failure::Failure;

pub(crate) fn run(_args: &Du, environment: &Environment) -> Result<ExitCode, Failure> {
    let store = environment.store()?;
    let usage = store.du()?;
    let mut table = Table::new(["KIND", "COUNT", "SIZE"]).right(&[1, 2]);
    let mut row =
        |kind: &str, count: String, bytes: u64| table.row([kind.to_owned(), count, for_people(bytes)]);
    row("blobs", usage.blobs.to_string(), usage.blobs_bytes);
    row("unpacked layers and build cache", usage.snapshots.to_string(), usage.snapshots_bytes);
    row("cache mounts", String::new(), usage.caches_bytes);
    row("temporary", String::new(), usage.temporary_bytes);
    let total = usage.blobs_bytes + usage.snapshots_bytes + usage.caches_bytes + usage.temporary_bytes;
    row("total", String::new(), total);
    print(&table.to_string())
}
