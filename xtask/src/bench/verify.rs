//! `cargo xtask bench --only verify`: what the start-proof costs, by itself and at the end of a build that does nothing else.
//!
//! jettison alone; no other builder has such a thing. The targets are those of the project: 50 ms for the example, 300 ms for
//! a whole Debian with compilers.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::jettison::Jettison;
use crate::process;
use crate::repository;
use crate::scratch::Scratch;
use crate::table;

/// The name of this part.
pub const NAME: &str = "verify";

/// An image, what its proof may cost, and the Dockerfile; the folder of the example if there is none.
const CASES: [(&str, u64, Option<&str>); 4] = [
    ("the example (static, scratch)", 50, None),
    ("a whole Debian, its git", 300, Some("FROM golang:1.11\nRUN touch /x\nCMD [\"git\", \"daemon\"]\n")),
    ("a whole Debian, a script of its compiler", 300, Some("FROM golang:1.11\nRUN touch /x\nCMD c89 -v\n")),
    (
        "a whole Debian, a command that is not there",
        300,
        Some("FROM golang:1.11\nRUN touch /x\nCMD [\"myserver\"]\n"),
    ),
];

/// Measures, and returns a table as Markdown.
pub fn run(jettison: &Jettison, runs: usize, scratch: &Path) -> Result<String> {
    let mut rows = Vec::new();
    for (label, limit_ms, dockerfile) in CASES {
        let folder = Scratch::below(scratch, NAME)?;
        let example = repository::root().join("examples/hello-go");
        let (file, context) = match dockerfile {
            Some(text) => {
                let file = folder.path().join("Dockerfile");
                std::fs::write(&file, text)?;
                (file, folder.path().to_owned())
            }
            None => (example.join("Dockerfile"), example),
        };
        jettison.build(&file, &context, NAME)?;
        let build = |mode: &str| jettison.build_with(&file, &context, NAME, &[format!("--verify={mode}")]);
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..runs {
            times[0].push(milliseconds(|| verify(jettison))?);
            times[1].push(milliseconds(|| build("warn"))?);
            times[2].push(milliseconds(|| build("off"))?);
        }
        let [alone, with, without] = times.map(median);
        rows.push(vec![
            label.to_owned(),
            format!("{alone:.0} ms"),
            format!("{:.0} ms", (with - without).max(0.0)),
            format!("{limit_ms} ms"),
        ]);
    }
    let header = ["image", "`jettison verify`", "added to a build without work", "target"];
    Ok(table::markdown(&header, &rows))
}

fn verify(jettison: &Jettison) -> Result<()> {
    let ran = process::captured(&mut jettison.command([NAME, NAME]))?;
    // An image that cannot start is an answer, too.
    ensure!(matches!(ran.status.code(), Some(0 | 7)), "{}", String::from_utf8_lossy(&ran.stderr));
    Ok(())
}

fn milliseconds(work: impl Fn() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64() * 1000.0)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
