//! `cargo xtask differential`: each case of `tests/dockerfiles` built by jettison and by docker.io's BuildKit, and what
//! came out compared: every file, and the config with its history.
//!
//! `compare.rs` finds what differs between two outcomes; `listed.rs` reads `docs/differences.md`, where the
//! differences that are meant stand with their reason. A difference that is not listed there fails, and so does a line
//! there that speaks of a case without one. Cases that need a newer language than that BuildKit has are left out.
//! `random.rs` puts Dockerfiles together that are no cases.

mod attestations;
mod compare;
mod listed;
mod random;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use jettison_corpus::{Case, Image, Version};
use serde_json::{Value, json};

use crate::docker::{Docker, Release};
use crate::jettison::{Jettison, Profile};
use crate::packages;
use crate::process;
use crate::repository;
use crate::scratch::Scratch;
use crate::table;

const HELP: &str = "cargo xtask differential [OPTIONS]   (as root: BuildKit's daemon needs it)

  --case TEXT   only cases with TEXT in their name; repeatable
  --every N     only each Nth case, in the order of their names [1]
  --random N    N Dockerfiles put together from a seed instead of the cases; what differs is shown
  --seed N      that seed [by the clock, printed]
  --attestations   the fields of --provenance instead of the cases; means --newest
  --newest      against the BuildKit of Debian unstable, which is fetched, not installed
";

/// The version of the language that a docker speaks without a `# syntax=` line.
const fn language(release: Release) -> Version {
    match release {
        // docker 20.10, which is what Debian 12 has: BuildKit 0.8.
        Release::Installed => (1, 2),
        // docker 28.5: BuildKit 0.25.
        Release::Newest => (1, 19),
    }
}

/// The base image of cases that need a shell.
const BASE: &str = "busybox";

/// What BuildKit says where it cannot fetch a frontend; the rest of the name follows. No case has a base from there.
const NO_FRONTEND: &str = "failed to resolve source metadata for docker.io/";

/// What became of a case.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
enum Verdict {
    /// Files and config are the same.
    Equal,
    /// Neither builds it.
    BothRefuse,
    /// It needs a newer language, or a frontend that cannot be fetched.
    LeftOut,
    /// What differs, line by line.
    Differs(Vec<String>),
}

/// What was asked for.
#[derive(Debug, PartialEq)]
struct Options {
    /// Parts of names; none means all.
    wanted: Vec<String>,
    every: usize,
    release: Release,
    random: Option<u64>,
    seed: u64,
    attestations: bool,
}

impl Options {
    fn choose(&self, cases: Vec<Case>) -> Vec<Case> {
        let named = |case: &Case| self.wanted.is_empty() || self.wanted.iter().any(|p| case.name.contains(p));
        cases.into_iter().filter(named).step_by(self.every).collect()
    }
}

/// Builds everything twice and compares.
pub fn run(arguments: &[String]) -> Result<()> {
    let Some(options) = options(arguments)? else {
        print!("{HELP}");
        return Ok(());
    };
    if !process::is_root() {
        bail!("BuildKit's daemon needs root: sudo cargo xtask differential");
    }
    packages::ensure(packages::TEST)?;
    let root = repository::root();
    let all = jettison_corpus::all(&root.join("tests/dockerfiles"))?;
    let listed = listed::read(&root.join(listed::FILE), options.release)?;
    let unknown = listed.keys().filter(|name| !all.iter().any(|case| case.name == **name));
    let unknown: Vec<String> = unknown.cloned().collect();
    if !unknown.is_empty() {
        bail!("{} lists cases that do not exist: {}", listed::FILE, unknown.join(", "));
    }
    let cases = match options.random {
        None => options.choose(all),
        Some(count) => options.choose(random::cases(options.seed, 0, count)?),
    };
    let parent = repository::target().join("jettison-differential");
    let scratch = Scratch::below(&parent, "run")?;
    let builders = Builders::start(options.release, scratch.path())?;
    println!("{} against {}", builders.jettison.version()?, builders.docker.version()?);
    if options.attestations {
        return attestations::run(&builders);
    }
    let start = Instant::now();
    let verdicts = builders.judge(&cases)?;
    println!("{} cases in {:.0} s", cases.len(), start.elapsed().as_secs_f64());
    if options.random.is_some() {
        println!("seed {}", options.seed);
        for case in &cases {
            if let Some(Verdict::Differs(_)) = verdicts.get(&case.name) {
                let file = |name| case.file(name).unwrap_or_default().trim_end().replace('\n', "\n    ");
                println!("{} {:?}, ignored: {:?}", case.name, case.arguments, file(".dockerignore"));
                println!("    {}\n", file("Dockerfile"));
            }
        }
    }
    report(&verdicts, &listed)
}

/// What `ci` does of it: few enough cases for a minute, always the same ones.
pub fn run_some() -> Result<()> {
    if process::is_root() {
        return run(&["--every".to_owned(), "12".to_owned()]);
    }
    println!("skipped: BuildKit's daemon needs root");
    Ok(())
}

fn options(arguments: &[String]) -> Result<Option<Options>> {
    let mut options = Options {
        wanted: Vec::new(),
        every: 1,
        release: Release::Installed,
        random: None,
        seed: clock(),
        attestations: false,
    };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "--case" => options.wanted.push(value()?.clone()),
            "--every" => options.every = value()?.parse().context("--every needs a number")?,
            "--random" => options.random = Some(value()?.parse().context("--random needs a number")?),
            "--seed" => options.seed = value()?.parse().context("--seed needs a number")?,
            "--attestations" => (options.attestations, options.release) = (true, Release::Newest),
            "--newest" => options.release = Release::Newest,
            other => bail!("there is no option {other:?}; see cargo xtask differential --help"),
        }
    }
    if options.every == 0 {
        bail!("--every must be at least 1");
    }
    Ok(Some(options))
}

/// A seed that is another one each time.
fn clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |time| time.as_secs())
}

/// Both builders, ready, each with the base image.
struct Builders {
    release: Release,
    jettison: Jettison,
    docker: Docker,
    folder: PathBuf,
}

impl Builders {
    fn start(release: Release, folder: &Path) -> Result<Self> {
        let jettison = Jettison::compiled(Profile::Dev, &folder.join("store"))?;
        let docker = Docker::start(release, None, &folder.join("docker"))?;
        let base = folder.join("base");
        jettison_corpus::busybox::context(&base)?;
        let archive = folder.join("base.tar");
        let output = format!("type=docker,dest={}", archive.display());
        let mut build = jettison.command(["build", "--quiet", "--tag", BASE, "--output", "type=image"]);
        process::output(build.args(["--output", &output]).arg(&base))?;
        process::output(docker.call(&["load", "--input"]).arg(&archive))?;
        Ok(Self { release, jettison, docker, folder: folder.to_owned() })
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
        if case.since.is_some_and(|since| since > language(self.release)) {
            return Ok(Verdict::LeftOut);
        }
        let work = Scratch::below(&self.folder, "case")?;
        let context = work.path().join("context");
        case.lay_out(&context)?;
        let ours = self.by_jettison(case, &context, &work.path().join("ours.tar"))?;
        let theirs = self.by_docker(case, &context, &work.path().join("theirs.tar"))?;
        Ok(match (ours, theirs) {
            (Err(_), Err(_)) => Verdict::BothRefuse,
            // What `# syntax=` names is fetched by BuildKit, and may not be there to be had.
            (Ok(_), Err(error)) if error.contains(NO_FRONTEND) => Verdict::LeftOut,
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
        // Without its cache: what one case left there must not decide what another one gets.
        if self.release == Release::Newest {
            let output = format!("type=docker,compression=uncompressed,dest={}", archive.display());
            let words = ["build", "--no-cache", "--network=host", "--progress=plain", "--provenance=false"];
            let mut build = self.docker.call(&words);
            build.args(["--output", &output]).args(&case.arguments).arg(".").current_dir(context);
            return built(process::captured(&mut build)?, archive, last_line);
        }
        let tag = case.name.replace('/', "-");
        let words = ["build", "--no-cache", "--network=host", "--progress=plain", "--tag", &tag];
        let mut build = self.docker.call(&words);
        build.args(&case.arguments).arg(".").current_dir(context);
        let done = process::captured(&mut build)?;
        if done.status.success() {
            let saved = process::captured(self.docker.call(&["save", "--output"]).arg(archive).arg(&tag))?;
            if String::from_utf8_lossy(&saved.stderr).contains("empty export") {
                return self.without_layers(&tag).map(Ok);
            }
        }
        built(done, archive, last_line)
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

fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().to_owned()
}

/// Prints the table, and fails if something differs that is not listed, or is listed and does not differ.
fn report(verdicts: &BTreeMap<String, Verdict>, listed: &BTreeMap<String, String>) -> Result<()> {
    let mut counts = [0_usize; 5];
    let mut wrong = Vec::new();
    for (name, verdict) in verdicts {
        let is_listed = listed.contains_key(name);
        let (place, problem) = match verdict {
            Verdict::Equal | Verdict::BothRefuse if is_listed => {
                (3, Some(format!("{name}: {} lists a difference, and there is none", listed::FILE)))
            }
            Verdict::Equal => (0, None),
            Verdict::BothRefuse => (1, None),
            Verdict::Differs(_) if is_listed => (2, None),
            Verdict::Differs(lines) => (3, Some(format!("{name}\n    {}", lines.join("\n    ")))),
            Verdict::LeftOut => (4, None),
        };
        counts[place] += 1;
        wrong.extend(problem);
    }
    let labels = [
        "equal files and config",
        "refused by both",
        "differ as docs/differences.md says",
        "differ otherwise",
        "left out: newer than this BuildKit, or its frontend must be fetched",
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
    println!("{}\n", wrong.join("\n"));
    bail!("{} cases need a look", wrong.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Option<Options>> {
        options(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_and_wrong_ones_refused() {
        let found = parse(&["--case", "copy/", "--every", "3", "--seed", "7"]).unwrap().unwrap();
        assert_eq!(
            found,
            Options {
                wanted: vec!["copy/".to_owned()],
                every: 3,
                release: Release::Installed,
                random: None,
                seed: 7,
                attestations: false
            }
        );
        assert!(parse(&["--help"]).unwrap().is_none());
        for wrong in [&["--every", "0"][..], &["--every"], &["--fast"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_not_listed_fails_and_so_does_what_is_listed_in_vain() {
        let verdict = |name: &str, verdict| BTreeMap::from([(name.to_owned(), verdict)]);
        let listed = BTreeMap::from([("a/b".to_owned(), "why".to_owned())]);
        let differs = || Verdict::Differs(vec!["x".to_owned()]);
        assert!(report(&verdict("a/b", differs()), &listed).is_ok());
        assert!(report(&verdict("a/c", differs()), &listed).is_err());
        assert!(report(&verdict("a/b", Verdict::Equal), &listed).is_err());
        assert!(report(&verdict("a/c", Verdict::BothRefuse), &listed).is_ok());
    }
}
