//! `cargo deny` and `cargo audit` themselves, where they are installed, on what can be had here: every crate of the lock
//! file. Where they are not, `dependencies.rs` has checked licences, bans and sources all the same; advisories need a copy of RustSec's
//! database, which either program leaves behind once it has fetched it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::repository;

/// Where the programs keep their copies of the database, below cargo's folder.
const DATABASES: [&str; 2] = ["advisory-dbs", "advisory-db"];

/// What is installed where there is no `cargo deny`.
const VERSION: &str = "0.20.2";

/// Installs `cargo deny`: compiled from its crate in a minute and a half on two cores. Where that fails, tidy does without it
/// and says so.
pub fn install() -> Result<()> {
    if !has("cargo-deny") {
        let mut command = repository::cargo();
        command.args(["install", "cargo-deny", "--version", VERSION, "--locked", "--debug", "--quiet"]);
        command.env("CARGO_PROFILE_DEV_DEBUG", "0");
        if let Err(error) = process::run(&mut command) {
            println!("cargo deny could not be installed: {error:#}");
        }
    }
    Ok(())
}

/// Runs what is there; returns what was found wrong, and prints what could not be looked at.
pub(super) fn problems() -> Vec<String> {
    let [deny_database, audit_database] = DATABASES.map(|name| cargo_home().join(name).is_dir());
    let mut problems = Vec::new();
    let mut has_advisories = false;
    if !has("cargo-deny") {
        println!(
            "not run: cargo deny is not installed (what deny.toml says of licences, bans and sources was checked)"
        );
    } else if let Some(said) = run(&["fetch", "--locked", "--quiet"]) {
        // It looks at the crates of all platforms; a build has fetched those of its own only.
        println!("not run: cargo deny; {}", said.lines().next().unwrap_or_default());
    } else {
        let mut words =
            vec!["deny", "--offline", "--log-level", "error", "check", "bans", "licenses", "sources"];
        words.extend(deny_database.then_some("advisories"));
        has_advisories |= deny_database;
        problems.extend(run(&words));
    }
    if audit_database && has("cargo-audit") {
        has_advisories = true;
        problems.extend(run(&["audit", "--no-fetch", "--quiet"]));
    }
    if !has_advisories {
        println!(
            "not checked: advisories; there is no copy of RustSec's database, which no registry has (deny.toml)"
        );
    }
    problems
}

fn has(program: &str) -> bool {
    process::find_program(program).is_some() || cargo_home().join("bin").join(program).is_file()
}

fn cargo_home() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo");
    std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

/// What a command of cargo said, if it failed.
fn run(words: &[&str]) -> Option<String> {
    let mut command: Command = repository::cargo();
    command.args(words);
    let name = format!("cargo {}", words[0]);
    match process::captured(&mut command) {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            Some(format!("{name}: {}", String::from_utf8_lossy(&said).trim()))
        }
        Err(error) => Some(format!("{name}: {error:#}")),
    }
}
