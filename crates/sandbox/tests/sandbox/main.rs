//! The sandbox, tried from outside: what a step sees, may do, leaves behind, and how it ends.
//!
//! This test has its own `main`, because the sandbox starts children by re-executing the program that it is in. The
//! table of cases runs in every tier that can be had here: as we are, and (if that is root) as a plain user with
//! ranges of ids and as one with a single id. What cannot be had is skipped with the reason on standard error.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test, which clippy does not recognise as one because it has a main of its own"
)]

mod ending;
mod errors;
mod identity;
mod isolation;
mod limits;
mod modes;
mod mounts;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use jettison_sandbox::{Tier, enter, init, probe};
use world::World;

/// A case and its name.
type Case = (&'static str, fn(&World));

fn main() -> ExitCode {
    init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = modes::play(&arguments) {
        return code;
    }
    let (folder, filter) = match &arguments[..] {
        [flag, folder, filter] if flag == modes::CASES => (Some(folder.clone()), filter.clone()),
        _ => (None, arguments.into_iter().find(|text| !text.starts_with('-')).unwrap_or_default()),
    };
    let before = probe();
    // What remains to be done as a plain user has to start before we change ourselves.
    let others = if folder.is_none() { modes::as_plain_users(&filter) } else { 0 };
    let entered = enter().unwrap();
    assert_eq!(before.tier, entered.tier, "the probe promises what we then get");
    let label = format!("{:?}", entered.tier);
    if entered.tier == Tier::NoNamespaces {
        let cause = entered.reason.unwrap_or_default();
        eprintln!("skipped: {label}: {cause} (to lift: {})", entered.lift.unwrap_or_default());
        return ExitCode::from(u8::from(others > 0));
    }
    let Some(world) = World::new(entered.tier, folder.as_deref()) else { return ExitCode::SUCCESS };
    let failed = run_all(&world, &label, &filter) + others;
    ExitCode::from(u8::from(failed > 0))
}

fn run_all(world: &World, label: &str, filter: &str) -> usize {
    let tables =
        [isolation::CASES, identity::CASES, mounts::CASES, ending::CASES, errors::CASES, limits::CASES];
    let (mut passed, mut failed) = (0, Vec::new());
    for (name, case) in tables.into_iter().flatten().filter(|(name, _)| name.contains(filter)) {
        match catch_unwind(AssertUnwindSafe(|| case(world))) {
            Ok(()) => passed += 1,
            Err(_) => failed.push(*name),
        }
    }
    for name in &failed {
        println!("FAILED {label}: {name}");
    }
    println!("{label}: {passed} passed, {} failed", failed.len());
    failed.len()
}
