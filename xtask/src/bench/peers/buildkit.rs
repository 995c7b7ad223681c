//! The BuildKit that is in docker.io's daemon: Debian stable's, and the newest that Debian has.
//!
//! The old one has no exporter for archives, so there the image goes through `docker save`, as people do it; compressed
//! archives it cannot write at all.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::docker::{Docker, Release};
use crate::process;
use crate::registry::Registry;

use super::{BASE, Builder, End, Job};

/// A daemon of our own.
pub(super) struct BuildKit {
    docker: Docker,
    release: Release,
}

impl BuildKit {
    pub(super) fn start(release: Release, registry: &Registry, folder: &Path) -> Result<Self> {
        let docker = Docker::start(release, Some(registry), folder)?;
        Ok(Self { docker, release })
    }

    fn build(&self, job: &Job) -> Command {
        let mut build =
            self.docker.call(&["build", "--network", "host", "--progress", "plain", "--tag", job.tag]);
        if self.release == Release::Newest {
            // An attestation is more work than the others do.
            build.arg("--provenance=false");
        }
        build
    }

    fn save(&self, job: &Job, file: &Path) -> Command {
        let mut save = self.docker.call(&["save", "--output"]);
        save.arg(file).arg(job.tag);
        save
    }
}

impl Builder for BuildKit {
    fn name(&self) -> &'static str {
        match self.release {
            Release::Installed => "BuildKit",
            Release::Newest => "newest BuildKit",
        }
    }

    fn version(&self) -> Result<String> {
        self.docker.version()
    }

    fn commands(&self, job: &Job) -> Vec<Command> {
        let mut build = self.build(job);
        let after = match (job.end, self.release) {
            (End::Store, _) => None,
            (End::Archive(file), Release::Installed) => Some(self.save(job, file)),
            (End::Compressed(_), Release::Installed) => return Vec::new(),
            (End::Archive(file), Release::Newest) => {
                build.arg(format!("--output=type=docker,compression=uncompressed,dest={}", file.display()));
                None
            }
            (End::Compressed(file), Release::Newest) => {
                build.arg(format!("--output=type=oci,dest={}", file.display()));
                None
            }
            (End::Push, _) => Some(self.docker.call(&["push", job.tag])),
        };
        build.arg(job.context);
        std::iter::once(build).chain(after).collect()
    }

    fn resident(&self) -> Vec<u32> {
        self.docker.pids()
    }

    fn reset(&self) -> Result<()> {
        process::output(&mut self.docker.call(&["system", "prune", "--all", "--force"]))?;
        process::output(&mut self.docker.call(&["builder", "prune", "--all", "--force"])).map(drop)
    }

    fn pull_base(&self) -> Result<()> {
        process::output(&mut self.docker.call(&["pull", "--quiet", BASE])).map(drop)
    }
}
