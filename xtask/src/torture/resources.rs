//! Resources: a command that lacks something in the middle of its work: room on the disk, inodes, the right to write, memory,
//! file descriptors; or whose store is from the future, as after a clock that was set back.
//!
//! It works or says what it lacks; no name is lost; and once there is enough again the same command gives what a store
//! gives that never lacked anything.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::disk::Disk;
use super::trial::{self, Ended};
use super::{Found, Setting};
use crate::jettison::Jettison;
use crate::process;
use crate::random::Random;

/// Longest time for one command.
const LIMIT: Duration = Duration::from_secs(100);

/// Enough of everything.
const ROOM: &str = "size=256m,nr_inodes=100000";

/// Trials after which the store is checked against its own rules.
const FSCK_EVERY: u64 = 10;

/// What is lacking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lack {
    Room,
    Inodes,
    Writing,
    Memory,
    Descriptors,
    Past,
}

const LACKS: &[Lack] = &[
    Lack::Room,
    Lack::Inodes,
    Lack::Room,
    Lack::Descriptors,
    Lack::Room,
    Lack::Memory,
    Lack::Inodes,
    Lack::Writing,
    Lack::Past,
];

#[derive(Clone, Copy, Debug)]
enum Action {
    Build(usize),
    Load,
    Tag,
    Prune,
}

const ACTIONS: &[Action] =
    &[Action::Build(0), Action::Build(1), Action::Build(0), Action::Load, Action::Prune, Action::Tag];

pub fn run(setting: &Setting) -> Result<Found> {
    let mut found = Found::new("resources: a command that lacks room, inodes, memory, descriptors, rights");
    if !process::is_root() {
        println!("skipped: resources need root, for a small disk");
        return Ok(found);
    }
    let mut case = Case::new(setting)?;
    let start = Instant::now();
    let mut trials = 0;
    while setting.goes_on(start, trials) || trials < LACKS.len() as u64 {
        case.trial(trials, &mut found)?;
        trials += 1;
    }
    case.fsck(&mut found)?;
    let refused = case.refused.iter().map(|(lack, (times, all))| format!("{lack:?} {times} of {all}"));
    found.note(format!("ended with an error: {}", refused.collect::<Vec<_>>().join(", ")));
    Ok(found)
}

struct Case<'a> {
    setting: &'a Setting,
    disk: Disk,
    store: Jettison,
    random: Random,
    /// What the two Dockerfiles give.
    expected: Vec<String>,
    /// Bytes and inodes that the larger of them needs.
    needs: (u64, u64),
    /// Of each lack: how often it made a command fail, and how often it was tried.
    refused: BTreeMap<Lack, (u64, u64)>,
}

impl<'a> Case<'a> {
    fn new(setting: &'a Setting) -> Result<Self> {
        let context = setting.folder.join("context");
        fs::create_dir_all(&context)?;
        for number in 0..60 {
            fs::write(context.join(number.to_string()), format!("{number}\n").repeat(3000))?;
        }
        for number in 0..2 {
            fs::write(setting.folder.join(format!("Dockerfile{number}")), dockerfile(number))?;
        }
        let calm = setting.store(&setting.folder.join("calm"))?;
        let disk = Disk::new(&setting.folder.join("small"), ROOM)?;
        let store = setting.jettison.with_store(&disk.put(&setting.bases, "store")?);
        let mut case = Self {
            setting,
            disk,
            store,
            random: Random::part(setting.seed, 5),
            expected: Vec::new(),
            needs: (0, 0),
            refused: BTreeMap::new(),
        };
        for number in 0..2 {
            case.expected.push(process::text(&mut case.command(&calm, Action::Build(number)))?);
        }
        let archive = setting.folder.join("loaded.tar").display().to_string();
        calm.quietly(["tag", &case.expected[0], "loaded:1"])
            .or_else(|_| calm.quietly(["tag", "built0", "loaded:1"]))?;
        calm.quietly(["save", "-o", &archive, "loaded:1"])?;
        case.call(&["tag", "base1", "kept"])?;
        case.call(&["prune", "--all"])?;
        let before = case.disk.used()?;
        process::output(&mut case.disk.command(&case.command(&case.store, Action::Build(0))))?;
        let after = case.disk.used()?;
        // The peak lies above what remains.
        case.needs = ((after.0 - before.0) * 3 / 2, (after.1 - before.1) * 3 / 2);
        Ok(case)
    }

    fn command(&self, store: &Jettison, action: Action) -> Command {
        let folder = &self.setting.folder;
        match action {
            Action::Build(number) => {
                let mut command = store.command(["build", "--quiet", "--network=none", "--verify=off"]);
                command.arg("--tag").arg(format!("built{number}"));
                command.arg("--file").arg(folder.join(format!("Dockerfile{number}")));
                command.arg(folder.join("context"));
                command
            }
            Action::Load => {
                store.command(["load", "-q", "-i", &folder.join("loaded.tar").display().to_string()])
            }
            Action::Tag => store.command(["tag", "base0", "again:1"]),
            Action::Prune => store.command(["prune", "--all"]),
        }
    }

    fn call(&self, words: &[&str]) -> Result<String> {
        process::text(&mut self.disk.command(&self.store.command(words)))
    }

    fn trial(&mut self, number: u64, found: &mut Found) -> Result<()> {
        let lack = LACKS[number as usize % LACKS.len()];
        let action = *self.random.pick(ACTIONS);
        // Otherwise the cache leaves nothing to do.
        self.call(&["prune", "--all"])?;
        let (ended, how) = self.lacking(lack, action)?;
        self.disk.remount("rw")?;
        self.disk.remount(ROOM)?;
        found.tried += 1;
        let (times, all) = self.refused.entry(lack).or_default();
        *all += 1;
        if ended.succeeded() {
            found.succeeded += 1;
        } else {
            *times += 1;
        }
        let context = format!("trial {number} of seed {}: {action:?} with {how}", self.setting.seed);
        if let Some(problem) = judge(&ended, lack) {
            found.fail(format!("{context}: {problem}"));
        }
        if let Err(error) = self.finish(action) {
            found.fail(format!("{context}, then: {error:#}"));
        }
        if number.is_multiple_of(FSCK_EVERY) {
            self.fsck(found)?;
        }
        Ok(())
    }

    /// Runs `action` without enough of something.
    fn lacking(&mut self, lack: Lack, action: Action) -> Result<(Ended, String)> {
        let command = self.command(&self.store, action);
        let (bytes, inodes) = self.disk.used()?;
        let mut limited = Vec::new();
        let how = match lack {
            Lack::Room => {
                let more = self.random.below(self.needs.0 as usize) as u64;
                self.disk.remount(&format!("size={}", bytes + more))?;
                format!("{more} bytes of room")
            }
            Lack::Inodes => {
                let more = self.random.below(self.needs.1 as usize) as u64;
                self.disk.remount(&format!("nr_inodes={}", inodes + more))?;
                format!("{more} inodes")
            }
            Lack::Writing => {
                self.disk.remount("ro")?;
                "a disk that cannot be written".to_owned()
            }
            Lack::Memory => {
                let mut bytes = (8 + self.random.below(80)) << 20;
                // Its own code lies there as well; without it nothing can be said at all.
                while !self.starts_with(bytes)? {
                    bytes += 4 << 20;
                }
                limited.push(format!("--as={bytes}"));
                format!("{} MB of address space", bytes >> 20)
            }
            Lack::Descriptors => {
                let count = 4 + self.random.below(40);
                limited.push(format!("--nofile={count}"));
                // Or else root may have more whenever it likes.
                limited.extend(["setpriv", "--bounding-set=-sys_resource"].map(str::to_owned));
                format!("{count} file descriptors")
            }
            Lack::Past => {
                let mut touch = Command::new("find");
                touch.arg(self.store.store()).args(["-exec", "touch", "-h", "-d", "2090-01-01", "{}", "+"]);
                process::output(&mut self.disk.command(&touch)).context("dating the store")?;
                "a store from the future".to_owned()
            }
        };
        let mut command = self.disk.command(&command);
        if !limited.is_empty() {
            // The limit is set last, so that only the program itself feels it.
            command = limited_command(&command, &limited);
        }
        Ok((trial::run(&mut command, LIMIT)?, how))
    }

    /// Whether the program can as much as tell its version in so much memory.
    fn starts_with(&self, bytes: usize) -> Result<bool> {
        let mut command = Command::new("prlimit");
        command.arg(format!("--as={bytes}")).arg(self.store.program()).arg("version");
        Ok(process::captured(&mut command)?.status.success())
    }

    /// With enough of everything the same command gives what it should.
    fn finish(&self, action: Action) -> Result<()> {
        let said = process::text(&mut self.disk.command(&self.command(&self.store, action)))?;
        if let Action::Build(number) = action {
            let expected = &self.expected[number];
            ensure!(said == *expected, "the digest is {said}, expected {expected}");
        }
        let images = self.call(&["images"])?;
        for name in ["base0", "base1", "base2", "kept"] {
            ensure!(images.contains(name), "{name} is lost: {images}");
        }
        let mut list = Command::new("find");
        list.arg(self.store.store().join("tmp")).args(["-mindepth", "1"]);
        let left = process::text(&mut self.disk.command(&list))?;
        ensure!(left.is_empty(), "left in work: {left}");
        Ok(())
    }

    fn fsck(&self, found: &mut Found) -> Result<()> {
        let said = process::captured(&mut self.disk.command(&self.store.command(["fsck"])))?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        for line in said.lines().filter(|line| !line.starts_with("checked ")) {
            if !line.ends_with("belongs to nothing") {
                found.fail(format!("seed {}: fsck finds: {line}", self.setting.seed));
            }
        }
        self.call(&["fsck", "--repair"]).map(drop)
    }
}

/// `nsenter … -- PROGRAM` becomes `nsenter … -- prlimit LIMITS PROGRAM`.
fn limited_command(command: &Command, limits: &[String]) -> Command {
    let mut limited = Command::new(command.get_program());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            limited.env(name, value);
        }
    }
    let mut inside = false;
    for word in command.get_args() {
        limited.arg(word);
        if word == "--" && !inside {
            inside = true;
            limited.arg("prlimit").args(limits);
        }
    }
    limited
}

fn judge(ended: &Ended, lack: Lack) -> Option<String> {
    // Rust ends a program that gets no memory, and says so; there is nothing to be done without any.
    if lack == Lack::Memory && ended.hung.is_none() && ended.stderr.contains("memory") {
        return None;
    }
    if let Some(problem) = ended.misbehaved() {
        return Some(problem);
    }
    let words: &[&str] = match lack {
        Lack::Room | Lack::Inodes => &["space"],
        Lack::Writing => &["Read-only", "read-only", "readonly"],
        Lack::Memory => &["memory", "Resource temporarily unavailable"],
        Lack::Descriptors => &["open files", "descriptors"],
        Lack::Past => &[],
    };
    let named = words.iter().any(|word| ended.stderr.contains(word));
    (!ended.succeeded() && !named)
        .then(|| format!("the error does not say what is lacking: {}", ended.said()))
}

/// Programs that say why they cannot write: busybox's `seq` and `ls` end with 255 and say nothing.
fn dockerfile(number: usize) -> String {
    format!(
        "FROM base0 AS one\nCOPY . /all\nRUN cat /all/* > /sum{number}\n\
         RUN for i in 1 2 3 4 5 6 7 8; do mkdir -p /d$i/{number}; dd if=/dev/zero of=/d$i/f bs=8k count=3 || exit; done\n\
         FROM base0\nWORKDIR /w{number}\nCOPY --from=one /sum{number} /all/1* ./\nCOPY --from=one /d* /d/\n\
         RUN rm 11 && cat 1* > /files && dd if=/dev/zero of=/s bs=8k count=1\n"
    )
}
