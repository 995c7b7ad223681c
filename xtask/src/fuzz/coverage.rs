//! Fuzzing guided by coverage: the targets of `fuzz/fuzz_targets`, compiled by cargo-fuzz on a nightly compiler, one after
//! another. What libFuzzer keeps from one run to the next lies in the target folder; what breaks something goes to
//! `fuzz/corpus`, and so does, with `--merge`, whatever reaches code that nothing there reaches.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Options;
use crate::process::{self, Guarded};
use crate::repository;
use crate::table;

/// Longest input, bytes. Larger ones belong into tests of their own.
const INPUT_BYTES_MAX: u64 = 64 << 10;
/// What one input may take.
const INPUT_SECONDS_MAX: u64 = 20;
const MEMORY_MIB_MAX: u64 = 2048;
/// How much longer than it was told a run may take: the corpus is read first, and the last input may be a slow one.
const GRACE: Duration = Duration::from_secs(600);
/// Largest input that a merge adds, bytes: all of them are replayed in every test run.
const ADDED_BYTES_MAX: u64 = 16 << 10;

/// Fuzzes, or merges.
pub(super) fn run(options: &Options) -> Result<()> {
    let all = targets()?;
    let unknown = options.targets.iter().find(|name| !all.contains(name));
    ensure!(unknown.is_none(), "no target {unknown:?}; there are {}", all.join(", "));
    let folder = repository::target().join("jettison-fuzz");
    let programs = build(&folder, &options.targets)?;
    let chosen: Vec<String> = if options.targets.is_empty() { all } else { options.targets.clone() };
    let mut rows = Vec::new();
    let mut broken = Vec::new();
    for name in &chosen {
        let target = Target::new(name, &folder, &programs)?;
        if options.merge {
            println!("{name}: {} inputs added", target.merge()?);
            continue;
        }
        let ran = target.fuzz(options.seconds)?;
        println!("{name}: {ran:?}");
        if !ran.is_fine {
            broken.push(name.clone());
        }
        rows.push(ran.row(name));
    }
    if !rows.is_empty() {
        let header = ["target", "executions", "s", "edges reached", "before", "inputs kept"];
        println!("\n{}", table::markdown(&header, &rows));
    }
    ensure!(broken.is_empty(), "broken, with the input in fuzz/corpus: {}", broken.join(", "));
    Ok(())
}

/// Their names, from their files.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(repository::root().join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// Compiles these targets, or all; where the programs lie.
fn build(folder: &Path, targets: &[String]) -> Result<PathBuf> {
    let build = || {
        let mut command = Command::new("rustup");
        command.current_dir(repository::root()).args(["run", "nightly", "cargo", "fuzz", "build"]);
        // Nothing here is unsafe but for C libraries, which no sanitizer of Rust's looks at; without one it is twice as fast.
        command.args(["--fuzz-dir", "fuzz", "--sanitizer", "none", "--target-dir"]).arg(folder);
        command
    };
    let mut commands: Vec<Command> = targets
        .iter()
        .map(|name| {
            let mut command = build();
            command.arg(name);
            command
        })
        .collect();
    if targets.is_empty() {
        commands.push(build());
    }
    for mut command in commands {
        process::run(&mut command)
            .context("it needs `rustup toolchain install nightly` and `cargo install cargo-fuzz`")?;
    }
    Ok(folder.join(format!("{}-unknown-linux-gnu/release", std::env::consts::ARCH)))
}

struct Target {
    program: PathBuf,
    /// What is in the repository.
    kept: PathBuf,
    /// What libFuzzer found.
    found: PathBuf,
    log: PathBuf,
}

/// How a run ended.
#[derive(Debug)]
struct Ran {
    executions: u64,
    edges_before: u64,
    edges: u64,
    inputs: usize,
    took: Duration,
    is_fine: bool,
}

impl Ran {
    fn row(&self, name: &str) -> Vec<String> {
        vec![
            name.to_owned(),
            table::thousands(self.executions),
            table::seconds(self.took.as_secs_f64()),
            table::thousands(self.edges),
            table::thousands(self.edges_before),
            self.inputs.to_string(),
        ]
    }
}

impl Target {
    fn new(name: &str, folder: &Path, programs: &Path) -> Result<Self> {
        let found = folder.join("corpus").join(name);
        fs::create_dir_all(&found)?;
        let kept = repository::root().join("fuzz/corpus").join(name);
        ensure!(kept.is_dir(), "{} is not there", kept.display());
        Ok(Self { program: programs.join(name), kept, found, log: folder.join(format!("{name}.log")) })
    }

    fn fuzz(&self, seconds: u64) -> Result<Ran> {
        let start = Instant::now();
        let mut command = self.command();
        command.arg(format!("-max_total_time={seconds}")).arg(&self.found).arg(&self.kept);
        let status = self.end(&command, Duration::from_secs(seconds) + GRACE)?;
        let log = self.log()?;
        let (edges_before, edges) = edges(&log);
        Ok(Ran {
            executions: number_after(&log, "stat::number_of_executed_units:").unwrap_or_default(),
            edges_before,
            edges,
            inputs: fs::read_dir(&self.found)?.count(),
            took: start.elapsed(),
            is_fine: status,
        })
    }

    /// Adds to the repository what reaches code that nothing there does; how many inputs that were.
    fn merge(&self) -> Result<usize> {
        let small = self.found.with_extension("small");
        if small.exists() {
            fs::remove_dir_all(&small)?;
        }
        fs::create_dir_all(&small)?;
        for entry in fs::read_dir(&self.found)? {
            let entry = entry?;
            if entry.metadata()?.len() <= ADDED_BYTES_MAX {
                fs::copy(entry.path(), small.join(entry.file_name()))?;
            }
        }
        let before = fs::read_dir(&self.kept)?.count();
        let mut command = self.command();
        // By the fewest inputs, and by which code they reach, not how often.
        command.args(["-set_cover_merge=1", "-use_counters=0"]).arg(&self.kept).arg(&small);
        if !self.end(&command, GRACE)? {
            bail!("the merge failed; see {}", self.log.display());
        }
        fs::remove_dir_all(&small)?;
        Ok(fs::read_dir(&self.kept)?.count() - before)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(format!("-max_len={INPUT_BYTES_MAX}"));
        command.arg(format!("-timeout={INPUT_SECONDS_MAX}"));
        command.arg(format!("-report_slow_units={INPUT_SECONDS_MAX}"));
        command.arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
        command.arg(format!("-artifact_prefix={}/found-", self.kept.display()));
        command.arg("-print_final_stats=1");
        command
    }

    /// Whether it ended well.
    fn end(&self, command: &Command, limit: Duration) -> Result<bool> {
        let mut running = Guarded::start_in_background(command, &self.log)?;
        let status = running.wait_at_most(limit)?;
        let status = status.with_context(|| format!("{} does not end", process::describe(command)))?;
        if !status.success() {
            println!("{}", last_lines(&self.log()?));
        }
        Ok(status.success())
    }

    fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }
}

/// Edges that the corpus reached, and that were reached at the end.
fn edges(log: &str) -> (u64, u64) {
    let reached = |line: &str| number_after(line, " cov:");
    let first = log.lines().find(|line| line.contains("INITED")).and_then(reached);
    let last = log.lines().rev().find_map(reached);
    (first.unwrap_or_default(), last.unwrap_or_default())
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    let (_, rest) = text.split_once(name)?;
    rest.split_whitespace().next()?.parse().ok()
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_read() {
        let log = "#2\tINITED cov: 120 ft: 7 corp: 1/1b\n#9\tNEW    cov: 130 ft: 9\nDone 9 runs\nstat::number_of_executed_units: 1234\n";
        assert_eq!(edges(log), (120, 130));
        assert_eq!(number_after(log, "stat::number_of_executed_units:"), Some(1234));
        assert_eq!(edges(""), (0, 0));
    }

    #[test]
    fn every_target_has_a_corpus() {
        let names = targets().unwrap();
        assert!(names.len() > 10, "{names:?}");
        for name in names {
            assert!(repository::root().join("fuzz/corpus").join(&name).is_dir(), "{name}");
        }
    }
}
