//! The BuildKit that is in docker.io's daemon.
//!
//! It has no exporter for archives, so the image goes through `docker save`, as people do it.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::docker::Docker;
use crate::process;
use crate::registry::Registry;

use super::{BASE, Builder, End, Job};

/// A daemon of our own.
pub(super) struct BuildKit(Docker);

impl BuildKit {
    pub(super) fn start(registry: &Registry, folder: &Path) -> Result<Self> {
        Docker::start(Some(registry), &folder.join("buildkit")).map(Self)
    }
}

impl Builder for BuildKit {
    fn name(&self) -> &'static str {
        "BuildKit"
    }

    fn version(&self) -> Result<String> {
        self.0.version()
    }

    fn commands(&self, job: &Job) -> Vec<Command> {
        let mut build = self.0.call(&["build", "--network", "host", "--progress", "plain", "--tag", job.tag]);
        build.arg(job.context);
        match job.end {
            End::Store => vec![build],
            End::Archive(file) => {
                let mut save = self.0.call(&["save", "--output"]);
                save.arg(file).arg(job.tag);
                vec![build, save]
            }
            End::Push => vec![build, self.0.call(&["push", job.tag])],
        }
    }

    fn resident(&self) -> Vec<u32> {
        self.0.pids()
    }

    fn reset(&self) -> Result<()> {
        process::output(&mut self.0.call(&["system", "prune", "--all", "--force"]))?;
        process::output(&mut self.0.call(&["builder", "prune", "--all", "--force"])).map(drop)
    }

    fn pull_base(&self) -> Result<()> {
        process::output(&mut self.0.call(&["pull", "--quiet", BASE])).map(drop)
    }
}
