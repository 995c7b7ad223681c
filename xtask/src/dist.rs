//! `cargo xtask dist`: one static binary, the proof that it needs nothing around it, man pages and completions.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process;
use crate::repository;
use crate::scratch::Scratch;
use crate::table;

/// Always named: without it the flag would reach proc-macros too, which must not be static.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The binary must stay below this, bytes.
const BYTES_MAX: u64 = 12_000_000;

/// Builds, checks and copies it to `dist/jettison`.
pub fn run(arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() {
        bail!("usage: cargo xtask dist");
    }
    let mut cargo = repository::cargo();
    // `+crt-static` links the C library in; glibc's is used because its allocator is the faster one by far.
    // Tables for unwinding serve nobody where a panic ends the program.
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static -C force-unwind-tables=no");
    process::run(cargo.args(["build", "--release", "--package", "jettison", "--target", TARGET]))?;
    let built = repository::target().join(TARGET).join("release/jettison");
    let folder = repository::root().join("dist");
    std::fs::create_dir_all(&folder)?;
    let binary = folder.join("jettison");
    std::fs::copy(&built, &binary).with_context(|| format!("copying {}", built.display()))?;
    process::run(Command::new("strip").arg(&binary))?;
    let bytes = std::fs::metadata(&binary)?.len();
    println!("{}: {} bytes", binary.display(), table::thousands(bytes));
    ensure!(bytes < BYTES_MAX, "that is more than the {} that it may have", table::thousands(BYTES_MAX));
    println!("in an empty root it says: {}", in_an_empty_root(&binary)?);
    documents(&binary, &folder)?;
    Ok(())
}

/// The shells that get completions, and what they call the file.
const COMPLETIONS: [(&str, &str); 5] = [
    ("bash", "jettison.bash"),
    ("zsh", "_jettison"),
    ("fish", "jettison.fish"),
    ("elvish", "jettison.elv"),
    ("powershell", "_jettison.ps1"),
];

/// Man pages and completions, which the binary makes of its own definitions.
fn documents(binary: &Path, folder: &Path) -> Result<()> {
    process::run(Command::new(binary).arg("man").arg(folder.join("man/man1")))?;
    let completions = folder.join("completions");
    std::fs::create_dir_all(&completions)?;
    for (shell, file) in COMPLETIONS {
        let script = process::text(Command::new(binary).args(["completions", shell]))?;
        std::fs::write(completions.join(file), script + "\n")?;
    }
    println!("{}/man and {}/completions", folder.display(), folder.display());
    Ok(())
}

/// What `jettison version` says where there is no other file.
fn in_an_empty_root(binary: &Path) -> Result<String> {
    let root = Scratch::below(&repository::target(), "empty-root")?;
    std::fs::copy(binary, root.path().join("jettison"))?;
    // Looked for now: with an empty environment /usr/sbin is not searched.
    let chroot = process::find_program("chroot").context("chroot is not installed")?;
    let mut command = if process::is_root() {
        Command::new(chroot)
    } else {
        let mut command = Command::new("unshare");
        command.arg("--map-root-user").arg(chroot);
        command
    };
    command.arg(root.path()).args(["/jettison", "version"]).env_clear();
    let said =
        process::text(&mut command).context("the binary does not start where there is no other file")?;
    Ok(said.lines().next().unwrap_or_default().to_owned())
}
