//! The BuildKit that is in docker.io's daemon, with files and a socket of its own.
//!
//! It has no exporter for archives, so the image goes through `docker save`, as people do it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::{self, Guarded};
use crate::registry::Registry;
use crate::scratch::Scratch;

use super::isolation::Isolation;
use super::{BASE, Builder, End, Job};

/// How long the daemon may take to come up.
const START_LIMIT: Duration = Duration::from_secs(60);

/// dockerd and its client. Fields are dropped in this order: first the daemon, last its socket.
pub(super) struct BuildKit {
    client: PathBuf,
    daemon: Guarded,
    isolation: Isolation,
    sockets: Scratch,
}

impl BuildKit {
    pub(super) fn start(registry: &Registry, folder: &Path) -> Result<Self> {
        let folder = folder.join("buildkit");
        let sockets = Scratch::for_sockets()?;
        let isolation = Isolation::start(&folder.join("namespaces"))?;
        let program = process::find_program("dockerd").context("dockerd is not installed")?;
        let mut command = isolation.command(&program);
        command.arg("--host").arg(socket(&sockets)).arg("--pidfile").arg(sockets.path().join("pid"));
        command
            .arg("--exec-root")
            .arg(sockets.path().join("exec"))
            .arg("--data-root")
            .arg(folder.join("data"));
        // It must not touch the network of this machine; builds use it as it is.
        command.args(["--iptables=false", "--ip6tables=false", "--bridge=none"]);
        command.arg("--registry-mirror").arg(format!("http://127.0.0.1:{}", registry.port));
        let log = folder.join("log");
        let daemon = Guarded::start_in_background(&command, &log)?;
        let mut buildkit = Self { client: client()?, daemon, isolation, sockets };
        buildkit.wait_until_up(&log)?;
        Ok(buildkit)
    }

    fn wait_until_up(&mut self, log: &Path) -> Result<()> {
        let start = Instant::now();
        while !process::captured(&mut self.call(&["version"]))?.status.success() {
            if let Some(status) = self.daemon.poll()? {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                bail!("dockerd ended ({status}): {}", said.lines().last().unwrap_or_default());
            }
            if start.elapsed() > START_LIMIT {
                bail!("dockerd does not come up; see {}", log.display());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn call(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.client);
        command
            .env("DOCKER_HOST", socket(&self.sockets))
            .env("DOCKER_BUILDKIT", "1")
            .env_remove("DOCKER_CONTEXT");
        command.args(words);
        command
    }
}

fn socket(folder: &Scratch) -> String {
    format!("unix://{}", folder.path().join("socket").display())
}

/// Debian's own client where there are several: it speaks to BuildKit without a plugin.
fn client() -> Result<PathBuf> {
    let own = PathBuf::from("/usr/bin/docker");
    if own.exists() {
        Ok(own)
    } else {
        process::find_program("docker").context("the docker client is not installed")
    }
}

impl Builder for BuildKit {
    fn name(&self) -> &'static str {
        "BuildKit"
    }

    fn version(&self) -> Result<String> {
        let version = process::text(&mut self.call(&["version", "--format", "{{.Server.Version}}"]))?;
        let driver = process::text(&mut self.call(&["info", "--format", "{{.Driver}}"]))?;
        Ok(format!("BuildKit in docker {version}, {driver}"))
    }

    fn commands(&self, job: &Job) -> Vec<Command> {
        let mut build = self.call(&["build", "--network", "host", "--progress", "plain", "--tag", job.tag]);
        build.arg(job.context);
        match job.end {
            End::Store => vec![build],
            End::Archive(file) => {
                let mut save = self.call(&["save", "--output"]);
                save.arg(file).arg(job.tag);
                vec![build, save]
            }
            End::Push => vec![build, self.call(&["push", job.tag])],
        }
    }

    fn resident(&self) -> Vec<u32> {
        vec![self.daemon.pid(), self.isolation.pid()]
    }

    fn reset(&self) -> Result<()> {
        process::output(&mut self.call(&["system", "prune", "--all", "--force"]))?;
        process::output(&mut self.call(&["builder", "prune", "--all", "--force"])).map(drop)
    }

    fn pull_base(&self) -> Result<()> {
        process::output(&mut self.call(&["pull", "--quiet", BASE])).map(drop)
    }
}
