//! `--only memory`: peak memory with a layer of 8 GB, in each thing that is done with a layer. jettison alone: what counts is
//! a limit (200 MB), not who is better.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::jettison::Jettison;
use crate::registry::Registry;
use crate::scratch::{self, Scratch};
use crate::table;

use super::{measure, workloads};

/// What `--only` calls it.
pub const NAME: &str = "memory";

/// Bytes of the one file in the layer.
const LAYER_BYTES: u64 = 8 << 30;
/// All processes of ours together may never need more, bytes.
const PEAK_BYTES_MAX: u64 = 200_000_000;
/// What the file repeats: longer than any window of a compressor, so that none finds the repetition.
const BLOCK_BYTES: usize = 64 << 20;

/// Measures; returns a table as Markdown, and fails if the limit is passed.
pub fn run(jettison: &Jettison, registry: &Registry, scratch: &Scratch) -> Result<String> {
    let context = Scratch::below(scratch.path(), NAME)?;
    write_file(&context.path().join("large")).context("writing a file of 8 GB")?;
    std::fs::write(context.path().join("Dockerfile"), "FROM scratch\nCOPY large /\n")?;
    let jettison = jettison.with_store(&scratch.path().join("memory-store"));
    let tag = registry.reference("bench/memory:latest");
    let mut rows = Vec::new();
    let mut peak = 0;
    let mut measure = |label: &str, mut command: Command| -> Result<()> {
        let measured = measure::commands(std::slice::from_mut(&mut command), &[])?;
        peak = peak.max(measured.peak_bytes);
        let megabytes = (measured.peak_bytes / 1_000_000).to_string();
        println!("{label:40} {:>8} s, {megabytes:>5} MB", table::seconds(measured.seconds));
        rows.push(vec![label.to_owned(), table::seconds(measured.seconds), megabytes]);
        Ok(())
    };
    let mut build = jettison.command(["build", "--quiet", "--tag", &tag]);
    build.arg(context.path());
    measure("COPY into a layer, gzip", build)?;
    measure("push", jettison.command(["push", "--quiet", &tag]))?;
    scratch::remove(jettison.store())?;
    measure("pull and unpack", jettison.command(["pull", "--quiet", "--unpack", &tag]))?;
    ensure!(peak < PEAK_BYTES_MAX, "more than {} MB", PEAK_BYTES_MAX / 1_000_000);
    Ok(table::markdown(&["", "seconds", "peak MB"], &rows))
}

fn write_file(path: &Path) -> Result<()> {
    let mut block = String::with_capacity(BLOCK_BYTES + 10_000);
    let mut random = 42;
    while block.len() < BLOCK_BYTES {
        block.push_str(&workloads::small_text(&mut random));
    }
    let mut file = BufWriter::new(File::create(path)?);
    let mut written = 0;
    while written < LAYER_BYTES {
        // Another number each time: no two blocks, and so no two chunks of the layer, are equal.
        write!(file, "{written:020}")?;
        file.write_all(block.as_bytes())?;
        written += block.len() as u64 + 20;
    }
    Ok(file.flush()?)
}
