//! What a user notices: the program as a whole, run as a process against real peers.
//!
//! One binary, one module per topic. `fixture.rs` has stores, base images and registries for all of them. Tests that
//! need something this machine lacks print `skipped: REASON`; with `JETTISON_REQUIRE_ALL=1` (CI) they fail instead.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says why and ends")]

mod add_git;
mod add_url;
mod advisories;
mod advisories_git;
mod advisories_images;
mod advisories_inputs;
mod archives;
mod attestations;
mod browser;
mod build_flags;
mod cache;
mod check;
mod contexts;
mod copy_direct;
mod corpus;
mod diff;
mod errors;
mod fixture;
mod hostile;
mod language;
mod misses;
mod outputs;
mod peers;
mod platforms;
mod registry;
mod report;
mod reproducible;
mod run;
mod same_digest;
mod sbom;
mod signals;
mod slim;
mod ssh;
mod store_commands;
mod verify;
mod web;
mod why;
mod wrong_hits;
mod wrong_once;
