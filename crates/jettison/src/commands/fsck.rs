//! `jettison fsck`: whether the store is what it says, and what to do if not.

use std::process::ExitCode;

use jettison_ui::bytes::for_people;

use super::print;
use crate::args::Fsck;
use crate::environment::Environment;
use crate::failure::{Failure, Kind};

pub(crate) fn run(args: &Fsck, environment: &Environment) -> Result<ExitCode, Failure> {
    let store = environment.store()?;
    let report = store.fsck(args.repair)?;
    let mut text = String::new();
    for finding in &report.findings {
        if args.repair || !finding.can_be_mended() {
            text.push_str(&format!("{finding}: {}\n", finding.repair()));
        } else {
            text.push_str(&format!("{finding}\n"));
        }
    }
    text.push_str(&format!(
        "checked {} blobs ({}), {} snapshots, {} images\n",
        report.blobs,
        for_people(report.bytes),
        report.snapshots,
        report.images
    ));
    let done = print(&text)?;
    let found = report.findings.iter().filter(|finding| !args.repair || !finding.can_be_mended()).count();
    if found == 0 {
        return Ok(done);
    }
    let verb = if found == 1 { "thing is" } else { "things are" };
    let failure =
        Failure::new(Kind::Store, format!("{found} {verb} wrong in the store {}", store.root().display()));
    let can_mend = report.findings.iter().all(jettison_store::Finding::can_be_mended);
    Err(if can_mend {
        failure.hint("`jettison fsck --repair` mends that")
    } else {
        failure.hint("move the folder away; images are pulled and built again")
    })
}
