//! What people run: `cargo xtask demo`, `test`, `ci`, `differential`, `fuzz`, `bench`, `dist`, `tidy`, little else.
//!
//! One file per command; each has a `HELP` line here. What they share: `repository.rs` (where things lie),
//! `process.rs` (starting programs, and ending them whatever happens), `scratch.rs` (temporary folders),
//! `packages.rs` (Debian's packages), `registry.rs` (Debian's docker-registry on a free port), `image.rs` (numbers
//! about an image in it), `standin.rs` (base images made from packages), `jettison.rs` (the program itself),
//! `docker.rs` and
//! `isolation.rs` (BuildKit's daemon in namespaces of its own), `table.rs` (Markdown tables).

mod bench;
mod ci;
mod demo;
mod differential;
mod dist;
mod docker;
mod fuzz;
mod http;
mod image;
mod isolation;
mod jettison;
mod packages;
mod process;
mod random;
mod registry;
mod repository;
mod scratch;
mod setup;
mod slim;
mod standin;
mod table;
mod test;
mod tidy;
mod toolchain;
mod torture;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// A command: its name, its line of help, and what it does with the arguments that follow.
type Command = (&'static str, &'static str, fn(&[String]) -> Result<()>);

const COMMANDS: &[Command] = &[
    (
        "demo",
        "build the founding example both ways, start it, show the difference [--rust: the Rust one too]",
        demo::run,
    ),
    ("test", "run all tests, installing what they need [arguments of cargo test]", test::run),
    ("ci", "format, clippy, tidy, all tests, some cases against BuildKit; what `.ci/run` calls", ci::run),
    ("tidy", "check what no compiler checks: allowed arrows, module docs, file sizes, names", tidy::run),
    (
        "differential",
        "build each case of tests/dockerfiles with BuildKit too, and compare",
        differential::run,
    ),
    (
        "fuzz",
        "give the parsers made-up input, at random or guided by coverage [--help: its options]",
        fuzz::run,
    ),
    (
        "torture",
        "random edits, kills and crowds against the promise `never wrong, never lost` [--help: its options]",
        torture::run,
    ),
    (
        "slim",
        "have `jettison slim` take programs of seven kinds apart [--only NAME; needs 1 GB of packages]",
        slim::run,
    ),
    ("bench", "measure side by side with BuildKit and buildah [--help: its options]", bench::run),
    (
        "dist",
        "make dist/: one static binary, proven to run in an empty chroot; man pages, completions",
        dist::run,
    ),
    ("setup", "install the Debian packages of the other commands [names: demo, test, bench]", setup::run),
];

fn main() -> ExitCode {
    process::end_everything_on_signals();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        print!("{}", help());
        return Ok(());
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        print!("{}", help());
        return Ok(());
    }
    match COMMANDS.iter().find(|(known, ..)| known == name) {
        Some((_, _, run)) => run(rest),
        None => bail!("there is no command {name:?}\n\n{}", help()),
    }
}

fn help() -> String {
    let mut text = String::from("cargo xtask COMMAND\n\n");
    for (name, line, _) in COMMANDS {
        text.push_str(&format!("  {name:12} {line}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_one_line_of_help() {
        let help = help();
        for (name, line, _) in COMMANDS {
            assert!(!line.contains('\n'), "{name}");
            assert!(help.lines().any(|shown| shown.contains(name) && shown.contains(line)), "{name}");
        }
    }

    #[test]
    fn an_unknown_command_is_refused_and_the_known_ones_are_named() {
        let error = dispatch(&["buidl".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("\"buidl\"") && error.contains("bench"), "{error}");
    }
}
