//! The program that all this is about: building it, and calling it with a store of one's own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::repository;

/// jettison with a store.
pub struct Jettison {
    program: PathBuf,
    store: PathBuf,
}

/// How the program is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// In a minute on two cores, and what the tests use anyway; hashing, inflating and tar are optimised all the same.
    Dev,
    /// As it is shipped, in four times that.
    Release,
}

impl Jettison {
    /// The program, brought up to date. `JETTISON_BIN` names another one to be used as it is.
    pub fn compiled(profile: Profile, store: &Path) -> Result<Self> {
        if let Some(program) = std::env::var_os("JETTISON_BIN") {
            return Ok(Self { program: program.into(), store: store.to_owned() });
        }
        let mut cargo = repository::cargo();
        cargo.args(["build", "--package", "jettison"]);
        let folder = match profile {
            Profile::Dev => "debug",
            Profile::Release => {
                cargo.arg("--release");
                "release"
            }
        };
        process::run(&mut cargo)?;
        let program = repository::target().join(folder).join("jettison");
        Ok(Self { program, store: store.to_owned() })
    }

    /// The same program with another store.
    pub fn with_store(&self, store: &Path) -> Self {
        Self { program: self.program.clone(), store: store.to_owned() }
    }

    /// Its file.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Where its store is.
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// A call with these words.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env("JETTISON_ROOT", &self.store);
        command
    }

    /// Runs a call to its end; its output is seen only if it fails.
    pub fn quietly<S: AsRef<std::ffi::OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Result<String> {
        process::text(&mut self.command(words))
    }

    /// Builds `file` in `context` and names the result.
    pub fn build(&self, file: &Path, context: &Path, tag: &str) -> Result<()> {
        self.build_with(file, context, tag, &[])
    }

    /// The same with more options.
    pub fn build_with(&self, file: &Path, context: &Path, tag: &str, options: &[String]) -> Result<()> {
        let mut command = self.command(["build", "--quiet", "--tag", tag, "--file"]);
        command.arg(file).args(options).arg(context);
        process::output(&mut command).map(drop).with_context(|| format!("building {}", file.display()))
    }

    /// What `jettison version` says, its first line.
    pub fn version(&self) -> Result<String> {
        Ok(self.quietly(["version"])?.lines().next().unwrap_or_default().to_owned())
    }
}
