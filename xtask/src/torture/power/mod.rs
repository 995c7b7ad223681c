//! Power: what a power cut would leave. A build is recorded with strace (`trace.rs`), and killed at a random call or not
//! at all.
//!
//! The record must keep the order of docs/formats/store.md at every cut: what gets a name below `blobs/` was flushed first, and
//! no row of the index speaks of a blob or snapshot before that has its name. Then the cut is carried out:
//! whatever was not flushed is cut short or loses its name, the machine seems to have been started anew, and the same
//! build must give the digest of a store that never lost anything, with all names there and nothing for fsck to
//! find.

mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use self::trace::Event;
use super::{Found, Setting};
use crate::jettison::Jettison;
use crate::process::{self, Guarded};
use crate::random::Random;
use crate::scratch;

/// Longest time for one recorded build.
const LIMIT: Duration = Duration::from_secs(120);

/// Shows another start of the machine to the command that follows.
const OTHER_BOOT: &str = r#"mount --bind "$1" /proc/sys/kernel/random/boot_id && shift && exec "$@""#;

pub fn run(setting: &Setting) -> Result<Found> {
    let mut found = Found::new("power: a build cut at a system call, what was not flushed is lost");
    if !process::is_root() || process::find_program("strace").is_none() {
        println!("skipped: power cuts need root and strace");
        return Ok(found);
    }
    let mut case = Case::new(setting)?;
    let start = Instant::now();
    for round in 0.. {
        case.round(round, &mut found)?;
        if start.elapsed() > setting.limit {
            break;
        }
    }
    let Case { events, renames, lost, .. } = case;
    found.note(format!("{events} events on files, {renames} names given; {lost} files cut short or lost"));
    Ok(found)
}

struct Case<'a> {
    setting: &'a Setting,
    random: Random,
    expected: String,
    /// How long a whole recorded build takes.
    whole: Duration,
    events: u64,
    renames: u64,
    lost: u64,
}

impl<'a> Case<'a> {
    fn new(setting: &'a Setting) -> Result<Self> {
        let context = setting.folder.join("context");
        fs::create_dir_all(&context)?;
        for number in 0..40 {
            fs::write(context.join(number.to_string()), format!("{number}\n").repeat(2000))?;
        }
        fs::write(setting.folder.join("Dockerfile"), DOCKERFILE)?;
        fs::write(setting.folder.join("boot"), "00000000-1111-2222-3333-444444444444\n")?;
        let calm = setting.store(&setting.folder.join("calm"))?;
        let expected = process::text(&mut build(setting, &calm))?;
        let random = Random::part(setting.seed, 9);
        let whole = Duration::from_secs(5);
        Ok(Self { setting, random, expected, whole, events: 0, renames: 0, lost: 0 })
    }

    fn round(&mut self, round: u64, found: &mut Found) -> Result<()> {
        let folder = self.setting.folder.join("store");
        let store = self.setting.store(&folder)?;
        let before = (snapshots(&folder)?, log_bytes(&folder));
        // The first one is recorded whole.
        let is_cut = round > 0;
        let text = self.record(&store, is_cut)?;
        let events = trace::read(&text, &folder.display().to_string());
        self.events += events.len() as u64;
        self.renames += events.iter().filter(|event| matches!(event, Event::Renamed { .. })).count() as u64;
        let context = format!("round {round} of seed {}", self.setting.seed);
        for problem in out_of_order(&events) {
            found.fail(format!("{context}: {problem}"));
        }
        if !is_cut
            && !events.iter().any(|e| matches!(e, Event::Renamed { to, .. } if to.starts_with("blobs/")))
        {
            found.fail(format!("{context}: the record holds no blob; {} events", events.len()));
        }
        self.lose(&folder, &events, &before.0, before.1)?;
        found.tried += 1;
        match self.afterwards(&store) {
            Ok(()) => found.succeeded += 1,
            Err(error) => found.fail(format!("{context}: {error:#}")),
        }
        scratch::remove(&folder)
    }

    /// Runs a build under strace, and kills it at some moment if `is_cut`; what strace wrote.
    fn record(&mut self, store: &Jettison, is_cut: bool) -> Result<String> {
        let file = self.setting.folder.join("trace");
        let build = build(self.setting, store);
        let mut command = Command::new("strace");
        command.args([
            "-f",
            "-y",
            "-qq",
            "-s",
            trace::TEXT_BYTES,
            "-e",
            &format!("trace={}", trace::CALLS),
            "-o",
        ]);
        command.arg(&file).arg(build.get_program()).args(build.get_args());
        command.env("JETTISON_ROOT", store.store());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let start = Instant::now();
        let mut process = Guarded::start_group(&mut command)?;
        let limit = if is_cut {
            self.random.below(self.whole.as_millis() as usize) as u64
        } else {
            LIMIT.as_millis() as u64
        };
        let status = process.wait_at_most(Duration::from_millis(limit))?;
        process.kill()?;
        if !is_cut {
            ensure!(status.is_some_and(|status| status.success()), "the build did not work under strace");
            self.whole = start.elapsed();
        }
        // Processes that strace let go of end with their parents; they are waited for, so that nothing writes any more.
        std::thread::sleep(Duration::from_millis(50));
        Ok(String::from_utf8_lossy(&fs::read(&file)?).into_owned())
    }

    /// What was not flushed may be lost: files are cut short, and the last names given are taken back.
    fn lose(&mut self, root: &Path, events: &[Event], before: &BTreeSet<PathBuf>, log: u64) -> Result<()> {
        // What stood in the log before was written long ago, unless it has been begun anew since, after a flush.
        let was_begun_anew = events.contains(&Event::Flushed("index.db".to_owned()));
        let log = if was_begun_anew { 0 } else { log };
        for path in unflushed(events) {
            let is_database = path.starts_with("index.db") && !path.ends_with("-wal");
            // SQLite writes over pages of the database only after the log that has them was flushed.
            if !is_database && !path.ends_with("-shm") {
                let kept = if path.ends_with("-wal") { log } else { 0 };
                self.cut_short(&root.join(path), kept)?;
            }
        }
        // Files of snapshots are never flushed.
        for snapshot in snapshots(root)?.difference(before) {
            for file in files(snapshot)? {
                if self.random.once_in(3) {
                    self.cut_short(&file, 0)?;
                }
            }
        }
        for name in names_at_risk(events) {
            let path = root.join(&name);
            if self.random.once_in(2) && path.exists() {
                scratch::remove(&path)?;
                self.lost += 1;
            }
        }
        Ok(())
    }

    /// Leaves at least `kept` bytes.
    fn cut_short(&mut self, file: &Path, kept: u64) -> Result<()> {
        let Ok(metadata) = fs::symlink_metadata(file) else { return Ok(()) };
        if !metadata.is_file() || metadata.len() <= kept {
            return Ok(());
        }
        let lost = metadata.len() - kept;
        let length = kept + if self.random.once_in(2) { 0 } else { self.random.next() % lost };
        File::options().write(true).open(file)?.set_len(length)?;
        self.lost += 1;
        Ok(())
    }

    /// The machine starts again: the store serves, is right, and has lost no name.
    fn afterwards(&self, store: &Jettison) -> Result<()> {
        let digest = process::text(&mut self.restarted(&build(self.setting, store), store))?;
        ensure!(digest == self.expected, "the digest is {digest}, expected {}", self.expected);
        let images = process::text(&mut self.restarted(&store.command(["images"]), store))?;
        for number in 0..super::BASES {
            ensure!(images.contains(&format!("base{number}")), "base{number} is lost: {images}");
        }
        process::text(&mut self.restarted(&store.command(["fsck", "--repair"]), store))?;
        let again = process::text(&mut self.restarted(&build(self.setting, store), store))?;
        ensure!(again == self.expected, "after fsck the digest is {again}, expected {}", self.expected);
        let checked = process::captured(&mut self.restarted(&store.command(["fsck"]), store))?;
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        ensure!(checked.status.success(), "fsck finds: {said}");
        Ok(())
    }

    /// A command that sees another start of the machine.
    fn restarted(&self, command: &Command, store: &Jettison) -> Command {
        let mut outer = Command::new("unshare");
        outer.args(["--mount", "sh", "-c", OTHER_BOOT, "sh"]).arg(self.setting.folder.join("boot"));
        outer.arg(command.get_program()).args(command.get_args()).env("JETTISON_ROOT", store.store());
        outer
    }
}

const DOCKERFILE: &str = "FROM base0 AS one\nCOPY . /all\nRUN cat /all/* | sha256sum > /sum\n\
    RUN for i in 1 2 3 4; do mkdir /d$i; seq 3000 > /d$i/f; done\n\
    FROM base1\nCOPY --from=one /sum /d* /x/\nRUN seq 100 > /s\nCOPY 1* /y/\n";

fn build(setting: &Setting, store: &Jettison) -> Command {
    let mut command =
        store.command(["build", "--quiet", "--network=none", "--verify=off", "--tag", "power:1"]);
    command.arg("--file").arg(setting.folder.join("Dockerfile")).arg(setting.folder.join("context"));
    command
}

/// Where the order of the format is not kept.
fn out_of_order(events: &[Event]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut dirty = BTreeSet::new();
    // What will get a name, by the text that rows have for it.
    let mut nameless: BTreeMap<&str, &str> = BTreeMap::new();
    for event in events {
        if let Event::Renamed { to, .. } = event
            && let Some(text) = text_in_rows(to)
        {
            nameless.insert(text, to);
        }
    }
    for event in events {
        match event {
            Event::Made(_) => {}
            Event::Written(path, bytes) => {
                dirty.insert(path.clone());
                if path == "index.db-wal" {
                    let early = nameless.iter().filter(|(text, _)| bytes.contains(**text));
                    problems
                        .extend(early.map(|(_, to)| format!("a row speaks of {to} before it has that name")));
                }
            }
            Event::Flushed(path) => {
                dirty.remove(path);
            }
            Event::Renamed { from, to } => {
                if to.starts_with("blobs/") && dirty.contains(from) {
                    problems.push(format!("{from} became {to} before it was flushed"));
                }
                if let Some(text) = text_in_rows(to) {
                    nameless.remove(text);
                }
                if dirty.remove(from) {
                    dirty.insert(to.clone());
                }
            }
        }
    }
    problems
}

/// A blob's hexadecimal digest, a snapshot's id.
fn text_in_rows(path: &str) -> Option<&str> {
    let is_named = path.starts_with("blobs/") || path.starts_with("snapshots/");
    path.rsplit('/').next().filter(|_| is_named)
}

/// Files that were written and not flushed since, by their last name.
fn unflushed(events: &[Event]) -> BTreeSet<String> {
    let mut dirty = BTreeSet::new();
    for event in events {
        match event {
            Event::Made(path) | Event::Written(path, _) => {
                dirty.insert(path.clone());
            }
            Event::Flushed(path) => {
                dirty.remove(path);
            }
            Event::Renamed { from, to } => {
                if dirty.remove(from) {
                    dirty.insert(to.clone());
                }
            }
        }
    }
    dirty
}

/// Names given after the last flush: nothing forced the folder that holds them onto the disk.
fn names_at_risk(events: &[Event]) -> Vec<String> {
    let after = events.iter().rposition(|event| matches!(event, Event::Flushed(_))).map_or(0, |at| at + 1);
    let given = events[after..].iter().filter_map(|event| match event {
        Event::Renamed { to, .. } if text_in_rows(to).is_some() => Some(to.clone()),
        _ => None,
    });
    given.collect()
}

fn log_bytes(root: &Path) -> u64 {
    fs::metadata(root.join("index.db-wal")).map_or(0, |log| log.len())
}

fn snapshots(root: &Path) -> Result<BTreeSet<PathBuf>> {
    let folder = root.join("snapshots");
    let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)?.flatten() {
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(path: &str, bytes: &str) -> Event {
        Event::Written(path.to_owned(), bytes.to_owned())
    }

    fn renamed(from: &str, to: &str) -> Event {
        Event::Renamed { from: from.to_owned(), to: to.to_owned() }
    }

    #[test]
    fn a_blob_that_was_not_flushed_and_a_row_that_comes_too_early_are_found() {
        let flushed = Event::Flushed("tmp/a".to_owned());
        let good = [
            written("tmp/a", "x"),
            flushed.clone(),
            renamed("tmp/a", "blobs/sha256/abc"),
            written("index.db-wal", "row of abc"),
        ];
        assert_eq!(out_of_order(&good), Vec::<String>::new());
        let torn = [flushed, written("tmp/a", "x"), renamed("tmp/a", "blobs/sha256/abc")];
        assert!(out_of_order(&torn)[0].contains("before it was flushed"));
        let early = [written("index.db-wal", "row of abc"), renamed("tmp/a", "blobs/sha256/abc")];
        assert!(out_of_order(&early)[0].contains("before it has that name"));
        assert_eq!(unflushed(&torn), BTreeSet::from(["blobs/sha256/abc".to_owned()]));
        assert_eq!(names_at_risk(&good), ["blobs/sha256/abc"]);
    }
}
