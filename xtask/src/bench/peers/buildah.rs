//! buildah, as it is used where nothing else is allowed: layers cached, chroot isolation.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::isolation::Isolation;
use crate::process;

use super::{BASE, Builder, End, Job};

/// buildah, with a store of its own.
pub(super) struct Buildah {
    program: PathBuf,
    isolation: Isolation,
    driver: &'static str,
    configuration: PathBuf,
    folder: PathBuf,
}

impl Buildah {
    pub(super) fn start(configuration: &Path, folder: &Path) -> Result<Self> {
        let folder = folder.join("buildah");
        let mut buildah = Self {
            program: process::find_program("buildah").context("buildah is not installed")?,
            isolation: Isolation::start(&folder.join("namespaces"))?,
            driver: "overlay",
            configuration: configuration.to_owned(),
            folder,
        };
        // Where overlayfs lies on overlayfs its own driver refuses to work; copying everything always works.
        if !process::captured(&mut buildah.call(&["info"]))?.status.success() {
            buildah.driver = "vfs";
        }
        process::output(&mut buildah.call(&["info"]))?;
        Ok(buildah)
    }

    fn call(&self, words: &[&str]) -> Command {
        let mut command = self.isolation.command(&self.program);
        command.arg("--storage-driver").arg(self.driver);
        command.arg("--root").arg(self.folder.join(self.driver));
        command.arg("--runroot").arg(self.folder.join("run"));
        command.args(words).env("CONTAINERS_REGISTRIES_CONF", &self.configuration);
        command
    }
}

impl Builder for Buildah {
    fn name(&self) -> &'static str {
        "buildah"
    }

    fn version(&self) -> Result<String> {
        let version = process::text(Command::new(&self.program).arg("--version"))?;
        Ok(format!("{version}, --layers, --isolation chroot, --jobs 0, {}", self.driver))
    }

    fn commands(&self, job: &Job) -> Vec<Command> {
        let mut build =
            self.call(&["build", "--layers", "--isolation", "chroot", "--jobs", "0", "--tag", job.tag]);
        build.arg(job.context);
        match job.end {
            End::Store => vec![build],
            End::Archive(file) => {
                let place = format!("docker-archive:{}:{}", file.display(), "bench:latest");
                vec![build, self.call(&["push", job.tag, &place])]
            }
            End::Compressed(file) => {
                let place = format!("oci-archive:{}", file.display());
                vec![build, self.call(&["push", job.tag, &place])]
            }
            End::Push => {
                let place = format!("docker://{}", job.tag);
                vec![build, self.call(&["push", "--tls-verify=false", job.tag, &place])]
            }
        }
    }

    fn reset(&self) -> Result<()> {
        process::output(&mut self.call(&["rm", "--all"]))?;
        process::output(&mut self.call(&["rmi", "--all", "--force"])).map(drop)
    }

    fn pull_base(&self) -> Result<()> {
        process::output(&mut self.call(&["pull", "--quiet", BASE])).map(drop)
    }
}
