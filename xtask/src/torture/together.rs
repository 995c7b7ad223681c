//! Together: sixteen commands at once on one store: builds of the same and of different Dockerfiles, one that fails,
//! and in every other round a pull and a prune. All end, with the digests of a store that nobody else used; the
//! failing one disturbs none. A step that several need runs once.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Found, Setting};
use crate::jettison::Jettison;
use crate::process::{self, Guarded};
use crate::random::Random;
use crate::registry::Registry;
use crate::scratch;

/// Commands at once.
const CROWD: usize = 16;

/// Different Dockerfiles among them; the last one fails.
const KINDS: usize = 4;

/// Longest time for all.
const LIMIT: Duration = Duration::from_secs(240);

/// Its exit code where a RUN failed.
const RUN_FAILED: i32 = 7;

pub fn run(setting: &Setting) -> Result<Found> {
    let mut found = Found::new("together: sixteen commands at once on one store");
    let registry = Registry::start(&setting.folder.join("registry"))?;
    let context = setting.folder.join("context");
    fs::create_dir_all(&context)?;
    for number in 0..50 {
        fs::write(context.join(number.to_string()), number.to_string().repeat(300))?;
    }
    for kind in 0..KINDS {
        fs::write(setting.folder.join(format!("Dockerfile{kind}")), dockerfile(kind))?;
    }
    let calm = setting.store(&setting.folder.join("calm"))?;
    let name = registry.reference("base:1");
    calm.quietly(["tag", "base2", &name])?;
    calm.quietly(["push", &name])?;
    let mut expected = Vec::new();
    for kind in 0..KINDS - 1 {
        expected.push(process::text(&mut build(&calm, setting, kind))?);
    }
    let start = Instant::now();
    let mut round = 0;
    while setting.goes_on(start, round) {
        Round { setting, name: &name, expected: &expected, number: round }.run(&mut found)?;
        round += 1;
    }
    Ok(found)
}

struct Round<'a> {
    setting: &'a Setting,
    name: &'a str,
    expected: &'a [String],
    number: u64,
}

impl Round<'_> {
    fn run(&self, found: &mut Found) -> Result<()> {
        let mut random = Random::part(self.setting.seed, self.number);
        let path = self.setting.folder.join("store");
        let store = self.setting.store(&path)?;
        let others = self.number % 2 == 1;
        let mut crowd = Vec::new();
        for place in 0..CROWD {
            let kind = if place < KINDS { place } else { random.below(KINDS) };
            let (name, mut command) = match place {
                14 if others => ("pull".to_owned(), store.command(["pull", "-q", self.name])),
                15 if others => ("prune".to_owned(), store.command(["prune", "--all"])),
                _ => (format!("build {kind}"), build(&store, self.setting, kind)),
            };
            let (out, err) =
                (path.with_extension(format!("{place}.out")), path.with_extension(format!("{place}.err")));
            command.stdout(File::create(&out)?).stderr(File::create(&err)?);
            let is_build = name.starts_with("build");
            crowd.push((Guarded::start_group(&mut command)?, name, is_build.then_some(kind), out, err));
        }
        let start = Instant::now();
        for (process, name, kind, out, err) in &mut crowd {
            let status = process.wait_at_most(LIMIT.saturating_sub(start.elapsed()))?;
            found.tried += 1;
            let said = |path: &Path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
            let code = status.and_then(|status| status.code());
            let right = match kind {
                Some(kind) if *kind == KINDS - 1 => {
                    code.is_some_and(|code| code != 0)
                        && said(err).contains(&format!("exit code: {RUN_FAILED}"))
                }
                Some(kind) => code == Some(0) && said(out) == self.expected[*kind],
                None => code == Some(0),
            };
            if right {
                found.succeeded += 1;
            } else {
                let (round, seed) = (self.number, self.setting.seed);
                let (out, err) = (said(out), said(err));
                found.fail(format!("round {round} of seed {seed}: {name} ended with {code:?}: {out}\n{err}"));
            }
        }
        if !others {
            self.check_counts(&store, found)?;
        }
        scratch::remove(&path)
    }

    /// Each run of the shared step leaves a line in a cache mount.
    fn check_counts(&self, store: &Jettison, found: &mut Found) -> Result<()> {
        let file = self.setting.folder.join("count");
        fs::write(&file, "FROM base0\nRUN --mount=type=cache,target=/count cat /count/shared > /n\n")?;
        let to = self.setting.folder.join("counted");
        let mut command = store.command(["build", "--quiet", "--network=none", "--output"]);
        command.arg(&to).arg("--file").arg(&file).arg(self.setting.folder.join("context"));
        process::output(&mut command)?;
        let lines = fs::read_to_string(to.join("n"))?.lines().count();
        if lines != 1 {
            let (round, seed) = (self.number, self.setting.seed);
            found.fail(format!("round {round} of seed {seed}: the shared step ran {lines} times"));
        }
        scratch::remove(&to)
    }
}

/// The failing one fails after the shared step: one that is stopped in the middle has to be run again by another.
fn dockerfile(kind: usize) -> String {
    let last = if kind == KINDS - 1 { format!("RUN exit {RUN_FAILED}\n") } else { String::new() };
    format!(
        "FROM base0 AS shared\nCOPY . /all\n\
         RUN --mount=type=cache,target=/count echo x >> /count/shared; sleep 0.2; cat /all/* > /joined\n\
         FROM base1 AS own\nRUN echo {kind} > /own; sleep 0.1\n\
         FROM base0\nCOPY --from=shared /joined /joined\nCOPY --from=own /own /own\n{last}RUN cat /joined /own | sha256sum > /sum\n"
    )
}

fn build(jettison: &Jettison, setting: &Setting, kind: usize) -> Command {
    let mut command = jettison.command(["build", "--quiet", "--network=none", "--verify=off", "--file"]);
    command.arg(setting.folder.join(format!("Dockerfile{kind}"))).arg(setting.folder.join("context"));
    command
}
