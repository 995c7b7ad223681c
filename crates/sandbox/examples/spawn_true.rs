//! Measures our own time per RUN: `true` in a busybox root, from `spawn` to the end of `wait`.
//!
//! `cargo run --release -p jettison-sandbox --example spawn_true [ROUNDS]`; prints milliseconds.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use jettison_sandbox::{Network, Root, Spec, Tier, enter, init, spawn, tree::remove_tree};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    init();
    let rounds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(200);
    let busybox = Path::new("/bin/busybox");
    if !busybox.exists() {
        eprintln!("skipped: needs /bin/busybox (apt install busybox-static)");
        return Ok(());
    }
    let entered = enter()?;
    println!("entered: {entered:?}");
    if entered.tier == Tier::NoNamespaces {
        return Ok(());
    }

    let base = std::env::temp_dir().join(format!("spawn-true-{}", std::process::id()));
    let path = |name: &str| base.join(name);
    for folder in ["lower/bin", "lower/etc", "lower/proc", "lower/sys", "lower/dev"] {
        std::fs::create_dir_all(path(folder))?;
    }
    std::fs::copy(busybox, path("lower/bin/busybox"))?;

    for network in [Network::Host, Network::None] {
        let mut times = Vec::new();
        for round in 0..rounds {
            let (upper, work) = (path(&format!("{round}/upper")), path(&format!("{round}/work")));
            std::fs::create_dir_all(&upper)?;
            std::fs::create_dir_all(&work)?;
            let root = Root::Overlay { lowers: vec![path("lower")], upper, work };
            let mut spec = Spec::new(root, vec!["/bin/busybox".into(), "true".into()]);
            spec.hosts = b"127.0.0.1 localhost\n".to_vec();
            spec.resolv_conf = b"nameserver 127.0.0.1\n".to_vec();
            spec.network = network;
            let start = Instant::now();
            let exit = spawn(&spec)?.wait()?;
            times.push(start.elapsed());
            assert!(exit.success(), "{exit:?}");
            remove_tree(&path(&round.to_string()))?;
        }
        report(&format!("{network:?} network"), &mut times);
    }

    let mut times = Vec::new();
    for _ in 0..rounds {
        let start = Instant::now();
        Command::new(busybox).arg("true").status()?;
        times.push(start.elapsed());
    }
    report("no sandbox at all", &mut times);
    remove_tree(&base)?;
    Ok(())
}

fn report(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!("{what}: median {:.2} ms, 10% {:.2} ms, 90% {:.2} ms", at(50), at(10), at(90));
}
