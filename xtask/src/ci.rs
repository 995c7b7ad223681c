//! `cargo xtask ci`: everything that must hold before a change is taken. `.ci/run` does this and nothing else.

use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::differential;
use crate::process;
use crate::repository;
use crate::test;
use crate::tidy;
use crate::torture;

type Part = (&'static str, fn() -> Result<()>);

/// Cheap parts first: what fails should fail soon.
const PARTS: &[Part] = &[
    ("format", format),
    ("cargo deny", tidy::deny::install),
    ("tidy", || tidy::run(&[])),
    ("what tests need", test::prepare),
    ("clippy", clippy),
    ("tests", tests),
    ("some cases against BuildKit", differential::run_some),
    ("torture, short", torture::run_some),
];

/// Runs all parts and stops at the first that fails.
pub fn run(arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() {
        bail!("usage: cargo xtask ci");
    }
    let mut times = Vec::new();
    for (name, part) in PARTS {
        println!("== {name}");
        let start = Instant::now();
        let result = part();
        times.push(format!("{:>7.1} s  {name}", start.elapsed().as_secs_f64()));
        if result.is_err() {
            println!("\n{}", times.join("\n"));
        }
        result.with_context(|| format!("{name} failed"))?;
    }
    println!("\n{}", times.join("\n"));
    Ok(())
}

fn format() -> Result<()> {
    process::run(repository::cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    let words = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    process::run(repository::cargo().args(words))
}

fn tests() -> Result<()> {
    process::run(test::command().env("JETTISON_REQUIRE_ALL", "1"))
}
