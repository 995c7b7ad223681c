//! Which docker is started: the one that is installed, or the newest that Debian has, unpacked and not installed.
//!
//! Debian's stable docker is years behind: what it cannot do is compared with the one of Debian unstable. Of that only
//! the programs are taken that run with this system's libraries; runc is this system's own.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::packages;
use crate::process;
use crate::repository;

/// Packages that make up docker with its BuildKit and the client's plugin for it.
const PACKAGES: &[&str] = &["docker.io", "docker-cli", "docker-buildx", "containerd"];

/// Which docker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// The one that this system has installed.
    Installed,
    /// The one of Debian unstable.
    Newest,
}

/// The programs of one docker, and what they need in their environment.
pub(super) struct Programs {
    pub(super) daemon: PathBuf,
    pub(super) client: PathBuf,
    pub(super) environment: Vec<(&'static str, OsString)>,
}

impl Programs {
    pub(super) fn of(release: Release) -> Result<Self> {
        match release {
            Release::Installed => Self::installed(),
            Release::Newest => Self::unpacked(&newest()?),
        }
    }

    fn installed() -> Result<Self> {
        let daemon = process::find_program("dockerd").context("dockerd is not installed")?;
        // Debian's own client where there are several: it speaks to BuildKit without a plugin.
        let own = PathBuf::from("/usr/bin/docker");
        let client = if own.exists() {
            own
        } else {
            process::find_program("docker").context("the docker client is not installed")?
        };
        Ok(Self { daemon, client, environment: Vec::new() })
    }

    fn unpacked(root: &Path) -> Result<Self> {
        let places = [root.join("usr/sbin"), root.join("usr/bin")];
        let before = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(places.iter().cloned().chain(std::env::split_paths(&before)))?;
        let configuration = root.join("client");
        fs::create_dir_all(&configuration)?;
        let plugins = root.join("usr/libexec/docker/cli-plugins");
        let text = serde_json::json!({ "cliPluginsExtraDirs": [plugins] }).to_string();
        fs::write(configuration.join("config.json"), text)?;
        let environment = vec![("PATH", path), ("DOCKER_CONFIG", configuration.into_os_string())];
        Ok(Self { daemon: root.join("usr/sbin/dockerd"), client: root.join("usr/bin/docker"), environment })
    }

    /// A command with the environment that these programs need.
    pub(super) fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(self.environment.iter().map(|(name, value)| (name, value)))
    }
}

/// Where the newest docker is unpacked; it is fetched once.
fn newest() -> Result<PathBuf> {
    let root = repository::target().join("jettison-docker");
    if !root.join("complete").exists() {
        println!("fetching docker from Debian unstable");
        packages::unpack("unstable", PACKAGES, &root).context("the newest docker cannot be had")?;
        fs::write(root.join("complete"), "")?;
    }
    let daemon = root.join("usr/sbin/dockerd");
    let version = process::captured(Command::new(&daemon).arg("--version"))?;
    if !version.status.success() {
        bail!(
            "the docker of Debian unstable does not run here: {}",
            String::from_utf8_lossy(&version.stderr)
        );
    }
    Ok(root)
}
