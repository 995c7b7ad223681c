//! The Rust toolchain of this machine, with the standard library for musl, as a part of the stand-in for `rust:1-alpine`:
//! Debian has none, and with glibc a static program is three times the size.

use std::path::PathBuf;
use std::process::Command;

use crate::process;

/// What the toolchain of `rust:1-alpine` compiles for unless told otherwise.
pub fn musl_target() -> String {
    format!("{}-unknown-linux-musl", std::env::consts::ARCH)
}

/// The folder of the toolchain, its standard library for musl included; fetched through rustup if need be.
///
/// # Errors
/// Why there is none, in one line.
pub fn with_musl() -> Result<PathBuf, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = process::text(Command::new(rustc).args(["--print", "sysroot"]));
    let sysroot = PathBuf::from(sysroot.map_err(|error| format!("{error:#}"))?.trim_end());
    let library = sysroot.join("lib/rustlib").join(musl_target()).join("lib");
    if !library.is_dir() {
        let add = process::text(Command::new("rustup").args(["target", "add", &musl_target()]));
        add.map_err(|error| format!("rustup cannot add {}: {error:#}", musl_target()))?;
    }
    if library.is_dir() {
        Ok(sysroot)
    } else {
        Err(format!("rustup has added {} to another toolchain than {}", musl_target(), sysroot.display()))
    }
}
