//! `cargo xtask torture`: the promise "never wrong, never lost" under random abuse, one file per family.
//!
//! `keys/` looks for wrong cache hits, `crash.rs` kills builds at random moments, `together.rs` runs many at once on
//! one store, `hostile/` gives them what was made to do harm, `resources.rs` takes away room, memory and rights, `faulty/`
//! is a registry that misbehaves, `sandbox/` tries to get out of a step, `power/` cuts the power. Each family gets the same
//! time; a seed, which is printed, repeats all choices that do not depend on the clock. At the end stands a table of what
//! was tried and found; anything found fails the command.

mod crash;
mod disk;
mod faulty;
mod hostile;
mod keys;
mod living;
mod power;
mod resources;
mod sandbox;
mod together;
mod trial;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::jettison::{Jettison, Profile};
use crate::packages;
use crate::process;
use crate::repository;
use crate::scratch::Scratch;
use crate::table;

const HELP: &str = "cargo xtask torture [OPTIONS]

  --family NAME   only this family; repeatable: keys, crash, together,
                  hostile, resources, registry, sandbox, power
  --seconds N     time for each family [40]
  --times N       of keys, crash, together and resources: until so many edits, kills,
                  crowds or trials have been made, however long that takes
  --case TEXT     of a family that is a list of cases: only those with TEXT in their name;
                  of registry, `large`: only the push of 3 GB that breaks (needs 6 GB);
                  of keys, the number of the context to begin with
  --seed N        repeat a run [random, printed]
";

/// Seconds for each family within `cargo xtask ci`.
const CI_SECONDS: u64 = 18;

/// Room that the stores of one family may need, bytes.
const ROOM_BYTES: u64 = 1 << 30;

/// Images in every store to begin with: base0, base1, base2, alike but for a file.
const BASES: usize = 3;

type Family = (&'static str, fn(&Setting) -> Result<Found>);

const FAMILIES: &[Family] = &[
    ("keys", keys::run),
    ("crash", crash::run),
    ("together", together::run),
    ("hostile", hostile::run),
    ("resources", resources::run),
    ("registry", faulty::run),
    ("sandbox", sandbox::run),
    ("power", power::run),
];

/// What all families get.
struct Setting {
    seed: u64,
    limit: Duration,
    /// How many trials to make, instead of going on for a time.
    times: Option<u64>,
    /// Only cases with this in their name.
    case: String,
    /// A folder for each family's files.
    folder: PathBuf,
    jettison: Jettison,
    /// A store that holds the bases and nothing else.
    bases: PathBuf,
}

impl Setting {
    /// Whether a family of random trials, which began at `start` and has made `tried`, makes one more.
    fn goes_on(&self, start: Instant, tried: u64) -> bool {
        self.times.map_or_else(|| start.elapsed() < self.limit, |times| tried < times)
    }

    /// A new store at `path` that holds the bases.
    fn store(&self, path: &Path) -> Result<Jettison> {
        let mut copy = Command::new("cp");
        copy.args(["-a", "--reflink=auto"]).arg(&self.bases).arg(path);
        process::output(&mut copy)?;
        Ok(self.jettison.with_store(path))
    }
}

/// What a family tried, and what went wrong.
struct Found {
    what: &'static str,
    tried: u64,
    /// How many of these ended well; the others were refused, as they should.
    succeeded: u64,
    wrong: Vec<String>,
    notes: Vec<String>,
}

impl Found {
    fn new(what: &'static str) -> Self {
        Self { what, tried: 0, succeeded: 0, wrong: Vec::new(), notes: Vec::new() }
    }

    /// Takes over what a part of the family found.
    fn add(&mut self, part: Found) {
        self.tried += part.tried;
        self.succeeded += part.succeeded;
        self.wrong.extend(part.wrong);
    }

    /// Something measured that belongs below the table.
    fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// Says at once what went wrong, and remembers it.
    fn fail(&mut self, text: String) {
        println!("WRONG: {text}");
        self.wrong.push(text);
    }
}

#[derive(Debug, PartialEq)]
struct Options {
    families: Vec<String>,
    seconds: u64,
    times: Option<u64>,
    seed: Option<u64>,
    case: String,
}

/// Runs the families that are asked for.
pub fn run(arguments: &[String]) -> Result<()> {
    let Some(options) = options(arguments)? else {
        print!("{HELP}");
        return Ok(());
    };
    packages::ensure(packages::TEST)?;
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_nanos() as u64);
    let seed = options.seed.unwrap_or_else(clock);
    println!("seed {seed}");
    let scratch = Scratch::below(&fast_folder(), "jettison-torture")?;
    let bases = scratch.path().join("bases");
    let jettison = Jettison::compiled(Profile::Dev, &bases)?;
    make_bases(&jettison, scratch.path())?;
    let mut rows = Vec::new();
    let mut notes = Vec::new();
    let mut wrong = 0;
    for (name, family) in FAMILIES {
        if !options.families.is_empty() && !options.families.iter().any(|wanted| wanted == name) {
            continue;
        }
        let folder = scratch.path().join(name);
        std::fs::create_dir_all(&folder)?;
        let setting = Setting {
            seed,
            limit: Duration::from_secs(options.seconds),
            times: options.times,
            case: options.case.clone(),
            folder,
            jettison: jettison.with_store(&bases),
            bases: bases.clone(),
        };
        let start = Instant::now();
        let found = family(&setting).with_context(|| format!("family {name} of seed {seed}"))?;
        wrong += found.wrong.len();
        notes.extend(found.notes.iter().map(|note| format!("{name}: {note}")));
        rows.push(vec![
            found.what.to_owned(),
            table::thousands(found.tried),
            table::thousands(found.succeeded),
            found.wrong.len().to_string(),
            table::seconds(start.elapsed().as_secs_f64()),
        ]);
    }
    println!("\n{}", table::markdown(&["what was tried", "times", "succeeded", "wrong", "s"], &rows));
    notes.iter().for_each(|note| println!("{note}"));
    if wrong > 0 {
        bail!("{wrong} things went wrong; repeat them with --seed {seed}");
    }
    Ok(())
}

/// What `ci` does of it.
pub fn run_some() -> Result<()> {
    run(&["--seconds".to_owned(), CI_SECONDS.to_string()])
}

fn options(arguments: &[String]) -> Result<Option<Options>> {
    let mut options =
        Options { families: Vec::new(), seconds: 40, times: None, seed: None, case: String::new() };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if matches!(word.as_str(), "--help" | "-h") {
            return Ok(None);
        }
        let value = words.next().with_context(|| format!("{word} needs a value\n\n{HELP}"))?;
        match word.as_str() {
            "--family" if FAMILIES.iter().any(|(name, _)| name == value) => {
                options.families.push(value.clone())
            }
            "--case" => options.case = value.clone(),
            "--seconds" => options.seconds = value.parse().context("--seconds wants a number")?,
            "--times" => options.times = Some(value.parse().context("--times wants a number")?),
            "--seed" => options.seed = Some(value.parse().context("--seed wants a number")?),
            _ => bail!("unknown: {word} {value}\n\n{HELP}"),
        }
    }
    Ok(Some(options))
}

/// Where stores come and go by the hundred: in memory if there is a place for that.
fn fast_folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let has_room = rustix::fs::statvfs(memory).is_ok_and(|fs| fs.f_bavail * fs.f_frsize > ROOM_BYTES);
    if has_room { memory.to_owned() } else { repository::target().join("jettison-torture") }
}

/// Builds the bases: busybox, and two that differ from it by a file.
fn make_bases(jettison: &Jettison, folder: &Path) -> Result<()> {
    let context = folder.join("busybox");
    jettison_corpus::busybox::context(&context)?;
    jettison.build(&context.join("Dockerfile"), &context, "base0")?;
    for number in 1..BASES {
        let folder = folder.join(format!("base{number}"));
        std::fs::create_dir_all(&folder)?;
        let file = folder.join("Dockerfile");
        std::fs::write(&file, format!("FROM base0\nCOPY <<EOF /etc/issue\nbase {number}\nEOF\n"))?;
        jettison.build(&file, &folder, &format!("base{number}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_mistakes_named() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let case = "bomb".to_owned();
        let families = vec!["keys".to_owned()];
        let expected = Options { families, seconds: 9, times: Some(4), seed: Some(3), case };
        assert_eq!(
            options(&words("--family keys --seconds 9 --times 4 --seed 3 --case bomb")).unwrap(),
            Some(expected)
        );
        assert_eq!(options(&words("--help")).unwrap(), None);
        for bad in ["--family none", "--seconds", "--sed 3"] {
            assert!(options(&words(bad)).is_err(), "{bad}");
        }
    }
}
