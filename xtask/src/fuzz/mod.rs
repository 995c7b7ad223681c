//! `cargo xtask fuzz`: every fuzz target for some seconds. Without more, on the stable compiler, with inputs of the corpus
//! changed at random (`fuzz/entries/mutate.rs`); with `--coverage` by libFuzzer, which keeps what reaches new code
//! (`coverage.rs`). What breaks something is kept in `fuzz/corpus`, where the tests replay it from then on.

mod coverage;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::repository;

const HELP: &str = "cargo xtask fuzz [OPTIONS]

  --seconds N     for each target [60]
  --coverage      with libFuzzer; needs a nightly compiler and cargo-fuzz
  --target NAME   with --coverage: only this target; repeatable
  --merge         with --coverage: no fuzzing; what earlier runs found that
                  reaches code which fuzz/corpus does not is added there
";

#[derive(Debug, PartialEq)]
struct Options {
    seconds: u64,
    coverage: bool,
    merge: bool,
    targets: Vec<String>,
}

/// Runs what is asked for.
pub fn run(arguments: &[String]) -> Result<()> {
    let Some(options) = options(arguments)? else {
        print!("{HELP}");
        return Ok(());
    };
    if options.coverage { coverage::run(&options) } else { mutate(options.seconds) }
}

fn options(arguments: &[String]) -> Result<Option<Options>> {
    let mut options = Options { seconds: 60, coverage: false, merge: false, targets: Vec::new() };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value\n\n{HELP}"));
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "--coverage" => options.coverage = true,
            "--merge" => options.merge = true,
            "--seconds" => options.seconds = value()?.parse().context("--seconds wants a number")?,
            "--target" => options.targets.push(value()?.clone()),
            _ => bail!("unknown: {word}\n\n{HELP}"),
        }
    }
    if !options.coverage && (options.merge || !options.targets.is_empty()) {
        bail!("--merge and --target want --coverage\n\n{HELP}");
    }
    Ok(Some(options))
}

/// Runs the ignored tests `mutated_*`.
fn mutate(seconds: u64) -> Result<()> {
    let mut command = repository::cargo();
    command.arg("test");
    for name in ["oci", "dockerfile", "plan", "inspect", "layer", "registry"] {
        command.args(["--package", &format!("jettison-{name}")]);
    }
    let arguments = ["--test", "replay", "--", "--ignored", "mutated_"];
    command.env("JETTISON_FUZZ_SECONDS", seconds.to_string());
    process::run(command.args(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_mistakes_named() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let targets = vec!["tar".to_owned()];
        let expected = Options { seconds: 9, coverage: true, merge: false, targets };
        assert_eq!(options(&words("--coverage --seconds 9 --target tar")).unwrap(), Some(expected));
        assert_eq!(options(&words("--help")).unwrap(), None);
        for bad in ["--merge", "--seconds", "--seconds x", "--target tar", "tar"] {
            assert!(options(&words(bad)).is_err(), "{bad}");
        }
    }
}
