//! `cargo xtask bench`: the same work by jettison, BuildKit and buildah, one after the other on the same machine.
//!
//! `workloads.rs`: what is done. `peers/`: who does it, one file each. `measure.rs`: time and memory of one call.
//! `report.rs`: medians and ratios as Markdown. `verify.rs`, `check.rs`, `memory.rs`: jettison alone. Bases come from a
//! registry on this machine, so that no network is measured; peers run in namespaces of their own (`isolation.rs`).

mod check;
mod measure;
mod memory;
mod peers;
mod report;
mod verify;
mod workloads;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::demo;
use crate::jettison::{Jettison, Profile};
use crate::packages;
use crate::process;
use crate::registry::Registry;
use crate::repository;
use crate::scratch::Scratch;
use crate::standin;
use crate::table;

use measure::Measured;
use peers::{Builder, End, Job};
use report::Row;
use workloads::{Before, Ending, Phase, Workload};

const HELP: &str = "cargo xtask bench [OPTIONS]   (as root: the peers need it)

  --runs N       runs of each workload; the median counts [5]
  --only NAME    only this workload; repeatable. There are: ";

const HELP_REST: &str = "
                 and `linear`: jettison alone, with 2,000 to 200,000 files and 10 to 400 steps,
                 `memory`: its peak memory with a layer of 8 GB (needs 25 GB of disk),
                 `check`: `jettison check` of 500 lines (without root),
                 and `verify`: what the start-proof costs
  --peers LIST   whom to compare with, from buildkit,buildah; `none` for jettison alone [buildkit,buildah]
  --write        write docs/benchmarks.md as well
";

/// What was asked for.
struct Options {
    runs: usize,
    only: Vec<String>,
    peers: Vec<String>,
    write: bool,
}

/// Measures and prints.
pub fn run(arguments: &[String]) -> Result<()> {
    let Some(options) = options(arguments)? else {
        print!("{HELP}{}{HELP_REST}", names().join(", "));
        return Ok(());
    };
    if options.only == [check::NAME] {
        return check::run(options.runs);
    }
    if !process::is_root() {
        bail!("BuildKit's daemon needs root: sudo cargo xtask bench, or --peers none");
    }
    packages::ensure(packages::BENCH)?;
    let parent = repository::target().join("jettison-bench");
    let scratch = Scratch::below(&parent, "run")?;
    let jettison = demo::program_and_bases(Profile::Release, vec![standin::GO])?;
    let registry = Registry::start(&scratch.path().join("registry"))?;
    if options.only == [memory::MEMORY] {
        return memory::run(&jettison, &registry, &scratch);
    }
    if options.only == [verify::NAME] {
        println!("\n{}", verify::run(&jettison, options.runs, scratch.path())?);
        return Ok(());
    }
    push_base(&jettison, &registry)?;
    let builders = peers::start(&options.peers, &jettison, &registry, scratch.path())?;
    let mut rows = Vec::new();
    let asked_for = |name: &str| options.only.iter().any(|only| only == name);
    let linear = if asked_for(workloads::LINEAR) { workloads::linear() } else { Vec::new() };
    for workload in workloads::all().into_iter().chain(linear) {
        if options.only.is_empty() || asked_for(workload.name) {
            rows.extend(measure_workload(&workload, &builders, &options, &scratch)?);
        }
    }
    let names: Vec<&str> = builders.iter().map(|builder| builder.name()).collect();
    let text = report::markdown(&names, &rows);
    println!("\n{text}");
    if options.write {
        let versions = builders.iter().map(|builder| builder.version()).collect::<Result<Vec<_>>>()?;
        let file = repository::root().join("docs/benchmarks.md");
        std::fs::write(&file, report::page(&versions, options.runs, &text))
            .with_context(|| format!("writing {}", file.display()))?;
        println!("written to {}", file.display());
    }
    Ok(())
}

fn options(arguments: &[String]) -> Result<Option<Options>> {
    let mut options = Options {
        runs: 5,
        only: Vec::new(),
        peers: vec!["buildkit".to_owned(), "buildah".to_owned()],
        write: false,
    };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "--runs" => options.runs = value()?.parse().context("--runs needs a number")?,
            "--only" => options.only.push(value()?.clone()),
            "--peers" => options.peers = peer_names(value()?)?,
            "--write" => options.write = true,
            other => bail!("there is no option {other:?}; see cargo xtask bench --help"),
        }
    }
    if options.runs == 0 {
        bail!("--runs must be at least 1");
    }
    if options.only.iter().any(|name| name == workloads::LINEAR) {
        // Sizes are compared, not builders.
        options.peers.clear();
    }
    let alone = [memory::MEMORY, check::NAME, verify::NAME];
    if options.only.len() > 1
        && let Some(name) = options.only.iter().find(|name| alone.contains(&name.as_str()))
    {
        bail!("`{name}` is measured alone");
    }
    let is_known = |name: &str| name == workloads::LINEAR || alone.contains(&name) || names().contains(&name);
    if let Some(unknown) = options.only.iter().find(|name| !is_known(name)) {
        bail!("there is no workload {unknown:?}; there are {}", names().join(", "));
    }
    Ok(Some(options))
}

fn peer_names(list: &str) -> Result<Vec<String>> {
    let names: Vec<String> = list.split(',').filter(|name| *name != "none").map(str::to_owned).collect();
    match names.iter().find(|name| !["buildkit", "buildah"].contains(&name.as_str())) {
        Some(unknown) => bail!("there is no peer {unknown:?}; there are buildkit and buildah"),
        None => Ok(names),
    }
}

fn names() -> Vec<&'static str> {
    workloads::all().iter().map(|workload| workload.name).collect()
}

/// Puts the base where everybody pulls it from.
fn push_base(jettison: &Jettison, registry: &Registry) -> Result<()> {
    let destination = registry.reference(&format!("library/{}", standin::GO.image));
    jettison.quietly(["push", "--quiet", standin::GO.image, &destination]).map(drop)
}

/// All runs of all builders on one workload; one row for each of its phases.
fn measure_workload(
    workload: &Workload,
    builders: &[Box<dyn Builder>],
    options: &Options,
    scratch: &Scratch,
) -> Result<Vec<Row>> {
    let context = Scratch::below(scratch.path(), workload.name)?;
    (workload.set_up)(context.path()).with_context(|| format!("setting up {}", workload.name))?;
    let mut rows: Vec<Row> =
        workload.phases.iter().map(|phase| Row::new(phase.label.to_owned(), builders.len())).collect();
    let mut nonce = 0;
    for run in 0..options.runs {
        for (column, builder) in builders.iter().enumerate() {
            let here = Target::new(workload, builder.as_ref(), scratch)?;
            for (phase, row) in workload.phases.iter().zip(&mut rows) {
                nonce += 1;
                let measured = measure_phase(phase, builder.as_ref(), &context, &here, nonce)
                    .with_context(|| format!("{} by {}", phase.label, builder.name()))?;
                println!(
                    "{:40} {:9} run {}: {:>8} s, {:>5} MB",
                    phase.label,
                    builder.name(),
                    run + 1,
                    table::seconds(measured.seconds),
                    measured.peak_bytes / 1_000_000
                );
                row.add(column, measured);
            }
        }
    }
    Ok(rows)
}

/// Where the results of one builder's run go; a registry of its own is empty each time.
struct Target {
    tag: String,
    end: End,
    archive: Option<PathBuf>,
    _registry: Option<Registry>,
    _folder: Scratch,
}

impl Target {
    fn new(workload: &Workload, builder: &dyn Builder, scratch: &Scratch) -> Result<Self> {
        let folder = Scratch::below(scratch.path(), builder.name())?;
        let name = format!("bench/{}", workload.name);
        Ok(match workload.ending {
            Ending::Store => {
                Self { tag: name, end: End::Store, archive: None, _registry: None, _folder: folder }
            }
            Ending::Archive => {
                let file = folder.path().join("image.tar");
                Self {
                    tag: name,
                    end: End::Archive(file.clone()),
                    archive: Some(file),
                    _registry: None,
                    _folder: folder,
                }
            }
            Ending::Push => {
                let registry = Registry::start(&folder.path().join("registry"))?;
                let tag = registry.reference(&format!("{name}:latest"));
                Self { tag, end: End::Push, archive: None, _registry: Some(registry), _folder: folder }
            }
        })
    }
}

fn measure_phase(
    phase: &Phase,
    builder: &dyn Builder,
    context: &Scratch,
    target: &Target,
    nonce: u64,
) -> Result<Measured> {
    match phase.before {
        Before::Nothing => {}
        Before::Forget => builder.reset()?,
        Before::ForgetButBase => {
            builder.reset()?;
            builder.pull_base()?;
        }
    }
    (phase.edit)(context.path(), nonce)?;
    if let Some(file) = target.archive.as_ref().filter(|file| file.exists()) {
        std::fs::remove_file(file)?;
    }
    // What was written before must not be flushed at the expense of what is measured.
    rustix::fs::sync();
    let job = Job { context: context.path(), tag: &target.tag, end: &target.end };
    let mut measured = measure::commands(&mut builder.commands(&job), &builder.resident())?;
    measured.archive_bytes = target.archive.as_ref().and_then(|f| f.metadata().ok()).map(|m| m.len());
    Ok(measured)
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
            (3, vec!["stages".into()], vec!["buildah".into()])
        );
        assert!(parse(&["--peers", "none"]).unwrap().unwrap().peers.is_empty());
        for wrong in
            [&["--runs", "0"][..], &["--runs"], &["--only", "x"], &["--peers", "kaniko"], &["--fast"]]
        {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
