//! Sandbox: what a step tries to get out (`attempts.rs`), as root and as a plain user, while another build holds a
//! secret; all of it refused. Then the same script in Debian's docker.io: what is permitted, masked and visible is
//! the same. And a cache mount in which one step swaps folders for links to the outside while others mount it (`race.rs`).

mod attempts;
mod race;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Found, Setting};
use crate::docker::{Docker, Release};
use crate::jettison::Jettison;
use crate::process::{self, Guarded};
use crate::random::Random;
use crate::scratch::Scratch;

/// The secret of the other build.
const SECRET: &str = "torture-secret-5c1d7a";

/// Answers in which docker.io of Debian 12 and we differ on purpose, with the reason.
const MEANT: &[(&str, &str)] = &[
    ("fact open descriptors", "none of the builder's own in either; the number depends on the shell's pipe"),
    ("fact identity", "root's supplementary group 0, which newer versions of Docker give as well"),
    ("write /sys", "its control groups can be written there; here there are none to see"),
];

/// A list of which we may have more: newer versions of Docker mask more as well.
const AT_LEAST: &str = "fact masked and read-only";

pub fn run(setting: &Setting) -> Result<Found> {
    let mut found = Found::new("sandbox: attempts to get out of a step, and what Docker permits");
    let canary = setting.folder.join("canary");
    fs::create_dir_all(&canary)?;
    fs::write(canary.join("canary"), "alive")?;
    let store = setting.store(&setting.folder.join("store"))?;
    let _outside = outside()?;
    let case = Case { setting, store, canary, outside: _outside.pid() };
    let _secret = case.other_build()?;
    let ours = case.attempts("root", &mut found)?;
    case.attempts("1000:1000", &mut found)?;
    if let Some(theirs) = case.dockers()? {
        compare(&ours, &theirs, &mut found);
    }
    let start = Instant::now();
    let mut random = Random::part(setting.seed, 8);
    let mut round = 0;
    while round < 1 || start.elapsed() + Duration::from_secs(8) < setting.limit {
        race::run(&case, round, &mut random, &mut found)?;
        round += 1;
    }
    Ok(found)
}

/// A process of the machine that no step may see.
fn outside() -> Result<Guarded> {
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 600; : torture-outside"]).stdout(Stdio::null()).stderr(Stdio::null());
    Guarded::start_group(&mut command)
}

struct Case<'a> {
    setting: &'a Setting,
    store: Jettison,
    canary: PathBuf,
    outside: u32,
}

impl Case<'_> {
    /// A build that holds a secret in a file and a variable, for as long as all this takes.
    fn other_build(&self) -> Result<Guarded> {
        let folder = self.setting.folder.join("other");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("secret"), SECRET)?;
        fs::write(
            folder.join("Dockerfile"),
            "FROM base0\nRUN --mount=type=secret,id=s,target=/held --mount=type=secret,id=s,env=HELD sleep 600\n",
        )?;
        let mut command = self.store.command(["build", "--quiet", "--network=none", "--secret"]);
        command.arg(format!("id=s,src={}", folder.join("secret").display())).arg(&folder);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Guarded::start_group(&mut command)
    }

    fn fill(&self, text: &str) -> String {
        text.replace("$CANARY", &self.canary.display().to_string())
            .replace("$HOSTPID", &self.outside.to_string())
            .replace("$SECRET", SECRET)
            .replace("$STORE", &self.store.store().display().to_string())
    }

    fn context(&self, user: &str) -> Result<PathBuf> {
        let folder = self.setting.folder.join(format!("attempts-{}", user.replace(':', "-")));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("attempts"), attempts::script(&|text| self.fill(text)))?;
        fs::write(
            folder.join("Dockerfile"),
            format!(
                "FROM base0 AS build\nCOPY attempts /attempts\nRUN chmod 755 /attempts; mkdir -m 777 /report\nUSER {user}\n\
                 RUN sh /attempts > /report/answers\nFROM scratch\nCOPY --from=build /report/answers /\n"
            ),
        )?;
        Ok(folder)
    }

    /// Runs the script as this user; its answers.
    fn attempts(&self, user: &str, found: &mut Found) -> Result<BTreeMap<String, String>> {
        let folder = self.context(user)?;
        let out = folder.join("out");
        let mut command = self.store.command(["build", "--quiet", "--output"]);
        command.arg(&out).arg(&folder);
        process::output(&mut command)?;
        let answers = read(&out.join("answers"))?;
        for (name, _) in attempts::REFUSED {
            found.tried += 1;
            match answers.get(*name).map(String::as_str) {
                Some("refused") => {}
                other => found.fail(format!("as {user}: {name}: {other:?}")),
            }
        }
        let alive = fs::read_to_string(self.canary.join("canary"))?;
        if alive != "alive" {
            found.fail(format!("as {user}: the canary says {alive:?}"));
        }
        Ok(answers)
    }

    /// The same script in a step of docker.io's BuildKit, as root.
    fn dockers(&self) -> Result<Option<BTreeMap<String, String>>> {
        let missing = process::find_program("dockerd").is_none();
        if missing || !process::is_root() {
            println!("skipped: the comparison with Docker needs root and docker.io");
            return Ok(None);
        }
        // Not in memory: the daemon has a /dev of its own.
        let folder = Scratch::below(&crate::repository::target(), "jettison-torture-docker")?;
        let docker = Docker::start(Release::Installed, None, folder.path())?;
        let archive = self.setting.folder.join("base.tar").display().to_string();
        self.store.quietly(["save", "-o", &archive, "base0"])?;
        process::output(&mut docker.call(&["load", "--quiet", "--input", &archive]))?;
        let folder = self.context("root")?;
        let out = folder.join("docker");
        let output = format!("type=local,dest={}", out.display());
        let context = folder.display().to_string();
        process::output(&mut docker.call(&[
            "build",
            "--quiet",
            "--network=host",
            "--output",
            &output,
            &context,
        ]))
        .context("the script in docker.io's BuildKit")?;
        read(&out.join("answers")).map(Some)
    }
}

fn read(file: &Path) -> Result<BTreeMap<String, String>> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect())
}

fn compare(ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>, found: &mut Found) {
    let mut equal = 0;
    for (name, answer) in theirs {
        found.tried += 1;
        let own = ours.get(name).cloned().unwrap_or_default();
        let all = |theirs: &str| theirs.split(',').all(|item| own.split(',').any(|ours| ours == item));
        if own == *answer || (name == AT_LEAST && all(answer)) || MEANT.iter().any(|(meant, _)| meant == name)
        {
            equal += 1;
        } else {
            found.fail(format!("{name}: with Docker {answer:?}, here {own:?}"));
        }
    }
    found.note(format!("{equal} of {} answers are those of docker.io", theirs.len()));
}
