//! `--only compiler`: after one line of the example has changed, how much of the build is the compiler, and how much is ours?
//!
//! The same `go build` runs by itself in the unpacked base, in a plain chroot on the machine's own file system, with as
//! little in Go's own cache as a step has: what no builder can avoid. Build and compiler take turns.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::jettison::Jettison;
use crate::process;
use crate::scratch::Scratch;
use crate::standin;
use crate::table;

use super::{measure, report, workloads};

/// For `--only`.
pub const NAME: &str = "compiler";

/// What the build may take beside the compiler, milliseconds.
const LIMIT_MS: f64 = 80.0;

/// Measures; returns a table as Markdown.
pub fn run(jettison: &Jettison, runs: usize, scratch: &Path) -> Result<String> {
    let context = Scratch::below(scratch, "context")?;
    workloads::example(context.path())?;
    let root = Scratch::below(scratch, "root")?;
    unpack(jettison, context.path(), root.path())?;
    let mut compiler = Command::new("chroot");
    compiler.arg(root.path()).args(["/bin/sh", "-c", "cd /app && exec go build -o /myserver ."]);
    compiler.env_clear().env("HOME", "/root").env("PATH", path(jettison)?);
    let mut build = jettison.command(["build", "--tag", NAME]);
    build.arg(context.path());
    let (mut whole, mut alone) = (Vec::new(), Vec::new());
    // A line that no earlier run has built: the store is kept.
    let first = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    // Once more than asked for: the first fills the page cache and the store.
    for run in 0..=runs as u64 {
        workloads::change_line(context.path(), first + run)?;
        std::fs::copy(context.path().join("main.go"), root.path().join("app/main.go"))?;
        remove_if_there(&root.path().join("root/.cache"))?;
        rustix::fs::sync();
        let seconds = |command: &mut Command| -> Result<f64> {
            Ok(measure::commands(std::slice::from_mut(command), &[])?.seconds)
        };
        let measured = (seconds(&mut build)?, seconds(&mut compiler)?);
        if run > 0 {
            whole.push(measured.0);
            alone.push(measured.1);
        }
    }
    let ours: Vec<f64> = whole.iter().zip(&alone).map(|(whole, alone)| whole - alone).collect();
    let row = |label: &str, seconds: Vec<f64>| {
        vec![label.to_owned(), format!("{:.0} ms", report::median(seconds) * 1e3)]
    };
    let rows = [
        row("build, whole process", whole),
        row("`go build` alone, in a chroot", alone),
        row("difference, in turns", ours),
        vec!["allowed".to_owned(), format!("{LIMIT_MS:.0} ms")],
    ];
    Ok(table::markdown(&["", "median"], &rows))
}

/// The build's stage as files, with the one device that the compiler opens.
fn unpack(jettison: &Jettison, context: &Path, root: &Path) -> Result<()> {
    let file = context.join("Dockerfile.base");
    std::fs::write(&file, format!("FROM {}\nADD . /app\n", standin::GO.image))?;
    let output = format!("type=local,dest={}", root.display());
    let mut command = jettison.command(["build", "--quiet", "--output", &output, "--file"]);
    process::output(command.arg(&file).arg(context))?;
    std::fs::remove_file(&file)?;
    let null = root.join("dev/null");
    remove_if_there(&null)?;
    process::output(Command::new("mknod").arg(&null).args(["c", "1", "3"])).map(drop)
}

/// PATH in the base.
fn path(jettison: &Jettison) -> Result<String> {
    process::text(&mut jettison.command(["run", standin::GO.image, "sh", "-c", "echo $PATH"]))
}

fn remove_if_there(path: &Path) -> Result<()> {
    let result = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
