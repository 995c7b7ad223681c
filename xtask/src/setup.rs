//! `cargo xtask setup`: the Debian packages that the other commands need. They call it themselves.

use anyhow::{Result, bail};

use crate::packages;

/// Installs the packages of the named commands, of all of them by default.
pub fn run(arguments: &[String]) -> Result<()> {
    let names: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let names = if names.is_empty() { vec!["demo", "test", "bench"] } else { names };
    for name in names {
        match name {
            "demo" => packages::ensure(&[packages::DEMO, packages::PLAIN_USER, packages::STANDIN].concat())?,
            "test" | "ci" => packages::ensure(packages::TEST)?,
            "bench" => packages::ensure(packages::BENCH)?,
            other => bail!("no packages are known for {other:?}; there are demo, test and bench"),
        }
    }
    println!("everything is there");
    Ok(())
}
