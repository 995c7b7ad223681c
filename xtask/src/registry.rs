//! Debian's docker-registry on a free port of the loopback interface, with its files in a temporary folder.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::http;
use crate::process::{self, Guarded};

/// How long it may take to come up.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A registry that ends with this value.
pub struct Registry {
    /// Where it listens.
    pub port: u16,
    folder: PathBuf,
    process: Guarded,
}

impl Registry {
    /// Starts one that keeps its files in `folder`.
    pub fn start(folder: &Path) -> Result<Self> {
        let program = process::find_program("docker-registry").context("docker-registry is not installed")?;
        std::fs::create_dir_all(folder)?;
        // A free port may be taken between asking and using it; then another one is tried.
        for _ in 0..3 {
            let port = free_port()?;
            std::fs::write(folder.join("config.yml"), config_text(port, folder))?;
            if let Ok(process) = serve(&program, port, folder) {
                return Ok(Self { port, folder: folder.to_owned(), process });
            }
        }
        bail!("docker-registry does not start; see {}", folder.join("log").display())
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Starts it again after a kill, where it was.
    pub fn restart(&mut self) -> Result<()> {
        let program = process::find_program("docker-registry").context("docker-registry is not installed")?;
        self.process = serve(&program, self.port, &self.folder)?;
        Ok(())
    }

    /// A name in it.
    pub fn reference(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }
}

/// Starts the program and waits until it answers.
fn serve(program: &Path, port: u16, folder: &Path) -> Result<Guarded> {
    let log = folder.join("log");
    let mut command = Command::new(program);
    command.arg("serve").arg(folder.join("config.yml"));
    let mut process = Guarded::start_in_background(&command, &log)?;
    http::get_when_up(port, "/v2/", START_LIMIT, || match process.poll()? {
        None => Ok(()),
        Some(status) => bail!("docker-registry ended ({status}); see {}", log.display()),
    })?;
    Ok(process)
}

fn config_text(port: u16, folder: &Path) -> String {
    let folder = folder.join("data");
    format!(
        "version: 0.1\nlog:\n  level: warn\n  accesslog:\n    disabled: true\nstorage:\n  \
         filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n",
        folder.display()
    )
}

/// A port that nobody listens on.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
