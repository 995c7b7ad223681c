//! Hostile: images, archives, contexts and Dockerfiles that somebody made to do harm.
//!
//! Each case is one command. Whatever it is given, it may write nothing outside of its store, needs little memory, ends in
//! time, and either works or says what is wrong with what. The store lies on a small disk, so that a bomb which
//! unpacks without end meets its end there; after each round it is whole, has lost no name and builds as before.
//! One file for each kind of input: `images.rs`, `bombs.rs`, `games.rs`, `dockerfiles.rs`, `contexts.rs`; `tar.rs` and
//! `layout.rs` write what they give.

mod bombs;
mod contexts;
mod dockerfiles;
mod games;
mod images;
mod layout;
mod tar;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::disk::Disk;
use super::trial::{self, Ended};
use super::{Found, Setting};
use crate::jettison::Jettison;
use crate::process;
use crate::random::Random;
use crate::scratch;

/// Most memory that a command may have, whatever it is given, bytes. A dev build's own code counts with it.
const PEAK_BYTES_MAX: u64 = 400 << 20;

/// Longest time for a case, and for one of a long run, which may hold a million files.
const CASE_LIMIT: Duration = Duration::from_secs(100);
const CASE_LIMIT_OF_LONG_RUN: Duration = Duration::from_secs(300);

/// The store's disk.
const DISK: &str = "size=192m,nr_inodes=400000";
/// The same where everything is larger: two layers of a million files lie there, and a third one must not.
const DISK_OF_LONG_RUN: &str = "size=1g,nr_inodes=2500000";

/// Cases whose time and memory are told one by one.
const MEASURED: &str = "very many";

/// A run that is at least so long makes everything larger.
const LONG: Duration = Duration::from_secs(120);

/// What must come of a case.
enum Expect {
    Works,
    /// An error that names this.
    Refused(String),
    /// Either; the rules for all cases say enough.
    Anything,
}

/// Something that goes on while the command runs, until it is told to end.
type Meanwhile = Box<dyn FnOnce(&AtomicBool) + Send>;

/// One command.
struct Case {
    arguments: Vec<String>,
    expect: Expect,
    meanwhile: Option<Meanwhile>,
}

impl Case {
    fn new<S: Into<String>>(arguments: impl IntoIterator<Item = S>, expect: Expect) -> Self {
        Self { arguments: arguments.into_iter().map(Into::into).collect(), expect, meanwhile: None }
    }

    fn works<S: Into<String>>(arguments: impl IntoIterator<Item = S>) -> Self {
        Self::new(arguments, Expect::Works)
    }

    fn refused<S: Into<String>>(arguments: impl IntoIterator<Item = S>, culprit: &str) -> Self {
        Self::new(arguments, Expect::Refused(culprit.to_owned()))
    }
}

/// What a case may use.
struct Place {
    /// New for each case.
    folder: PathBuf,
    /// Outside; nothing in it may change.
    canary: PathBuf,
    random: Random,
    /// How much larger than in a short run.
    scale: usize,
}

impl Place {
    /// A number of things in a long run; a tenth of it in a short one.
    fn much(&self, long: usize) -> usize {
        if self.scale == 1 { long / 10 } else { long }
    }

    /// A file with this content; its path.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<String> {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
        fs::write(&path, content)?;
        Ok(path.display().to_string())
    }

    /// A build of this Dockerfile; the context is the folder `context`.
    fn build(&self, dockerfile: impl AsRef<[u8]>) -> Result<Vec<String>> {
        let file = self.write("Dockerfile", dockerfile)?;
        let context = self.folder.join("context");
        fs::create_dir_all(&context)?;
        let words = ["build", "--quiet", "--network=none", "--verify=off", "--file", &file];
        Ok(words.iter().map(|&word| word.to_owned()).chain([context.display().to_string()]).collect())
    }
}

/// The name of a case, and what makes it.
type Maker = (&'static str, fn(&mut Place) -> Result<Case>);

pub fn run(setting: &Setting) -> Result<Found> {
    let mut found = Found::new("hostile: images, archives, contexts and Dockerfiles made to do harm");
    if !process::is_root() {
        println!("skipped: hostile input needs root, for a small disk");
        return Ok(found);
    }
    let is_long = setting.limit >= LONG;
    let disk = Disk::new(&setting.folder, if is_long { DISK_OF_LONG_RUN } else { DISK })?;
    let store = setting.jettison.with_store(&disk.put(&setting.bases, "store")?);
    let canary = setting.folder.join("canary");
    fs::create_dir_all(&canary)?;
    fs::write(canary.join("canary"), "alive")?;
    let start = Instant::now();
    let scale = if is_long { 16 } else { 1 };
    let mut family = Family { setting, disk, store, canary, peak: (0, ""), longest: (Duration::ZERO, "") };
    for round in 0.. {
        for (index, maker) in kinds().enumerate() {
            // The first round is done whole: each case at least once.
            if round > 0 && start.elapsed() > setting.limit {
                break;
            }
            if !maker.0.contains(&setting.case) {
                continue;
            }
            let random = Random::part(setting.seed, (round << 16) + index as u64);
            family.case(maker, random, scale, &mut found)?;
        }
        if let Err(error) = family.afterwards() {
            found.fail(format!("after round {round} of seed {}: {error:#}", setting.seed));
        }
        if start.elapsed() > setting.limit {
            break;
        }
    }
    found.note(format!(
        "at most {} MB ({}) and {:.1} s ({})",
        family.peak.0 >> 20,
        family.peak.1,
        family.longest.0.as_secs_f64(),
        family.longest.1
    ));
    Ok(found)
}

fn kinds() -> impl Iterator<Item = Maker> {
    let all = [images::CASES, bombs::CASES, games::CASES, dockerfiles::CASES, contexts::CASES];
    all.into_iter().flatten().copied()
}

struct Family<'a> {
    setting: &'a Setting,
    disk: Disk,
    store: Jettison,
    canary: PathBuf,
    peak: (u64, &'static str),
    longest: (Duration, &'static str),
}

impl Family<'_> {
    fn case(&mut self, maker: Maker, random: Random, scale: usize, found: &mut Found) -> Result<()> {
        let (name, make) = maker;
        let folder = self.setting.folder.join("case");
        fs::create_dir_all(&folder)?;
        let mut place = Place { folder: folder.clone(), canary: self.canary.clone(), random, scale };
        let case = make(&mut place)?;
        let ended = self.carry_out(&case.arguments, case.meanwhile)?;
        found.tried += 1;
        if ended.succeeded() {
            found.succeeded += 1;
        }
        if name.contains(MEASURED) {
            let (memory, seconds) = (ended.peak_bytes >> 20, ended.time.as_secs_f64());
            found.note(format!("{memory} MB and {seconds:.1} s ({name})"));
        }
        if ended.peak_bytes > self.peak.0 {
            self.peak = (ended.peak_bytes, name);
        }
        if ended.time > self.longest.0 {
            self.longest = (ended.time, name);
        }
        if let Some(problem) = judge(&ended, &case.expect).or_else(|| outside(&self.canary)) {
            found.fail(format!("{name}, seed {}: {problem}", self.setting.seed));
        }
        scratch::remove(&folder)
    }

    fn carry_out(&self, arguments: &[String], meanwhile: Option<Meanwhile>) -> Result<Ended> {
        let mut command = self.disk.command(&self.store.command(arguments));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            if let Some(meanwhile) = meanwhile {
                scope.spawn(|| meanwhile(&stop));
            }
            let is_long = self.setting.limit >= LONG;
            let ended = trial::run(&mut command, if is_long { CASE_LIMIT_OF_LONG_RUN } else { CASE_LIMIT });
            stop.store(true, Ordering::Relaxed);
            ended
        })
    }

    /// The store is whole, and does what it did before.
    fn afterwards(&self) -> Result<()> {
        let call = |words: &[&str]| process::text(&mut self.disk.command(&self.store.command(words)));
        call(&["prune", "--all"])?;
        // Its findings go to standard output.
        let mut fsck = self.disk.command(&self.store.command(["fsck"]));
        let found = process::captured(&mut fsck)?;
        ensure!(found.status.success(), "fsck finds {}", String::from_utf8_lossy(&found.stdout));
        let images = call(&["images"])?;
        for number in 0..super::BASES {
            ensure!(images.contains(&format!("base{number}")), "base{number} is lost: {images}");
        }
        let (used, _) = self.disk.used()?;
        ensure!(used < 64 << 20, "{used} bytes are left in the store");
        Ok(())
    }
}

fn judge(ended: &Ended, expect: &Expect) -> Option<String> {
    if let Some(problem) = ended.misbehaved() {
        return Some(problem);
    }
    if ended.peak_bytes > PEAK_BYTES_MAX {
        return Some(format!("it needed {} MB: {}", ended.peak_bytes >> 20, ended.said()));
    }
    match expect {
        Expect::Works if !ended.succeeded() => Some(format!("it failed: {}", ended.said())),
        Expect::Refused(culprit) if ended.succeeded() => {
            Some(format!("it was not refused; {culprit:?} was expected"))
        }
        Expect::Refused(culprit) if !ended.stderr.contains(culprit.as_str()) => {
            Some(format!("the error does not name {culprit:?}: {}", ended.said()))
        }
        _ => None,
    }
}

/// What happened outside, if anything did.
fn outside(canary: &Path) -> Option<String> {
    let alive = fs::read_to_string(canary.join("canary")).is_ok_and(|text| text == "alive");
    let alone = fs::read_dir(canary).is_ok_and(|entries| entries.count() == 1);
    (!alive || !alone).then(|| format!("{} is not what it was", canary.display()))
}

/// A shell command that must work; for what only programs can make.
fn program(name: &str, arguments: &[&str]) -> Result<()> {
    process::output(Command::new(name).args(arguments)).map(drop)
}
