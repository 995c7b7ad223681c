//! `cargo xtask fuzz`: every fuzz target for some seconds on the stable compiler, with inputs of the corpus changed at random
//! (`fuzz/entries/mutate.rs`). What makes one panic is kept in `fuzz/corpus`, where the tests replay it from then on.

use anyhow::{Context, Result, bail};

use crate::process;
use crate::repository;

/// Seconds for each target, if nothing else is said.
const SECONDS: &str = "60";

/// Runs the ignored tests `mutated_*`.
pub fn run(arguments: &[String]) -> Result<()> {
    let seconds = match arguments {
        [] => SECONDS,
        [flag, seconds] if flag == "--seconds" => seconds,
        other => bail!("unknown arguments {other:?}; there is --seconds N, for each target"),
    };
    seconds.parse::<u64>().with_context(|| format!("--seconds {seconds:?} is no number"))?;
    let mut command = repository::cargo();
    command.arg("test");
    for name in ["oci", "dockerfile", "plan", "inspect", "layer", "registry"] {
        command.args(["--package", &format!("jettison-{name}")]);
    }
    let arguments = ["--test", "replay", "--", "--ignored", "mutated_"];
    command.env("JETTISON_FUZZ_SECONDS", seconds);
    process::run(command.args(arguments))
}
