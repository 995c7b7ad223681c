//! `cargo xtask tidy`: what the project wants and no compiler checks.
//!
//! `arrows.rs`: which crate may use which. `dependencies.rs`: licences, bans and sources of deny.toml,
//! `deny.rs`: the programs that read it. `sources.rs`: module docs, sizes, names, unfinished work. `documents.rs`:
//! dependencies are argued for, the map names files that exist, the licence is there. Each returns the problems that
//! it found; a test runs them all, so `cargo test` finds them too.

mod arrows;
pub mod deny;
mod dependencies;
mod documents;
mod sources;

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process;
use crate::repository;

/// Fails if there is a problem, and names each.
pub fn run(arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() {
        bail!("usage: cargo xtask tidy");
    }
    let mut problems = problems(&repository::root())?;
    problems.extend(deny::problems());
    for problem in &problems {
        println!("{problem}");
    }
    match problems.len() {
        0 => Ok(()),
        1 => bail!("1 problem"),
        number => bail!("{number} problems"),
    }
}

fn problems(root: &Path) -> Result<Vec<String>> {
    let crates = workspace_crates()?;
    let mut problems = arrows::problems(&crates);
    problems.extend(dependencies::problems(root)?);
    problems.extend(sources::problems(root)?);
    problems.extend(documents::problems(root, &crates)?);
    Ok(problems)
}

/// A crate of the workspace.
#[derive(Debug)]
struct Crate {
    name: String,
    /// Names of what it depends on, also for tests and for building.
    dependencies: Vec<String>,
}

fn workspace_crates() -> Result<Vec<Crate>> {
    let json = process::output(repository::cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_slice(&json).context("cargo metadata is not JSON")?;
    let text = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().context("cargo metadata without packages")?;
    Ok(packages
        .iter()
        .map(|package| Crate {
            name: text(package),
            dependencies: package["dependencies"].as_array().into_iter().flatten().map(text).collect(),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let problems = problems(&repository::root()).unwrap();
        assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    }
}
