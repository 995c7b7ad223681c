//! Registry: push, pull and builds on a base through a registry that misbehaves (`proxy.rs`, `faults.rs`), and through one that
//! is killed and started again under load.
//!
//! Each ends right or with a clear error; what was pulled or pushed is what was named, whatever came over the wire; credentials
//! go nowhere else; and with nothing wrong any more the same command works. Long runs push 3 GB over a connection that breaks
//! in the middle (`sink.rs`), and count the bytes.

mod faults;
mod proxy;
mod sink;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use self::faults::Plan;
use self::proxy::Proxy;
use self::sink::Sink;
use super::trial;
use super::{Found, Setting};
use crate::jettison::Jettison;
use crate::process;
use crate::random::Random;
use crate::registry::Registry;
use crate::scratch;

/// Trials at once: most of their time they wait before they try again.
const LANES: u64 = 6;

/// Longest time for one command: the waits between its tries add up.
const LIMIT: Duration = Duration::from_secs(180);

/// A run that is at least so long pushes the large image, too.
const LONG: Duration = Duration::from_secs(120);

/// The large image, and how much of it may be sent twice.
const LARGE_BYTES: u64 = 3 << 30;
const SENT_TWICE_MAX: u64 = 300 << 20;

pub fn run(setting: &Setting) -> Result<Found> {
    let mut found = Found::new("registry: pushes, pulls and builds through faults, and while it is killed");
    if setting.case == "large" {
        large(setting, &mut found)?;
        return Ok(found);
    }
    let mut registry = Registry::start(&setting.folder.join("registry"))?;
    let images = Images::new(setting, &registry)?;
    let start = Instant::now();
    let half = setting.limit / 2;
    let lanes: Vec<_> = std::thread::scope(|scope| {
        let lane = |number| {
            let (registry, images) = (&registry, &images);
            scope.spawn(move || Lane::new(setting, registry, images, number)?.run(start, half))
        };
        let running: Vec<_> = (0..LANES).map(lane).collect();
        running.into_iter().map(|lane| lane.join().expect("a lane does not panic")).collect()
    });
    let (mut requests, mut faults) = (0, 0);
    for lane in lanes {
        let lane = lane?;
        found.add(lane.found);
        requests += lane.proxy.counts().0;
        faults += lane.proxy.counts().1;
    }
    found.note(format!("{requests} requests, {faults} of them with a fault"));
    killed(setting, &mut registry, &images, start, &mut found)?;
    if setting.limit >= LONG {
        large(setting, &mut found)?;
    }
    Ok(found)
}

/// What is pulled and pushed.
struct Images {
    /// A store that has them.
    store: PathBuf,
    all: Vec<Image>,
}

#[derive(Clone)]
struct Image {
    /// At the registry, without its tag.
    name: String,
    digest: String,
    /// Digest of what [`ON_TOP`] makes of it.
    built: String,
}

/// What is built on an image.
const ON_TOP: &str = "RUN echo 3 > /three\nENV THREE=3\n";

impl Images {
    /// Two images, one with a layer that is larger than a chunk.
    fn new(setting: &Setting, registry: &Registry) -> Result<Self> {
        let store = setting.store(&setting.folder.join("images"))?;
        let context = setting.folder.join("context");
        fs::create_dir_all(&context)?;
        let mut random = Random::part(setting.seed, 77);
        let noise: Vec<u8> = (0..(6 << 20) / 8).flat_map(|_| random.next().to_le_bytes()).collect();
        fs::write(context.join("noise"), noise)?;
        let mut all = Vec::new();
        for (name, text) in [
            ("large", "FROM base0\nCOPY noise /noise\nRUN echo 1 > /one\n"),
            ("small", "FROM base1\nCOPY <<EOF /two\n2\nEOF\n"),
        ] {
            let build = |name: &str, text: &str| {
                let file = setting.folder.join(name);
                fs::write(&file, text)?;
                let words = ["build", "--quiet", "--network=none", "--tag", name, "--file"];
                process::text(store.command(words).arg(&file).arg(&context))
            };
            let digest = build(name, text)?;
            let there = registry.reference(&format!("{name}:1"));
            store.quietly(["tag", name, &there])?;
            store.quietly(["push", &there])?;
            let built = build("built", &format!("FROM {name}\n{ON_TOP}"))?;
            all.push(Image { name: name.to_owned(), digest, built });
        }
        store.quietly(["rmi", "built"])?;
        Ok(Self { store: store.store().to_owned(), all })
    }
}

struct Lane<'a> {
    setting: &'a Setting,
    registry: &'a Registry,
    images: &'a Images,
    proxy: Proxy,
    folder: PathBuf,
    random: Random,
    number: u64,
    found: Found,
}

impl<'a> Lane<'a> {
    fn new(setting: &'a Setting, registry: &'a Registry, images: &'a Images, number: u64) -> Result<Self> {
        let random = Random::part(setting.seed, 100 + number);
        let folder = setting.folder.join(format!("lane{number}"));
        fs::create_dir_all(&folder)?;
        let proxy = Proxy::start(registry.port, Plan::calm(random.clone()))?;
        Ok(Self { setting, registry, images, proxy, folder, random, number, found: Found::new("") })
    }

    fn run(mut self, start: Instant, limit: Duration) -> Result<Self> {
        // Together the lanes go through all plans once, whatever time that takes.
        let once = (faults::COUNT as u64 * WHATS.len() as u64).div_ceil(LANES);
        for trial in 0.. {
            if start.elapsed() > limit && trial >= once {
                break;
            }
            let number = trial * LANES + self.number;
            self.trial(number)?;
        }
        Ok(self)
    }

    fn trial(&mut self, number: u64) -> Result<()> {
        let kinds = WHATS.len() as u64;
        let plan = Plan::new((number / kinds) as usize, Random::part(self.setting.seed, 1000 + number));
        let image = self.random.pick(&self.images.all).clone();
        let (name, digest) = (&image.name, &image.digest);
        let what = WHATS[(number % kinds) as usize];
        let context =
            format!("trial {number} of seed {}: {what} of {name} with {}", self.setting.seed, plan.name);
        self.proxy.follow(plan);
        let store_folder = self.folder.join("store");
        let store = self.setting.jettison.with_store(&store_folder);
        let there = format!("127.0.0.1:{}/{name}:1", self.proxy.port);
        let done = match what {
            "push" => {
                copy(&self.images.store, &store_folder)?;
                // A repository that nobody has pushed to, so that all has to be sent, or mounted.
                let target = format!("127.0.0.1:{}/pushed/{number}:1", self.proxy.port);
                store.quietly(["tag", name, &target])?;
                let direct = self.registry.reference(&format!("pushed/{number}:1"));
                self.transfer(&store, &["push", &target], || self.is_whole(&direct, digest))
            }
            "pull" => self.transfer(&store, &["pull", "-q", "--unpack", &there], || is_here(&store, digest)),
            _ => {
                let folder = self.folder.join("context");
                fs::create_dir_all(&folder)?;
                fs::write(folder.join("Dockerfile"), format!("FROM {there}\n{ON_TOP}"))?;
                let folder = folder.to_string_lossy();
                let words = ["build", "--quiet", "--network=none", "--tag", "built", &folder];
                self.transfer(&store, &words, || is_here(&store, &image.built))
            }
        };
        self.found.tried += 1;
        match done {
            Ok(true) => self.found.succeeded += 1,
            Ok(false) => {}
            Err(error) => self.found.fail(format!("{context}: {error:#}")),
        }
        for wrong in self.proxy.wrong() {
            self.found.fail(format!("{context}: {wrong}"));
        }
        scratch::remove(&store_folder)
    }

    /// Runs a command with faults, then without. True if the first one worked.
    fn transfer(&self, store: &Jettison, words: &[&str], is_right: impl Fn() -> Result<()>) -> Result<bool> {
        let ended = trial::run(&mut store.command(words), LIMIT)?;
        self.proxy.follow(Plan::calm(self.random.clone()));
        if let Some(problem) = ended.misbehaved() {
            anyhow::bail!("{problem}");
        }
        if ended.succeeded() {
            is_right().context("it said that it had worked")?;
        }
        store.quietly(words).with_context(|| format!("after {:?}, with nothing wrong", ended.said()))?;
        is_right().context("with nothing wrong any more")?;
        Ok(ended.succeeded())
    }

    /// What lies at the registry can be pulled by somebody else, and is what was pushed.
    fn is_whole(&self, name: &str, digest: &str) -> Result<()> {
        let folder = self.folder.join("other");
        let other = self.setting.jettison.with_store(&folder);
        let pulled = other.quietly(["pull", "-q", &format!("{}@{digest}", name.trim_end_matches(":1"))]);
        let by_tag = other.quietly(["pull", "-q", name]);
        scratch::remove(&folder)?;
        pulled.and(by_tag).map(drop)
    }
}

/// What is done with an image, by turns.
const WHATS: [&str; 3] = ["push", "pull", "build"];

/// An image with this digest is in the store, and the store is in order.
fn is_here(store: &Jettison, digest: &str) -> Result<()> {
    let images = store.quietly(["images", "--digests"]).or_else(|_| store.quietly(["images"]))?;
    ensure!(images.contains(&digest[7..19]), "{digest} is not among {images}");
    store.quietly(["fsck"]).map(drop)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut copy = Command::new("cp");
    copy.args(["-a", "--reflink=auto"]).arg(from).arg(to);
    process::output(&mut copy).map(drop)
}

/// Pushes and pulls while the registry is killed and started again.
fn killed(
    setting: &Setting,
    registry: &mut Registry,
    images: &Images,
    start: Instant,
    found: &mut Found,
) -> Result<()> {
    let mut random = Random::part(setting.seed, 99);
    let mut round = 0;
    while round == 0 || start.elapsed() < setting.limit {
        let mut crowd = Vec::new();
        for place in 0..4 {
            let folder = setting.folder.join(format!("killed{place}"));
            copy(&images.store, &folder)?;
            let store = setting.jettison.with_store(&folder);
            let Image { name, digest, .. } = images.all[place % 2].clone();
            let target = registry.reference(&format!("killed/{round}/{place}:1"));
            store.quietly(["tag", &name, &target])?;
            crowd.push((store, target, digest));
        }
        let ended = std::thread::scope(|scope| {
            let run = |(store, target, _): &(Jettison, String, String)| {
                let mut command = store.command(["push", target]);
                scope.spawn(move || trial::run(&mut command, LIMIT))
            };
            let running: Vec<_> = crowd.iter().map(run).collect();
            for _ in 0..2 {
                std::thread::sleep(Duration::from_millis(random.below(250) as u64));
                registry.kill()?;
                std::thread::sleep(Duration::from_millis(random.below(400) as u64));
                registry.restart()?;
            }
            let ended = running.into_iter().map(|push| push.join().expect("a push does not panic"));
            ended.collect::<Result<Vec<_>>>()
        })?;
        for ((store, target, digest), ended) in crowd.iter().zip(ended) {
            found.tried += 1;
            found.succeeded += u64::from(ended.succeeded());
            let again = store.quietly(["push", target]);
            let folder = setting.folder.join("other");
            let name = target.trim_end_matches(":1");
            let other = setting.jettison.with_store(&folder);
            let whole = other.quietly(["pull", "-q", &format!("{name}@{digest}")]);
            scratch::remove(&folder)?;
            let problem = ended.misbehaved().or_else(|| again.and(whole).err().map(|e| format!("{e:#}")));
            if let Some(problem) = problem {
                found.fail(format!("push {target} of seed {} while it was killed: {problem}", setting.seed));
            }
            scratch::remove(store.store())?;
        }
        round += 1;
    }
    Ok(())
}

/// A layer of 3 GB whose upload breaks in the middle is continued there.
fn large(setting: &Setting, found: &mut Found) -> Result<()> {
    let folder = crate::repository::target().join("jettison-torture-large");
    scratch::remove(&folder)?;
    fs::create_dir_all(folder.join("context"))?;
    let scratch_store = setting.store(&folder.join("store"))?;
    let mut noise = Command::new("head");
    noise.args(["-c", &LARGE_BYTES.to_string(), "/dev/urandom"]);
    noise.stdout(fs::File::create(folder.join("context/noise"))?);
    ensure!(noise.status()?.success(), "no room for {LARGE_BYTES} bytes");
    fs::write(folder.join("Dockerfile"), "FROM scratch\nCOPY noise /noise\n")?;
    let sink = Sink::start(LARGE_BYTES * 3 / 5)?;
    let target = format!("127.0.0.1:{}/large:1", sink.port);
    scratch_store.build(&folder.join("Dockerfile"), &folder.join("context"), &target)?;
    fs::remove_file(folder.join("context/noise"))?;
    let mut command = scratch_store.command(["push", &target]);
    let ended = trial::run(&mut command, Duration::from_secs(900))?;
    found.tried += 1;
    let (sent, broke, manifests) = sink.seen();
    found.note(format!(
        "a push of {} MiB that broke sent {} MiB in {:.0} s with {} MiB of memory",
        LARGE_BYTES >> 20,
        sent >> 20,
        ended.time.as_secs_f64(),
        ended.peak_bytes >> 20
    ));
    if ended.succeeded() && broke && manifests == 1 && sent < LARGE_BYTES + SENT_TWICE_MAX {
        found.succeeded += 1;
    } else {
        found.fail(format!("the large push: {sent} bytes were sent, {}", ended.said()));
    }
    scratch::remove(&folder)
}
