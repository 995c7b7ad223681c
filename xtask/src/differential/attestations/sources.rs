//! Where the builds get their files from: a Git repository and pages of a web server; and a stand-in for the image that
//! lists packages for BuildKit.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::differential::Builders;
use crate::docker::Docker;
use crate::http;
use crate::process::{self, Guarded};
use crate::registry;

/// How long `git daemon` may take to come up.
const START_LIMIT: Duration = Duration::from_secs(20);

/// The stand-in's name.
pub(super) const SCANNER: &str = "scanner:1";

/// What the stand-in does: one package, in the form that BuildKit's protocol for scanners asks for.
const SCAN: &str = r#"#!/bin/sh
cat > "$BUILDKIT_SCAN_DESTINATION/packages.spdx.json" <<'END'
{"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://spdx.dev/Document", "subject": [],
 "predicate": {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "x",
  "documentNamespace": "https://example.com/x", "creationInfo": {"created": "1980-01-01T00:00:00Z", "creators": ["Tool: x"]}}}
END
"#;

/// Servers on the loopback interface; they end with this value.
pub(super) struct Sources {
    git_port: u16,
    web_port: u16,
    _git: Guarded,
}

impl Sources {
    /// Starts them all. `context` is what the repository and the archive hold.
    pub(super) fn start(builders: &Builders, context: &Path) -> Result<Self> {
        let folder = builders.folder.join("sources");
        let repositories = folder.join("repositories");
        commit(context, &repositories.join("app.git"))?;
        let (git, git_port) = serve_git(&repositories, &folder.join("git.log"))?;
        let archive = folder.join("context.tar");
        let mut tar = Command::new("tar");
        process::output(tar.args(["--sort=name", "-cf"]).arg(&archive).arg("-C").arg(context).arg("."))?;
        let web_port = http::serve(BTreeMap::from([
            ("/context.tar".to_owned(), fs::read(&archive)?),
            ("/file.txt".to_owned(), b"from the web\n".to_vec()),
        ]))?;
        Ok(Self { git_port, web_port, _git: git })
    }

    /// `text` with `GIT` and `WEB` for where the servers are.
    pub(super) fn filled(&self, text: &str) -> String {
        text.replace("GIT", &format!("git://127.0.0.1:{}", self.git_port))
            .replace("WEB", &format!("http://127.0.0.1:{}", self.web_port))
    }
}

/// Gives `docker` the stand-in.
pub(super) fn load_scanner(builders: &Builders, docker: &Docker) -> Result<()> {
    let folder = builders.folder.join("scanner");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("scan"), SCAN)?;
    let dockerfile = "FROM busybox\nCOPY --chmod=755 scan /scan\nENTRYPOINT [\"/scan\"]\n";
    fs::write(folder.join("Dockerfile"), dockerfile)?;
    let archive = builders.folder.join("scanner.tar");
    let output = format!("--output=type=docker,dest={}", archive.display());
    let mut build = builders.jettison.command(["build", "--quiet", "--tag", SCANNER, &output]);
    process::output(build.arg(&folder))?;
    process::output(docker.call(&["load", "--input"]).arg(&archive)).map(drop)
}

/// A bare repository of what is in `folder`, its one commit on the branch `main`.
fn commit(folder: &Path, repository: &Path) -> Result<()> {
    fs::create_dir_all(repository)?;
    let git = |words: &[&str]| -> Result<()> {
        let mut git = Command::new("git");
        git.arg("--git-dir").arg(repository).arg("--work-tree=.").args(words).current_dir(folder);
        for who in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{who}_NAME"), "x").env(format!("GIT_{who}_EMAIL"), "x@example.com");
            git.env(format!("GIT_{who}_DATE"), "1700000000 +0000");
        }
        process::output(&mut git).map(drop)
    };
    git(&["init", "--quiet", "--initial-branch=main"])?;
    git(&["add", "--all", "."])?;
    git(&["commit", "--quiet", "--message", "x"])
}

fn serve_git(repositories: &Path, log: &Path) -> Result<(Guarded, u16)> {
    let port = registry::free_port()?;
    let mut command = Command::new("git");
    command.args(["daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1"]);
    command.arg(format!("--port={port}")).arg(format!("--base-path={}", repositories.display()));
    let mut daemon = Guarded::start_in_background(&command, log)?;
    let start = Instant::now();
    while std::net::TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port)).is_err() {
        if let Some(status) = daemon.poll()? {
            bail!("git daemon ended ({status}); see {}", log.display());
        }
        if start.elapsed() > START_LIMIT {
            bail!("git daemon does not come up; see {}", log.display());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok((daemon, port))
}
