//! `cargo xtask demo`: the founding example both ways, started, and compared.
//!
//! The base comes from docker.io where that answers, else from Debian's packages (`standin.rs`), made while cargo
//! compiles. A registry of our own on a free port stands for the place that images are deployed from.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::http;
use crate::image::{self, Contents};
use crate::jettison::{Jettison, Profile};
use crate::packages;
use crate::process::{self, Guarded};
use crate::registry::Registry;
use crate::repository;
use crate::scratch::Scratch;
use crate::standin::{self, Standin};
use crate::table;

/// The port that the example servers listen on.
const PORT: u16 = 8080;

/// How long a server may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// How long a server may take to end when told to.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Pulls of each image; the median counts.
const PULLS: usize = 3;
/// A pull that takes longer than this is not repeated: it differs by a tenth, and the user waits.
const LONG_PULL: Duration = Duration::from_secs(5);

/// One image of the comparison.
struct Measured {
    contents: Contents,
    to_pull: u64,
    pull_seconds: f64,
}

/// Builds, starts and compares.
pub fn run(arguments: &[String]) -> Result<()> {
    let with_rust = match arguments {
        [] => false,
        [flag] if flag == "--rust" => true,
        _ => bail!("usage: cargo xtask demo [--rust]"),
    };
    let begin = Instant::now();
    ensure_port_is_free()?;
    packages::ensure(packages::DEMO)?;
    if !process::is_root() {
        packages::ensure(packages::PLAIN_USER)?;
    }
    let scratch = Scratch::below(&repository::demo_folder(), "run")?;
    let wanted = if with_rust { vec![standin::GO, standin::RUST] } else { vec![standin::GO] };
    let jettison = program_and_bases(Profile::Dev, wanted)?;
    let registry = Registry::start(&scratch.path().join("registry"))?;
    compare(&jettison, &registry, &scratch)?;
    if with_rust {
        rust_example(&jettison, &registry, &scratch)?;
    }
    println!("\nall of it took {:.0} s", begin.elapsed().as_secs_f64());
    Ok(())
}

/// Compiles jettison while, if need be, the bases are made of packages; returns with both done.
pub fn program_and_bases(profile: Profile, wanted: Vec<Standin>) -> Result<Jettison> {
    let hub = step("is docker.io there?", || Ok(standin::docker_hub_answers()))?;
    program_and(profile, wanted, hub)
}

/// The same with bases that docker.io does not have.
pub fn program_and_standins(profile: Profile, wanted: Vec<Standin>) -> Result<Jettison> {
    program_and(profile, wanted, false)
}

fn program_and(profile: Profile, mut wanted: Vec<Standin>, hub: bool) -> Result<Jettison> {
    let mut making = Vec::new();
    if !hub {
        println!(
            "stand-ins for images are made from Debian's packages (docker.io does not answer from here, or has none)"
        );
        packages::ensure(packages::STANDIN)?;
        wanted = wanted.into_iter().map(Standin::resolved).collect();
        for base in &wanted {
            making.push(base.start()?);
        }
    }
    let store = repository::demo_folder().join("store");
    let jettison = step("cargo build", || Jettison::compiled(profile, &store))?;
    println!("{}", jettison.version()?);
    if making.iter().any(standin::Making::is_under_way) {
        step("waiting for mmdebstrap", || making.into_iter().try_for_each(standin::Making::finish))?;
    }
    for base in &wanted {
        if hub {
            step(&format!("jettison pull {}", base.image), || {
                jettison.quietly(["pull", "--quiet", base.image])
            })?;
        } else {
            println!("{}", step("jettison build (import the stand-in)", || base.import(&jettison))?);
        }
    }
    Ok(jettison)
}

fn compare(jettison: &Jettison, registry: &Registry, scratch: &Scratch) -> Result<()> {
    let example = repository::root().join("examples/hello-go");
    let single = publish(jettison, registry, &example, "Dockerfile.single", "hello-go", "single")?;
    let separate = publish(jettison, registry, &example, "Dockerfile", "hello-go", "latest")?;
    let single_pull = pull(jettison, scratch, &registry.reference("hello-go:single"))?;
    let separate_pull = pull(jettison, scratch, &registry.reference("hello-go:latest"))?;
    let single = Measured { pull_seconds: single_pull, ..single };
    let separate = Measured { pull_seconds: separate_pull, ..separate };
    start_and_ask(jettison, &registry.reference("hello-go:latest"), scratch)?;
    println!("\n{}", comparison(&single, &separate));
    Ok(())
}

fn rust_example(jettison: &Jettison, registry: &Registry, scratch: &Scratch) -> Result<()> {
    let example = repository::root().join("examples/hello-rust");
    let rust = publish(jettison, registry, &example, "Dockerfile", "hello-rust", "latest")?;
    let reference = registry.reference("hello-rust:latest");
    let seconds = pull(jettison, scratch, &reference)?;
    start_and_ask(jettison, &reference, scratch)?;
    println!(
        "\nhello-rust: {} bytes, {} to pull, {} files, {} s to pull",
        table::thousands(rust.contents.bytes),
        table::thousands(rust.to_pull),
        rust.contents.files,
        table::seconds(seconds)
    );
    Ok(())
}

/// Builds one Dockerfile, counts what is in the image, and pushes it.
fn publish(
    jettison: &Jettison,
    registry: &Registry,
    context: &Path,
    file: &str,
    repository: &str,
    tag: &str,
) -> Result<Measured> {
    let reference = registry.reference(&format!("{repository}:{tag}"));
    let dockerfile = context.join(file);
    let shown = dockerfile.strip_prefix(repository::root()).unwrap_or(&dockerfile).display().to_string();
    step(&format!("jettison build -f {shown}"), || jettison.build(&dockerfile, context, &reference))?;
    let contents = contents(jettison, &dockerfile, context)?;
    step(&format!("jettison push {repository}:{tag}"), || jettison.quietly(["push", "--quiet", &reference]))?;
    let to_pull = image::bytes_to_pull(registry, repository, tag)?;
    Ok(Measured { contents, to_pull, pull_seconds: 0.0 })
}

/// What is in the image's file system, from the tar that the same build, cached by now, gives.
fn contents(jettison: &Jettison, dockerfile: &Path, context: &Path) -> Result<Contents> {
    let mut command = jettison.command(["build", "--quiet", "--output", "type=tar,dest=-", "--file"]);
    command.arg(dockerfile).arg(context).stdout(Stdio::piped());
    let mut process = Guarded::start(&mut command)?;
    let counted = image::count_tar(process.stdout().expect("it was piped"));
    let status = process.wait()?;
    ensure!(status.success(), "{} failed ({status})", process::describe(&command));
    counted
}

/// Seconds for a pull into an empty store, unpacked and ready to start: the median, or the first if it takes long.
fn pull(jettison: &Jettison, scratch: &Scratch, reference: &str) -> Result<f64> {
    let mut seconds = Vec::new();
    // Removed together, after the last: ext4 avoids inodes that were freed a moment ago, and goes through all of them for
    // each new file.
    let mut stores = Vec::new();
    for _ in 0..PULLS {
        let store = Scratch::below(scratch.path(), "store")?;
        let fresh = jettison.with_store(store.path());
        // What was written before must not be flushed at the expense of what is measured.
        rustix::fs::sync();
        let start = Instant::now();
        fresh.quietly(["pull", "--quiet", "--unpack", reference])?;
        seconds.push(start.elapsed().as_secs_f64());
        stores.push(store);
        if start.elapsed() > LONG_PULL {
            break;
        }
    }
    let name = reference.split_once('/').map_or(reference, |(_, name)| name);
    let shown: Vec<String> = seconds.iter().map(|s| table::seconds(*s)).collect();
    println!("{:>8}  jettison pull {name} into an empty store: {} s", "", shown.join(", "));
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}

/// Starts an image from the registry, as a machine that has never seen it would, and asks it for its page.
fn start_and_ask(jettison: &Jettison, reference: &str, scratch: &Scratch) -> Result<()> {
    ensure_port_is_free()?;
    let store = Scratch::below(scratch.path(), "store")?;
    let log: PathBuf = store.path().join("server.log");
    let fresh = jettison.with_store(&store.path().join("store"));
    let command = fresh.command(["run", reference]);
    let start = Instant::now();
    let mut server = Guarded::start_in_background(&command, &log)?;
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let body = http::get_when_up(PORT, "/", ANSWER_LIMIT, || match server.poll()? {
        None => Ok(()),
        Some(status) => bail!("{} ended ({status}):\n{}", process::describe(&command), said().trim_end()),
    });
    let answer = String::from_utf8_lossy(&body.with_context(said)?).trim_end().to_owned();
    println!(
        "{:>7.2}s  jettison run {reference} (pulled, unpacked, started): http://127.0.0.1:{PORT}/ answers: {answer}",
        start.elapsed().as_secs_f64()
    );
    ensure!(answer == "Hello world!", "that is not the answer that was expected");
    let stop = Instant::now();
    server.stop()?;
    ensure!(stop.elapsed() < STOP_LIMIT, "it took {:.1} s to stop", stop.elapsed().as_secs_f64());
    ensure_port_is_free().context("the server goes on after jettison was told to stop it")
}

fn ensure_port_is_free() -> Result<()> {
    match TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(error).with_context(|| format!("port {PORT}, which the example needs, cannot be had"))
        }
    }
}

fn comparison(single: &Measured, separate: &Measured) -> String {
    let row = |label: &str, one: f64, two: f64, show: &dyn Fn(f64) -> String| {
        vec![label.to_owned(), show(one), show(two), table::ratio(one, two)]
    };
    let whole = |value: f64| table::thousands(value as u64);
    let rows = [
        row("bytes of the image", single.contents.bytes as f64, separate.contents.bytes as f64, &whole),
        row("bytes to pull (compressed)", single.to_pull as f64, separate.to_pull as f64, &whole),
        row("files", single.contents.files as f64, separate.contents.files as f64, &whole),
        row("seconds to pull", single.pull_seconds, separate.pull_seconds, &table::seconds),
    ];
    table::markdown(&["hello-go", "single stage", "separate build image", "ratio"], &rows)
}

/// Does something, and says how long it took.
fn step<T>(label: &str, action: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let result = action();
    println!("{:>7.2}s  {label}", start.elapsed().as_secs_f64());
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comparison_shows_each_number_and_their_ratio() {
        let big = Contents { bytes: 860_000_000, files: 25_000 };
        let single = Measured { contents: big, to_pull: 300_000_000, pull_seconds: 6.5 };
        let tiny = Contents { bytes: 4_300_000, files: 1 };
        let separate = Measured { contents: tiny, to_pull: 2_000_000, pull_seconds: 0.05 };
        let shown = comparison(&single, &separate);
        let expected = "\
| hello-go                   | single stage | separate build image |   ratio |
|----------------------------|-------------:|---------------------:|--------:|
| bytes of the image         |  860,000,000 |            4,300,000 |    200× |
| bytes to pull (compressed) |  300,000,000 |            2,000,000 |    150× |
| files                      |       25,000 |                    1 | 25,000× |
| seconds to pull            |         6.50 |                0.050 |    130× |
";
        assert_eq!(shown, expected);
    }
}
