//! Keys: after each random edit a build with the store that has seen all earlier ones must give what a build with an
//! empty one gives: the same digest, or the same failure.
//!
//! `tree.rs` edits files, `recipe.rs` Dockerfiles; here are the rest of what a build reads (arguments, secrets, a named
//! context, an archive, the ignore file, the base behind its tag) and the comparison. Now and then the build with
//! the empty store does one step at a time, or is killed first and goes on.

mod recipe;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use self::recipe::Recipe;
use super::{Found, Setting, trial};
use crate::jettison::Jettison;
use crate::process::{self, Guarded};
use crate::random::Random;
use crate::scratch;

/// Edits of one context before the next one begins.
const EDITS: u64 = 40;

/// Longest time that a build may take.
const BUILD_LIMIT: Duration = Duration::from_secs(120);

/// How a result begins that is none, whatever the other build gives.
const CRASH: &str = "CRASH or hang";

/// What a build depends on, besides the files.
#[derive(Clone, Debug)]
struct Inputs {
    recipe: Recipe,
    argument: Option<usize>,
    secret: usize,
    ignore: &'static str,
    base: usize,
}

const IGNORES: &[&str] = &["", "a\n", "*\n!d\n", "d/f*\n", "**/f\n!d/d/f\n", "e\n*.n\n", ".dockerignore\n"];

pub fn run(setting: &Setting) -> Result<Found> {
    let mut found =
        Found::new("keys: after each edit, the store that saw all before it against an empty one");
    let start = Instant::now();
    // One that went wrong can be looked at without all before it.
    let mut index = setting.case.parse().unwrap_or(0);
    while setting.goes_on(start, found.tried) {
        let folder = setting.folder.join(format!("keys-{index}"));
        let mut case = Case::new(setting, &folder, index)?;
        for edit in 0..EDITS {
            if !setting.goes_on(start, found.tried) {
                break;
            }
            case.round(edit, &mut found)?;
        }
        scratch::remove(&folder)?;
        index += 1;
        if setting.times.is_some() {
            println!(
                "keys: {} edits, {} wrong, {:.0} s",
                found.tried,
                found.wrong.len(),
                start.elapsed().as_secs_f64()
            );
        }
    }
    Ok(found)
}

struct Case<'a> {
    setting: &'a Setting,
    folder: PathBuf,
    warm: Jettison,
    inputs: Inputs,
    random: Random,
    edits: Vec<String>,
    index: u64,
    /// Builds that failed since the last one that did not.
    failed: u32,
}

impl<'a> Case<'a> {
    fn new(setting: &'a Setting, folder: &Path, index: u64) -> Result<Self> {
        let mut random = Random::part(setting.seed, index);
        fs::create_dir_all(folder.join("named"))?;
        fs::create_dir_all(folder.join("context"))?;
        tree::plant(&folder.join("context"))?;
        fs::write(folder.join("named/n"), "1")?;
        let inputs =
            Inputs { recipe: Recipe::random(&mut random), argument: None, secret: 0, ignore: "", base: 0 };
        let warm = setting.store(&folder.join("warm"))?;
        let case = Self {
            setting,
            folder: folder.to_owned(),
            warm,
            inputs,
            random,
            edits: Vec::new(),
            index,
            failed: 0,
        };
        case.archive(0)?;
        Ok(case)
    }

    fn round(&mut self, edit: u64, found: &mut Found) -> Result<()> {
        if edit > 0 {
            let what = self.edit()?;
            self.edits.push(what);
        }
        fs::write(self.folder.join("Dockerfile"), self.inputs.recipe.text())?;
        fs::write(self.folder.join("Dockerfile.dockerignore"), self.inputs.ignore)?;
        fs::write(self.folder.join("secret"), format!("secret {}", self.inputs.secret))?;
        let warm = self.build(&self.warm, &[])?;
        let cold_folder = self.folder.join("cold");
        let cold = self.setting.store(&cold_folder)?;
        let kind = match edit % 8 {
            3 => {
                self.kill_one(&cold)?;
                "killed and resumed"
            }
            6 => "one step at a time",
            _ => "empty",
        };
        let jobs: &[&str] = if kind == "one step at a time" { &["--jobs=1"] } else { &[] };
        let expected = self.build(&cold, jobs)?;
        found.tried += 1;
        if expected.starts_with("sha256:") {
            found.succeeded += 1;
            self.failed = 0;
        } else {
            self.failed += 1;
        }
        if warm != expected || warm.starts_with(CRASH) {
            found.fail(self.report(kind, &warm, &expected));
            // What follows would differ for the same reason.
            scratch::remove(self.warm.store())?;
            self.warm = self.setting.store(&self.folder.join("warm"))?;
        }
        scratch::remove(&cold_folder)
    }

    fn report(&self, kind: &str, warm: &str, expected: &str) -> String {
        let last: Vec<&str> = self.edits.iter().rev().take(4).map(String::as_str).collect();
        format!(
            "context {} of seed {}, edit {}: {warm} with the used store, {expected} with the other ({kind})\n\
             last edits, newest first: {}\n{:?}\n{}",
            self.index,
            self.setting.seed,
            self.edits.len(),
            last.join("; "),
            Inputs { recipe: self.inputs.recipe.clone(), ..self.inputs.clone() },
            self.inputs.recipe.text()
        )
    }

    fn edit(&mut self) -> Result<String> {
        let random = &mut self.random;
        // A failure hides all that stands behind it.
        if self.failed > 1 {
            self.inputs.recipe = Recipe::random(random);
            return Ok("another Dockerfile".to_owned());
        }
        Ok(match random.below(20) {
            0..=2 => self.inputs.recipe.edit(random),
            3 => {
                self.inputs.argument = Some(random.below(3)).filter(|n| *n > 0);
                "build argument".to_owned()
            }
            4 => {
                self.inputs.secret += 1;
                "value of the secret".to_owned()
            }
            5 => {
                self.inputs.ignore = random.pick::<&str>(IGNORES);
                format!("ignore file {:?}", self.inputs.ignore)
            }
            6 => {
                self.inputs.base = random.below(super::BASES);
                format!("base {}", self.inputs.base)
            }
            7 => {
                let number = random.below(3);
                self.archive(number)?;
                format!("archive {number}")
            }
            8 => format!("in the named context, {}", tree::edit(&self.folder.join("named"), random)),
            _ => tree::edit(&self.folder.join("context"), random),
        })
    }

    /// An archive whose size and time never change.
    fn archive(&self, number: usize) -> Result<()> {
        let content = self.folder.join("archived");
        fs::create_dir_all(&content)?;
        fs::write(content.join("member"), format!("member {number}"))?;
        let path = self.folder.join("context/archive.tar");
        let mut tar = Command::new("tar");
        tar.args(["--mtime=@0", "--owner=0", "--group=0", "--sort=name", "-C"])
            .arg(&content)
            .arg("-cf")
            .arg(&path)
            .arg(".");
        // Something may have been put in its place.
        if fs::symlink_metadata(&path).is_ok_and(|m| !m.is_file()) {
            return Ok(());
        }
        process::output(&mut tar)?;
        Ok(fs::File::open(&path)?.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000))?)
    }

    fn command(&self, jettison: &Jettison, more: &[&str]) -> Command {
        let mut command = jettison.command(["build", "--progress=none", "--network=none", "--verify=off"]);
        command.args(more);
        command.arg("--file").arg(self.folder.join("Dockerfile"));
        command.arg("--secret").arg(format!("id=s,src={}", self.folder.join("secret").display()));
        command.arg("--build-context").arg(format!("named={}", self.folder.join("named").display()));
        if let Some(number) = self.inputs.argument {
            command.arg("--build-arg").arg(format!("V=argument {number}"));
        }
        command.arg(self.folder.join("context"));
        command
    }

    /// The digest, or the line that says why there is none.
    fn build(&self, jettison: &Jettison, more: &[&str]) -> Result<String> {
        jettison.quietly(["tag", &format!("base{}", self.inputs.base), "base"])?;
        let ended = trial::run(&mut self.command(jettison, more), BUILD_LIMIT)?;
        if let Some(what) = ended.misbehaved() {
            return Ok(format!("{CRASH}: {what}"));
        }
        if ended.succeeded() {
            return Ok(ended.stdout.trim().to_owned());
        }
        let line = ended.stderr.lines().find(|line| line.contains("error")).unwrap_or(&ended.stderr);
        Ok(line.trim().to_owned())
    }

    /// Starts a build and kills it after a random time.
    fn kill_one(&mut self, jettison: &Jettison) -> Result<()> {
        jettison.quietly(["tag", &format!("base{}", self.inputs.base), "base"])?;
        let mut command = self.command(jettison, &[]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut build = Guarded::start_group(&mut command).context("starting a build to be killed")?;
        let wait = Duration::from_millis(self.random.next() % 400);
        build.wait_at_most(wait)?;
        build.kill()
    }
}
