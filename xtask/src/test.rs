//! `cargo xtask test`: all tests of the workspace, with what they need.
//!
//! Tests that lack something say `skipped: REASON` and pass, so that `cargo test` alone is of use anywhere; with
//! `JETTISON_REQUIRE_ALL=1`, which `ci` sets, they fail instead. See tests/README.md.

use std::process::Command;

use anyhow::Result;

use crate::packages;
use crate::process;
use crate::repository;

/// Runs `cargo test --workspace` with the arguments.
pub fn run(arguments: &[String]) -> Result<()> {
    prepare()?;
    process::run(command().args(arguments))
}

/// Installs what the tests need, and builds the program that many of them start.
pub fn prepare() -> Result<()> {
    packages::ensure(packages::TEST)?;
    validators()?;
    process::run(repository::cargo().args(["build", "--package", "jettison"]))
}

/// What checks lists of packages: Python's tools of SPDX and CycloneDX, in a folder of their own below `target`.
fn validators() -> Result<()> {
    const TOOLS: [&str; 2] = ["spdx-tools==0.8.3", "cyclonedx-python-lib[json-validation]==11.12.0"];
    let folder = repository::root().join("target/validators");
    if folder.join("complete").exists() {
        return Ok(());
    }
    process::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    process::run(Command::new(folder.join("bin/pip")).args(["install", "--quiet"]).args(TOOLS))?;
    Ok(std::fs::write(folder.join("complete"), "")?)
}

/// The call of cargo, to which arguments may be added.
pub fn command() -> Command {
    let mut command = repository::cargo();
    command.args(["test", "--workspace"]);
    command
}
