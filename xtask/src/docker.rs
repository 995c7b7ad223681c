//! docker.io's daemon, with the BuildKit that is in it: with files and a socket of its own, in namespaces of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::isolation::Isolation;
use crate::process::{self, Guarded};
use crate::registry::Registry;
use crate::scratch::Scratch;

/// How long the daemon may take to come up.
const START_LIMIT: Duration = Duration::from_secs(60);

/// dockerd and its client. Fields are dropped in this order: first the daemon, last its socket.
pub struct Docker {
    client: PathBuf,
    daemon: Guarded,
    isolation: Isolation,
    sockets: Scratch,
}

impl Docker {
    /// Starts one that keeps its files in `folder`; docker.io's images are taken from `mirror`.
    pub fn start(mirror: Option<&Registry>, folder: &Path) -> Result<Self> {
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
        // For `--squash`.
        command.arg("--experimental");
        if let Some(registry) = mirror {
            command.arg("--registry-mirror").arg(format!("http://127.0.0.1:{}", registry.port));
        }
        let log = folder.join("log");
        let daemon = Guarded::start_in_background(&command, &log)?;
        let mut docker = Self { client: client()?, daemon, isolation, sockets };
        docker.wait_until_up(&log)?;
        Ok(docker)
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

    /// A call of its client; `build` is done by BuildKit.
    pub fn call(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.client);
        command
            .env("DOCKER_HOST", socket(&self.sockets))
            .env("DOCKER_BUILDKIT", "1")
            .env_remove("DOCKER_CONTEXT");
        command.args(words);
        command
    }

    /// Name and version, for the record.
    pub fn version(&self) -> Result<String> {
        let version = process::text(&mut self.call(&["version", "--format", "{{.Server.Version}}"]))?;
        let driver = process::text(&mut self.call(&["info", "--format", "{{.Driver}}"]))?;
        Ok(format!("BuildKit in docker {version}, {driver}"))
    }

    /// Its processes.
    pub fn pids(&self) -> Vec<u32> {
        vec![self.daemon.pid(), self.isolation.pid()]
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
