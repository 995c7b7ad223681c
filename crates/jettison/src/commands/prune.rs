//! `jettison prune`: what no image needs goes.

use std::process::ExitCode;

use jettison_store::PruneOptions;

use super::print;
use crate::args::Prune;
use crate::environment::Environment;
use crate::failure::Failure;

/// Build cache that was used in the last week stays, unless everything is to go.
const KEEP_USED_S: i64 = 7 * 24 * 3600;

pub(crate) fn run(args: &Prune, environment: &Environment) -> Result<ExitCode, Failure> {
    let keep_bytes = match &args.keep_storage {
        None => None,
        Some(text) => Some(jettison_ui::bytes::parse(text).ok_or_else(|| {
            Failure::usage(format!("--keep-storage {text:?} is no size")).hint("write it like 5GB")
        })?),
    };
    let store = environment.store()?;
    let options = PruneOptions {
        keep_used_s: if args.all { 0 } else { KEEP_USED_S },
        keep_bytes,
        cache_mounts: args.all,
    };
    let report = store.prune(&options)?;
    print(&format!(
        "removed {} results, {} snapshots, {} blobs; freed {}\n",
        report.results,
        report.snapshots,
        report.blobs,
        jettison_ui::bytes::for_people(report.bytes)
    ))
}
