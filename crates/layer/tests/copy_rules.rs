//! COPY's rules, one test each: what is selected, where it lands, with which owner, mode and time.
//!
//! Source of the rules: BuildKit `frontend/dockerfile/dockerfile_copy_test.go`, `dockerfile_parents_test.go`,
//! `exclude_patterns_test.go`, and the running builder.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says why and ends")]

#[path = "copy_rules/conflicts.rs"]
mod conflicts;
#[path = "copy_rules/destinations.rs"]
mod destinations;
#[path = "copy_rules/digests.rs"]
mod digests;
#[path = "copy_rules/escapes.rs"]
mod escapes;
#[path = "copy_rules/metadata.rs"]
mod metadata;
#[path = "copy_rules/sources.rs"]
mod sources;
#[path = "copy_rules/tree.rs"]
mod tree;
