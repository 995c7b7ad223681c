//! jettison itself, with a store of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::jettison::Jettison;
use crate::process;
use crate::scratch;

use super::{BASE, Builder, End, Job};

/// What all this is about.
pub(super) struct Subject {
    jettison: Jettison,
    configuration: PathBuf,
}

impl Subject {
    pub(super) fn new(program: &Jettison, configuration: &Path, folder: &Path) -> Self {
        Self {
            jettison: program.with_store(&folder.join("jettison")),
            configuration: configuration.to_owned(),
        }
    }

    fn call(&self, words: &[&str]) -> Command {
        let mut command = self.jettison.command(words);
        command.env("CONTAINERS_REGISTRIES_CONF", &self.configuration);
        command
    }
}

impl Builder for Subject {
    fn name(&self) -> &'static str {
        super::JETTISON
    }

    fn version(&self) -> Result<String> {
        self.jettison.version()
    }

    fn commands(&self, job: &Job) -> Vec<Command> {
        let mut command = self.call(&["build", "--tag", job.tag]);
        match job.end {
            End::Store => {}
            End::Archive(file) => {
                let output = format!("type=docker,compression=uncompressed,dest={}", file.display());
                command.arg("--output").arg(output);
            }
            End::Compressed(file) => {
                command.arg("--output").arg(format!("type=oci,dest={}", file.display()));
            }
            End::Push => {
                command.arg("--push");
            }
        }
        command.arg(job.context);
        vec![command]
    }

    fn reset(&self) -> Result<()> {
        scratch::remove(self.jettison.store())
    }

    fn pull_base(&self) -> Result<()> {
        process::output(&mut self.call(&["pull", "--quiet", "--unpack", BASE])).map(drop)
    }
}
