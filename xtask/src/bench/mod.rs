//! `cargo xtask bench`: the same work by jettison, BuildKit and buildah, one after the other on the same machine.
//!
//! `workloads.rs`: what is done. `peers/`: who does it, one file each. `compare.rs`: all by all, in turns. `measure.rs`: time
//! and memory of one call. `report.rs`: medians and ratios as Markdown. `page.rs`: docs/benchmarks.md. `compiler.rs`,
//! `memory.rs`, `check.rs`, `verify.rs`: jettison alone. Bases come from a registry on this machine, so that no network is
//! measured; peers run in namespaces of their own (`isolation.rs`).

mod check;
mod compare;
mod compiler;
mod measure;
mod memory;
mod page;
mod peers;
mod report;
mod settle;
mod verify;
mod workloads;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use crate::demo;
use crate::jettison::Profile;
use crate::packages;
use crate::process;
use crate::registry::Registry;
use crate::repository;
use crate::scratch::Scratch;
use crate::standin;

use page::Section;
use workloads::Workload;

const HELP: &str = "cargo xtask bench [OPTIONS]   (as root: the peers need it)

  --runs N       runs of each workload; the median counts [5]
  --only NAME    only this workload; repeatable. There are: ";

const HELP_REST: &str = "
                 and parts of jettison alone, which run only if they are named:
                 `compiler`: one source line changed, against the compiler by itself,
                 `linear`: 2,000 to 200,000 files and 10 to 400 steps,
                 `memory`: peak memory with a layer of 8 GB (needs 25 GB of disk),
                 `check`: `jettison check` of 500 lines (by itself it needs no root),
                 `verify`: what the start-proof costs
  --peers LIST   whom to compare with, from newest (the BuildKit of Debian unstable), buildkit (that of this Debian) and
                 buildah; `none` for jettison alone [newest,buildah; buildkit where newest cannot be had]
  --write        write what was measured into docs/benchmarks.md as well
";

/// Parts that are measured without peers.
const ALONE: [(&str, Section); 5] = [
    (compiler::NAME, Section::Compiler),
    (workloads::LINEAR, Section::Linear),
    (memory::NAME, Section::Memory),
    (check::NAME, Section::Check),
    (verify::NAME, Section::Verify),
];

/// What was asked for.
struct Options {
    runs: usize,
    only: Vec<String>,
    /// As they were named.
    peers: Option<Vec<String>>,
    write: bool,
}

impl Options {
    fn names(&self, name: &str) -> bool {
        self.only.iter().any(|only| only == name)
    }

    /// Workloads for all builders.
    fn workloads(&self) -> Vec<Workload> {
        let all = workloads::all().into_iter();
        all.filter(|workload| self.only.is_empty() || self.names(workload.name)).collect()
    }
}

/// Measures and prints.
pub fn run(arguments: &[String]) -> Result<()> {
    let Some(options) = options(arguments)? else {
        print!("{HELP}{}{HELP_REST}", names().join(", "));
        return Ok(());
    };
    let sections = if options.only == [check::NAME] {
        BTreeMap::from([(Section::Check, section(check::run(options.runs)?, options.runs, &[]))])
    } else {
        measure(&options)?
    };
    if options.write { page::write(sections) } else { Ok(()) }
}

/// What was asked for, each section printed as soon as it is there.
fn measure(options: &Options) -> Result<BTreeMap<Section, String>> {
    if !process::is_root() {
        bail!("the other builders and the base images need root: sudo cargo xtask bench");
    }
    packages::ensure(packages::BENCH)?;
    let parent = repository::target().join("jettison-bench");
    let scratch = Scratch::below(&parent, "run")?;
    let jettison = demo::program_and_bases(Profile::Release, vec![standin::GO])?;
    let registry = Registry::start(&scratch.path().join("registry"))?;
    let place = (&jettison, &registry, &scratch);
    let mut sections = BTreeMap::new();
    let workloads = options.workloads();
    if !workloads.is_empty() {
        let peers = options.peers.clone().unwrap_or_else(peers::usual);
        let (text, versions) = compare::run(&workloads, &peers, options.runs, place)?;
        sections.insert(Section::Builders, section(text, options.runs, &versions));
    }
    for (name, part) in ALONE {
        if options.names(name) {
            let (text, runs) = match part {
                Section::Compiler => (compiler::run(&jettison, options.runs, scratch.path())?, options.runs),
                Section::Memory => (memory::run(&jettison, &registry, &scratch)?, 1),
                Section::Check => (check::run(options.runs)?, options.runs),
                Section::Verify => (verify::run(&jettison, options.runs, scratch.path())?, options.runs),
                _ => (compare::run(&workloads::linear(), &[], options.runs, place)?.0, options.runs),
            };
            sections.insert(part, section(text, runs, &[]));
        }
    }
    Ok(sections)
}

/// Prints a section; returns it as the page has it.
fn section(tables: String, runs: usize, versions: &[String]) -> String {
    println!("\n{tables}");
    let times = if runs == 1 { "One run".to_owned() } else { format!("Median of {runs} runs") };
    let mut text = format!("{times} on {}.\n", page::machine());
    for version in versions {
        text.push_str(&format!("\n- {version}"));
    }
    if !versions.is_empty() {
        text.push_str(COMPARED);
    }
    format!("{text}\n{tables}")
}

const COMPARED: &str = "

All pull from the same registry on the same machine. Builders take turns within each run. BuildKit's daemon is already running and its
memory counts. Archives are what `docker load` reads, layers not compressed, unless the row says gzip. Pushes go to an empty
registry, layers compressed by gzip. After a builder was made to forget, the disk is written and its cache dropped, and context and
registry are read again: else ext4 makes files slowly for a minute, because so many were deleted.
";

fn options(arguments: &[String]) -> Result<Option<Options>> {
    let mut options = Options { runs: 5, only: Vec::new(), peers: None, write: false };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "--runs" => options.runs = value()?.parse().context("--runs needs a number")?,
            "--only" => options.only.push(value()?.clone()),
            "--peers" => options.peers = Some(peer_names(value()?)?),
            "--write" => options.write = true,
            other => bail!("there is no option {other:?}; see cargo xtask bench --help"),
        }
    }
    if options.runs == 0 {
        bail!("--runs must be at least 1");
    }
    let is_known = |name: &str| names().contains(&name) || ALONE.iter().any(|(alone, _)| *alone == name);
    if let Some(unknown) = options.only.iter().find(|name| !is_known(name)) {
        bail!("there is no workload {unknown:?}; see cargo xtask bench --help");
    }
    Ok(Some(options))
}

fn peer_names(list: &str) -> Result<Vec<String>> {
    let names: Vec<String> = list.split(',').filter(|name| *name != "none").map(str::to_owned).collect();
    match names.iter().find(|name| !peers::NAMES.contains(&name.as_str())) {
        Some(unknown) => bail!("there is no peer {unknown:?}; there are {}", peers::NAMES.join(", ")),
        None => Ok(names),
    }
}

fn names() -> Vec<&'static str> {
    workloads::all().iter().map(|workload| workload.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Option<Options>> {
        options(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_and_wrong_ones_refused() {
        let options = parse(&["--runs", "3", "--only", "stages", "--peers", "buildah"]).unwrap().unwrap();
        assert_eq!(
            (options.runs, options.only, options.peers),
            (3, vec!["stages".into()], Some(vec!["buildah".into()]))
        );
        assert!(parse(&["--peers", "none"]).unwrap().unwrap().peers.unwrap().is_empty());
        for wrong in
            [&["--runs", "0"][..], &["--runs"], &["--only", "x"], &["--peers", "kaniko"], &["--fast"]]
        {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
