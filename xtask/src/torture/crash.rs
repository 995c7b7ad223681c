//! Crash: a command is killed with its process group at a random moment; then the same command runs to its end.
//!
//! After the kill no process and no mount may be left. After the second run its result must be what a store that was
//! never killed gives, all images that had a name must have it and be whole, and what the killed one left in work must
//! be gone. Commands are builds (with and without a registry), push, pull, save, load and prune.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Found, Setting};
use crate::jettison::Jettison;
use crate::process::{self, Guarded};
use crate::random::Random;
use crate::registry::Registry;
use crate::scratch;

/// Kills after which every image is read back whole.
const READ_BACK_EVERY: u64 = 12;

/// How long processes of a killed command may be around: the kernel ends them with their parent.
const GONE_LIMIT: Duration = Duration::from_secs(2);

/// How long a command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);

/// What is run, killed, and run again.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    /// The Dockerfile of this number.
    Build(usize),
    /// The same, on a base that is pulled, and pushed in the end.
    BuildAndPush(usize),
    Pull,
    Save,
    Load,
    Prune,
}

const ACTIONS: &[Action] = &[
    Action::Build(0),
    Action::Build(1),
    Action::Build(2),
    Action::BuildAndPush(0),
    Action::BuildAndPush(1),
    Action::Pull,
    Action::Save,
    Action::Load,
    Action::Prune,
];

pub fn run(setting: &Setting) -> Result<Found> {
    let mut found = Found::new("crash: killed with its process group, then run to its end");
    let mut case = Case::new(setting)?;
    let start = Instant::now();
    while setting.goes_on(start, found.tried) {
        case.round(&mut found)?;
        if setting.times.is_some() && found.tried.is_multiple_of(100) {
            println!(
                "crash: {} kills, {} wrong, {:.0} s",
                found.tried,
                found.wrong.len(),
                start.elapsed().as_secs_f64()
            );
        }
    }
    case.read_back(&mut found)?;
    Ok(found)
}

struct Case<'a> {
    setting: &'a Setting,
    registry: Registry,
    store: Jettison,
    random: Random,
    /// Digests of the three Dockerfiles, without and with a pulled base, by a store that was never killed.
    expected: Vec<(String, String)>,
    kept: String,
    /// How long each action took when it was not killed.
    times: Vec<Duration>,
    kills: u64,
}

impl<'a> Case<'a> {
    fn new(setting: &'a Setting) -> Result<Self> {
        let registry = Registry::start(&setting.folder.join("registry"))?;
        let calm = setting.store(&setting.folder.join("calm"))?;
        let context = setting.folder.join("context");
        fs::create_dir_all(&context)?;
        for number in 0..200 {
            fs::write(context.join(number.to_string()), format!("{number}\n").repeat(500))?;
        }
        let pulled = registry.reference("base:1");
        calm.quietly(["tag", "base1", &pulled])?;
        calm.quietly(["push", &pulled])?;
        let mut expected = Vec::new();
        for number in 0..3 {
            for (kind, base) in [("local", "base0"), ("pulled", &pulled[..])] {
                fs::write(setting.folder.join(format!("{kind}{number}")), dockerfile(base, number))?;
            }
            let file = |kind: &str| setting.folder.join(format!("{kind}{number}"));
            let digest = |kind| build(&calm, &file(kind), &context, &["--tag", &format!("{kind}{number}")]);
            expected.push((digest("local")?, digest("pulled")?));
        }
        let image = registry.reference("image:1");
        calm.quietly(["tag", "local0", &image])?;
        calm.quietly(["push", &image])?;
        calm.quietly(["save", "-o", &setting.folder.join("loaded.tar").display().to_string(), "local1"])?;
        let store = setting.store(&setting.folder.join("store"))?;
        let kept = build(&store, &setting.folder.join("local2"), &context, &["--tag", "kept"])?;
        let random = Random::part(setting.seed, 1);
        let times = vec![Duration::ZERO; ACTIONS.len()];
        let mut case = Self { setting, registry, store, random, expected, kept, times, kills: 0 };
        for (index, action) in ACTIONS.iter().enumerate() {
            let start = Instant::now();
            process::output(&mut case.command(*action))?;
            case.times[index] = start.elapsed();
        }
        Ok(case)
    }

    fn command(&self, action: Action) -> Command {
        let folder = &self.setting.folder;
        let (image, saved) = (self.registry.reference("image:1"), folder.join("saved.tar"));
        let words = |words: &[&str]| self.store.command(words);
        let mut command = match action {
            Action::Build(number) => {
                build_command(&self.store, &folder.join(format!("local{number}")), &folder.join("context"))
            }
            Action::BuildAndPush(number) => {
                let file = folder.join(format!("pulled{number}"));
                let mut command = build_command(&self.store, &file, &folder.join("context"));
                let name = self.registry.reference(&format!("pushed:{number}"));
                command.args(["--pull", "--push", "--tag", &name]);
                command
            }
            Action::Pull => words(&["pull", "-q", &image]),
            Action::Save => words(&["save", "-o", &saved.display().to_string(), "kept"]),
            Action::Load => words(&["load", "-q", "-i", &folder.join("loaded.tar").display().to_string()]),
            Action::Prune => words(&["prune", "--all"]),
        };
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn round(&mut self, found: &mut Found) -> Result<()> {
        let index = self.random.below(ACTIONS.len());
        let action = ACTIONS[index];
        // Otherwise the cache leaves nothing to kill.
        if self.random.once_in(2) {
            process::output(&mut self.command(Action::Prune))?;
        }
        let longest = self.times[index].as_micros() as usize + 20_000;
        let wait = Duration::from_micros(self.random.below(longest) as u64);
        let mut killed = Guarded::start_group(&mut self.command(action))?;
        killed.wait_at_most(wait)?;
        killed.kill()?;
        self.kills += 1;
        found.tried += 1;
        let context = format!("kill {} of seed {}: {action:?} after {wait:?}", self.kills, self.setting.seed);
        if let Some(left) = self.left_behind()? {
            found.fail(format!("{context}: left {left}"));
        }
        match self.finish(action) {
            Ok(()) => found.succeeded += 1,
            Err(error) => found.fail(format!("{context}: {error:#}")),
        }
        if self.kills.is_multiple_of(READ_BACK_EVERY) {
            self.read_back(found)?;
        }
        Ok(())
    }

    /// Runs `action` to its end and looks at what came of it.
    fn finish(&self, action: Action) -> Result<()> {
        let mut command = self.command(action);
        let start = Instant::now();
        let output = process::output(&mut command)?;
        ensure!(start.elapsed() < COMMAND_LIMIT, "it hung");
        let expected = match action {
            Action::Build(number) => Some(&self.expected[number].0),
            Action::BuildAndPush(number) => Some(&self.expected[number].1),
            _ => None,
        };
        if let Some(expected) = expected {
            let digest = String::from_utf8_lossy(&output).trim().to_owned();
            ensure!(digest == *expected, "the digest is {digest}, expected {expected}");
        }
        let images = self.store.quietly(["images"])?;
        ensure!(images.contains("kept") && images.contains("base0"), "a name is lost: {images}");
        for folder in ["tmp", "locks/steps"] {
            let left: Vec<_> =
                fs::read_dir(self.store.store().join(folder))?.flatten().map(|e| e.file_name()).collect();
            ensure!(left.is_empty(), "{folder} holds {left:?} after the next command");
        }
        Ok(())
    }

    /// Reads every image that has a name to its last byte; the digests must be right.
    fn read_back(&self, found: &mut Found) -> Result<()> {
        let to = self.setting.folder.join("read-back.tar");
        for name in ["kept", "base0", "base1", "base2"] {
            let _ = fs::remove_file(&to);
            let saved = self.store.quietly(["save", "-o", &to.display().to_string(), name]);
            if let Err(error) = saved {
                found.fail(format!("after kill {}: {name} cannot be read: {error:#}", self.kills));
            }
        }
        if let Err(error) = self.fsck() {
            found.fail(format!("after kill {}: {error:#}", self.kills));
        }
        let kept = build(
            &self.store,
            &self.setting.folder.join("local2"),
            &self.setting.folder.join("context"),
            &[],
        )?;
        if kept != self.kept {
            found.fail(format!("after kill {}: kept is {kept} now, it was {}", self.kills, self.kept));
        }
        let other = self.setting.folder.join("other");
        for number in 0..2 {
            let name = self.registry.reference(&format!("pushed:{number}"));
            if let Err(error) = self.setting.store(&other)?.quietly(["pull", "-q", &name]) {
                found.fail(format!("after kill {}: what was pushed cannot be pulled: {error:#}", self.kills));
            }
            scratch::remove(&other)?;
        }
        Ok(())
    }

    /// What kills leave is left over and no more: nothing is damaged, nothing lacks a part.
    fn fsck(&self) -> Result<()> {
        let said = process::captured(&mut self.store.command(["fsck"]))?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        for line in said.lines().filter(|line| !line.starts_with("checked ")) {
            ensure!(line.ends_with("belongs to nothing"), "fsck finds: {line}");
        }
        self.store.quietly(["fsck", "--repair"])?;
        self.store.quietly(["fsck"])?;
        Ok(())
    }

    /// A process or mount of a killed command.
    fn left_behind(&self) -> Result<Option<String>> {
        let start = Instant::now();
        loop {
            let left = match process_with(self.store.store())? {
                Some(process) => process,
                None => match mount_below(self.store.store())? {
                    Some(mount) => mount,
                    None => return Ok(None),
                },
            };
            if start.elapsed() > GONE_LIMIT {
                return Ok(Some(left));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A process that was started with this store, or with a RUN of ours.
fn process_with(store: &Path) -> Result<Option<String>> {
    let root = format!("JETTISON_ROOT={}", store.display());
    for entry in fs::read_dir("/proc")?.flatten() {
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let has = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        let line = read("cmdline");
        if has(&read("environ"), &root) || has(&line, MARK) {
            return Ok(Some(format!("the process {:?}", String::from_utf8_lossy(&line))));
        }
    }
    Ok(None)
}

fn mount_below(store: &Path) -> Result<Option<String>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let store = store.display().to_string();
    Ok(mounts.lines().find(|line| line.contains(&store)).map(|line| format!("the mount {line}")))
}

/// In the command line of every RUN, so that its process is found.
const MARK: &str = ": torture-crash";

fn dockerfile(base: &str, number: usize) -> String {
    format!(
        "FROM {base} AS one\nCOPY . /all\nRUN {MARK}; cat /all/* | sha256sum > /sum{number}\n\
         FROM {base} AS two\nRUN {MARK}; sleep 0.05; for i in 1 2 3 4 5 6 7 8; do mkdir -p /d$i/{number}; echo $i > /d$i/f; done\n\
         FROM {base}\nWORKDIR /w{number}\nCOPY --from=one /sum{number} /all/1* .\nCOPY --from=two /d* /d/\n\
         RUN {MARK}; rm -rf /w{number}/11; list=$(find / -xdev -type f | sort); echo \"$list\" > /files\n"
    )
}

fn build_command(jettison: &Jettison, file: &Path, context: &Path) -> Command {
    let mut command = jettison.command(["build", "--quiet", "--network=none", "--verify=off", "--file"]);
    command.arg(file).arg(context);
    command
}

fn build(jettison: &Jettison, file: &Path, context: &Path, more: &[&str]) -> Result<String> {
    process::text(build_command(jettison, file, context).args(more))
}
