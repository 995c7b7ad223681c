//! docker.io's daemon, with the BuildKit that is in it: with files and a socket of its own, in namespaces of its own.
//! `release.rs`: which one.

mod release;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

pub use release::Release;

use crate::isolation::Isolation;
use crate::process::{self, Guarded};
use crate::registry::Registry;
use crate::scratch::Scratch;

use release::Programs;

/// How long the daemon may take to come up.
const START_LIMIT: Duration = Duration::from_secs(60);

/// dockerd and its client. Fields are dropped in this order: first the daemon, last its socket.
pub struct Docker {
    programs: Programs,
    daemon: Guarded,
    isolation: Isolation,
    sockets: Scratch,
}

impl Docker {
    /// Fetches a release if that is needed; why it cannot be had, if so.
    pub fn is_to_be_had(release: Release) -> Result<()> {
        Programs::of(release).map(drop)
    }

    /// Starts one that keeps its files in `folder`; docker.io's images are taken from `mirror`. Builds have the network of
    /// this machine.
    pub fn start(release: Release, mirror: Option<&Registry>, folder: &Path) -> Result<Self> {
        let programs = Programs::of(release)?;
        let isolation = Isolation::start(&folder.join("namespaces"))?;
        let mut command = isolation.command(&programs.daemon);
        // It must not touch the network of this machine; builds use it as it is.
        command.arg("--bridge=none");
        if let Some(registry) = mirror {
            command.arg("--registry-mirror").arg(format!("http://127.0.0.1:{}", registry.port));
        }
        Self::serve(programs, (isolation, command), release, folder)
    }

    /// Starts one with a network of its own, which has the bridge that some things ask for and leads nowhere.
    pub fn start_alone(release: Release, folder: &Path) -> Result<Self> {
        let programs = Programs::of(release)?;
        let isolation = Isolation::start_alone(&folder.join("namespaces"))?;
        let mut command = isolation.command(&programs.daemon);
        command.args(["--bip=172.31.255.1/24", "--ip-forward=false", "--userland-proxy=false"]);
        Self::serve(programs, (isolation, command), release, folder)
    }

    fn serve(
        programs: Programs,
        (isolation, mut command): (Isolation, Command),
        release: Release,
        folder: &Path,
    ) -> Result<Self> {
        let sockets = Scratch::for_sockets()?;
        programs.prepare(&mut command);
        command.arg("--host").arg(socket(&sockets)).arg("--pidfile").arg(sockets.path().join("pid"));
        command
            .arg("--exec-root")
            .arg(sockets.path().join("exec"))
            .arg("--data-root")
            .arg(folder.join("data"));
        command.args(["--iptables=false", "--ip6tables=false"]);
        match release {
            // For `--squash`.
            Release::Installed => drop(command.arg("--experimental")),
            // Images as BuildKit makes them, and its exporters.
            Release::Newest => {
                let file = sockets.path().join("daemon.json");
                std::fs::write(&file, r#"{"features": {"containerd-snapshotter": true}}"#)?;
                command.arg("--config-file").arg(file);
            }
        }
        let log = folder.join("log");
        let daemon = Guarded::start_in_background(&command, &log)?;
        let mut docker = Self { programs, daemon, isolation, sockets };
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
        let mut command = Command::new(&self.programs.client);
        self.programs
            .prepare(&mut command)
            .env("DOCKER_HOST", socket(&self.sockets))
            .env("DOCKER_BUILDKIT", "1")
            .env_remove("DOCKER_CONTEXT");
        command.args(words);
        command
    }

    /// Name and version, for the record.
    pub fn version(&self) -> Result<String> {
        let version = process::text(&mut self.call(&["version", "--format", "{{.Server.Version}}"]))?;
        let inspected = process::captured(&mut self.call(&["buildx", "inspect"]))?;
        let inspected = String::from_utf8_lossy(&inspected.stdout);
        let line = inspected.lines().find_map(|line| line.strip_prefix("BuildKit version:"));
        // Debian's does not know its own.
        let line = line.filter(|number| !number.contains("unknown"));
        let number = line.map(|number| format!(" {}", number.trim())).unwrap_or_default();
        let driver = process::text(&mut self.call(&["info", "--format", "{{.Driver}}"]))?;
        Ok(format!("BuildKit{number} in docker {version}, {driver}"))
    }

    /// Its processes.
    pub fn pids(&self) -> Vec<u32> {
        vec![self.daemon.pid(), self.isolation.pid()]
    }
}

fn socket(folder: &Scratch) -> String {
    format!("unix://{}", folder.path().join("socket").display())
}
