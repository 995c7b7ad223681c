//! `cargo xtask differential`: each case of `tests/dockerfiles` built by jettison and by docker.io's BuildKit, and what
//! came out compared: every file, and the config with its history.
//!
//! `compare.rs` finds what differs between two outcomes; `listed.rs` reads `docs/differences.md`, where the
//! differences that are meant stand with their reason. A difference that is not listed there fails, and so does a line
//! there that speaks of a case without one. Cases that need a newer language than Debian's BuildKit has are left out.

mod compare;
mod listed;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use jettison_corpus::{Case, Image, Version};
use serde_json::{Value, json};

use crate::docker::Docker;
use crate::jettison::Jettison;
use crate::packages;
use crate::process;
use crate::repository;
use crate::scratch::Scratch;
use crate::table;

const HELP: &str = "cargo xtask differential [OPTIONS]   (as root: BuildKit's daemon needs it)

  --case TEXT   only cases with TEXT in their name; repeatable
";

/// The version of the language in docker 20.10 (BuildKit 0.8), which is what Debian 12 has.
const LANGUAGE: Version = (1, 2);

/// The base image of cases that need a shell.
const BASE: &str = "busybox";

/// What became of a case.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
enum Verdict {
    /// Files and config are the same.
    Equal,
    /// Neither builds it.
    BothRefuse,
    /// It needs a newer language.
    LeftOut,
    /// What differs, line by line.
    Differs(Vec<String>),
}

/// Builds everything twice and compares.
pub fn run(arguments: &[String]) -> Result<()> {
    let Some(wanted) = wanted(arguments)? else {
        print!("{HELP}");
        return Ok(());
    };
    if !process::is_root() {
        bail!("BuildKit's daemon needs root: sudo cargo xtask differential");
    }
    packages::ensure(packages::TEST)?;
    let root = repository::root();
    let mut cases = jettison_corpus::all(&root.join("tests/dockerfiles"))?;
    cases.retain(|case| wanted.is_empty() || wanted.iter().any(|part| case.name.contains(part)));
    let listed = listed::read(&root.join(listed::FILE))?;
    let parent = repository::target().join("jettison-differential");
    let scratch = Scratch::below(&parent, "run")?;
    let builders = Builders::start(scratch.path())?;
    println!("{} against {}", builders.jettison.version()?, builders.docker.version()?);
    let verdicts = builders.judge(&cases)?;
    let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    report(&verdicts, &listed, &names, wanted.is_empty())
}

fn wanted(arguments: &[String]) -> Result<Option<Vec<String>>> {
    let mut wanted = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "--case" => wanted.push(words.next().context("--case needs a value")?.clone()),
            other => bail!("there is no option {other:?}; see cargo xtask differential --help"),
        }
    }
    Ok(Some(wanted))
}

/// Both builders, ready, each with the base image.
struct Builders {
    jettison: Jettison,
    docker: Docker,
    folder: PathBuf,
}

impl Builders {
    fn start(folder: &Path) -> Result<Self> {
        let jettison = Jettison::debug(&folder.join("store"))?;
        let docker = Docker::start(None, &folder.join("docker"))?;
        let base = folder.join("base");
        jettison_corpus::busybox::context(&base)?;
        let archive = folder.join("base.tar");
        let output = format!("type=docker,dest={}", archive.display());
        let mut build = jettison.command(["build", "--quiet", "--tag", BASE, "--output", "type=image"]);
        process::output(build.args(["--output", &output]).arg(&base))?;
        process::output(docker.call(&["load", "--input"]).arg(&archive))?;
        Ok(Self { jettison, docker, folder: folder.to_owned() })
    }

    /// What became of each case; several at a time.
    fn judge(&self, cases: &[Case]) -> Result<BTreeMap<String, Verdict>> {
        let next = AtomicUsize::new(0);
        let verdicts = Mutex::new(BTreeMap::new());
        let threads = 2 * std::thread::available_parallelism().map_or(2, usize::from);
        let work = || -> Result<()> {
            while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                let verdict = self.verdict(case).with_context(|| case.name.clone())?;
                let mut verdicts = verdicts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                verdicts.insert(case.name.clone(), verdict);
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("comparing does not panic"))
        })?;
        Ok(verdicts.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn verdict(&self, case: &Case) -> Result<Verdict> {
        if case.since.is_some_and(|since| since > LANGUAGE) {
            return Ok(Verdict::LeftOut);
        }
        let work = Scratch::below(&self.folder, "case")?;
        let context = work.path().join("context");
        case.lay_out(&context)?;
        let ours = self.by_jettison(case, &context, &work.path().join("ours.tar"))?;
        let theirs = self.by_docker(case, &context, &work.path().join("theirs.tar"))?;
        Ok(match (ours, theirs) {
            (Err(_), Err(_)) => Verdict::BothRefuse,
            (Ok(_), Err(error)) => Verdict::Differs(vec![format!("only BuildKit refuses: {error}")]),
            (Err(error), Ok(_)) => Verdict::Differs(vec![format!("only jettison refuses: {error}")]),
            (Ok(ours), Ok(theirs)) => match compare::images(&ours, &theirs) {
                lines if lines.is_empty() => Verdict::Equal,
                lines => Verdict::Differs(lines),
            },
        })
    }

    fn by_jettison(&self, case: &Case, context: &Path, archive: &Path) -> Result<Built> {
        let output = format!("type=docker,compression=uncompressed,dest={}", archive.display());
        let mut build = self.jettison.command(["build", "--progress=quiet", "--output", &output]);
        build.args(&case.arguments).arg(".").current_dir(context);
        built(process::captured(&mut build)?, archive, |text| {
            text.lines().find(|line| line.starts_with("error")).unwrap_or_default().to_owned()
        })
    }

    fn by_docker(&self, case: &Case, context: &Path, archive: &Path) -> Result<Built> {
        let tag = case.name.replace('/', "-");
        let mut build = self.docker.call(&["build", "--network=host", "--progress=plain", "--tag", &tag]);
        build.args(&case.arguments).arg(".").current_dir(context);
        let done = process::captured(&mut build)?;
        if done.status.success() {
            let saved = process::captured(self.docker.call(&["save", "--output"]).arg(archive).arg(&tag))?;
            if String::from_utf8_lossy(&saved.stderr).contains("empty export") {
                return self.without_layers(&tag).map(Ok);
            }
        }
        built(done, archive, |text| text.lines().last().unwrap_or_default().to_owned())
    }

    /// An image without layers, which this docker does not save: from what it says of it.
    fn without_layers(&self, tag: &str) -> Result<Image> {
        let inspected = process::output(&mut self.docker.call(&["image", "inspect", tag]))?;
        let inspected: Value = serde_json::from_slice(&inspected)?;
        let said = &inspected[0];
        let lines = ["history", "--no-trunc", "--format", "{{json .CreatedBy}}", tag];
        let mut history = Vec::new();
        for line in process::text(&mut self.docker.call(&lines))?.lines().rev() {
            let created_by: Value = serde_json::from_str(line)?;
            history.push(json!({"created_by": created_by, "empty_layer": true}));
        }
        let config = json!({
            "architecture": said["Architecture"], "os": said["Os"], "author": said["Author"],
            "config": said["Config"], "history": history,
        });
        Ok(Image { config, layers: Vec::new() })
    }
}

/// An image, or why there is none.
type Built = std::result::Result<Image, String>;

fn built(done: std::process::Output, archive: &Path, reason: fn(&str) -> String) -> Result<Built> {
    if !done.status.success() {
        return Ok(Err(reason(&String::from_utf8_lossy(&done.stderr))));
    }
    Image::read(archive).map(Ok)
}

/// Prints the table, and fails if something differs that is not listed, or is listed and does not differ.
fn report(
    verdicts: &BTreeMap<String, Verdict>,
    listed: &BTreeMap<String, String>,
    names: &[&str],
    all: bool,
) -> Result<()> {
    let mut wrong = Vec::new();
    let mut counts = [0_usize; 5];
    for (name, verdict) in verdicts {
        let reason = listed.get(name);
        let place = match (verdict, reason) {
            (Verdict::Equal, _) => 0,
            (Verdict::BothRefuse, _) => 1,
            (Verdict::Differs(_), Some(_)) => 2,
            (Verdict::Differs(_), None) => 3,
            (Verdict::LeftOut, _) => 4,
        };
        counts[place] += 1;
        match (verdict, reason) {
            (Verdict::Differs(lines), None) => wrong.push(format!("{name}\n    {}", lines.join("\n    "))),
            (Verdict::Equal | Verdict::BothRefuse, Some(_)) => {
                wrong.push(format!("{name}: {} lists a difference, and there is none", listed::FILE));
            }
            _ => {}
        }
    }
    if all {
        for name in listed.keys().filter(|name| !names.contains(&name.as_str())) {
            wrong.push(format!("{name}: {} lists a case that does not exist", listed::FILE));
        }
    }
    let labels = [
        "equal files and config",
        "refused by both",
        "differ as docs/differences.md says",
        "differ",
        "left out: newer than this BuildKit",
    ];
    let rows: Vec<Vec<String>> = labels
        .iter()
        .zip(counts)
        .map(|(label, count)| vec![(*label).to_owned(), count.to_string()])
        .collect();
    println!("\n{}", table::markdown(&["", "cases"], &rows));
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("{} cases need a look:\n{}", wrong.len(), wrong.join("\n"))
}
