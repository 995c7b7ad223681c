//! Base images for places where docker.io does not answer: a Debian with a toolchain, made by mmdebstrap from the
//! mirror that this machine's apt uses, and turned into an image by jettison itself: `FROM scratch`, `ADD`.
//!
//! They carry the name that the Dockerfiles ask for, and are not what docker.io has under it; whoever makes one says
//! so. The file system is kept below the target folder for the next time.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::jettison::Jettison;
use crate::process::{self, Guarded};
use crate::repository;
use crate::toolchain;

/// How long docker.io may take to accept a connection.
const HUB_LIMIT: Duration = Duration::from_secs(4);

/// Debian 12: the release whose Go and Rust the examples are known to build with.
const SUITE: &str = "bookworm";

/// Where apt looks if this machine's own apt cannot be asked.
const MIRROR: &str = "http://deb.debian.org/debian";

/// A base image that can be made from packages.
pub struct Standin {
    /// The name that Dockerfiles know it by.
    pub image: &'static str,
    folder: &'static str,
    packages: &'static str,
    environment: &'static str,
    version: &'static [&'static str],
    /// A Rust toolchain to put in, which compiles for musl unless told otherwise.
    toolchain: Option<PathBuf>,
}

/// For `golang:1.11`.
pub const GO: Standin = Standin {
    image: "golang:1.11",
    folder: "golang",
    packages: "golang-go,gcc,libc6-dev,git,ca-certificates",
    environment: "GOPATH=/go PATH=/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    version: &["go", "version"],
    toolchain: None,
};

/// For `rust:1-alpine`, with the toolchain of this machine (`toolchain.rs`).
pub const RUST: Standin = Standin {
    image: "rust:1-alpine",
    folder: "rust-musl",
    packages: "gcc,libc6-dev,ca-certificates",
    environment: "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    version: &["rustc", "--version"],
    toolchain: None,
};

/// Everything that `cargo xtask slim` builds with, in one: there is no such image under that name anywhere.
pub const TOOLCHAINS: Standin = Standin {
    image: "toolchains:debian",
    folder: "toolchains",
    packages: "golang-go,gcc,libc6-dev,zlib1g-dev,rustc,openjdk-17-jdk-headless,python3,nodejs,ca-certificates",
    environment: "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    version: &["go", "version"],
    toolchain: None,
};

/// The same with Debian's toolchain, which has glibc only.
const RUST_OF_DEBIAN: Standin =
    Standin { folder: "rust", packages: "rustc,gcc,libc6-dev,ca-certificates", ..RUST };

/// A file system being made.
pub struct Making {
    process: Option<Guarded>,
    partial: PathBuf,
    tar: PathBuf,
    log: PathBuf,
}

impl Standin {
    /// The one that can be made here: with the toolchain that it takes from this machine, or the lesser one without,
    /// which it then says.
    pub fn resolved(self) -> Self {
        if self.image != RUST.image {
            return self;
        }
        match toolchain::with_musl() {
            Ok(sysroot) => Self { toolchain: Some(sysroot), ..self },
            Err(why) => {
                println!(
                    "{} is made with glibc, so what it builds is three times the size: {why}",
                    self.image
                );
                RUST_OF_DEBIAN
            }
        }
    }

    /// Starts to make the file system, unless it is there from an earlier time.
    pub fn start(&self) -> Result<Making> {
        let folder = self.folder();
        std::fs::create_dir_all(&folder)?;
        start(&folder.join("rootfs.tar"), self.packages)
    }

    /// Makes the image of it in `jettison`'s store, and says what it is.
    pub fn import(&self, jettison: &Jettison) -> Result<String> {
        let folder = self.folder();
        let file = folder.join("Dockerfile");
        let mut lines = format!("FROM scratch\nADD rootfs.tar /\nENV {}\n", self.environment);
        let mut options = Vec::new();
        if let Some(sysroot) = &self.toolchain {
            let target = toolchain::musl_target();
            lines += "COPY --from=toolchain bin/rustc /opt/rust/bin/\n";
            lines += "COPY --from=toolchain --exclude=rustlib lib /opt/rust/lib\n";
            lines += &format!("COPY --from=toolchain lib/rustlib/{target} /opt/rust/lib/rustlib/{target}\n");
            lines += "COPY --chmod=755 <<EOF /usr/local/bin/rustc\n";
            lines += &format!("#!/bin/sh\nexec /opt/rust/bin/rustc --target {target} \"\\$@\"\nEOF\n");
            options.push(format!("--build-context=toolchain={}", sysroot.display()));
        }
        std::fs::write(&file, lines)?;
        std::fs::write(folder.join(".dockerignore"), "*\n!rootfs.tar\n")?;
        jettison.build_with(&file, &folder, self.image, &options)?;
        let version = jettison.quietly(["run", self.image].iter().chain(self.version))?;
        let and = if self.toolchain.is_some() { " and this machine's toolchain" } else { "" };
        Ok(format!("{} is a STAND-IN made from packages of Debian {SUITE}{and}: {version}", self.image))
    }

    fn folder(&self) -> PathBuf {
        repository::demo_folder().join(self.folder)
    }
}

/// Starts mmdebstrap, which writes to `tar` when it is done, unless that file is there. It runs in the background.
fn start(tar: &Path, packages: &str) -> Result<Making> {
    let partial = tar.with_extension("partial");
    let log = tar.with_extension("log");
    let making = Making { process: None, partial, tar: tar.to_owned(), log };
    if tar.exists() {
        return Ok(making);
    }
    let program = process::find_program("mmdebstrap").context("mmdebstrap is not installed")?;
    let mut command = Command::new(program);
    // The same names and times each time, so that the image is the same each time that the packages are.
    command.env("SOURCE_DATE_EPOCH", "315532800");
    command.args([
        "--variant=apt",
        "--format=tar",
        "--aptopt=APT::Install-Recommends \"false\"",
        // Java's packages make links in it, whether or not there are any pages.
        "--essential-hook=mkdir -p \"$1/usr/share/man/man1\"",
        "--include",
        packages,
    ]);
    for folder in ["man", "doc", "locale", "info"] {
        command.arg(format!("--dpkgopt=path-exclude=/usr/share/{folder}/*"));
    }
    command.arg(SUITE).arg(&making.partial).arg(mirror());
    let process = Guarded::start_in_background(&command, &making.log)?;
    Ok(Making { process: Some(process), ..making })
}

impl Making {
    /// Whether there is something to wait for.
    pub fn is_under_way(&self) -> bool {
        self.process.is_some()
    }

    /// Waits for the end.
    pub fn finish(self) -> Result<()> {
        let Some(mut process) = self.process else { return Ok(()) };
        let status = process.wait()?;
        if !status.success() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(15)..].join("\n");
            bail!("mmdebstrap failed ({status}); the last lines of {}:\n{last}", self.log.display());
        }
        std::fs::rename(&self.partial, &self.tar)?;
        Ok(())
    }
}

/// The mirror from which this machine's apt takes the release's main packages.
fn mirror() -> String {
    let listed = process::text(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(RELEASE) $(COMPONENT) $(SITE)",
        "Created-By: Packages",
    ]));
    listed.ok().and_then(|text| main_site(&text)).unwrap_or_else(|| MIRROR.to_owned())
}

fn main_site(listed: &str) -> Option<String> {
    let wanted = format!("{SUITE} main ");
    listed.lines().find_map(|line| line.strip_prefix(&wanted)).map(str::to_owned)
}

/// Whether docker.io can be reached from here, directly or through the proxy that the environment names.
pub fn docker_hub_answers() -> bool {
    const HUB: &str = "registry-1.docker.io:443";
    let proxy = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    match proxy {
        None => connect(HUB).is_some(),
        Some(proxy) => through_proxy(&proxy, HUB),
    }
}

fn through_proxy(proxy: &str, host: &str) -> bool {
    use std::io::{Read, Write};
    let authority = proxy.split("://").last().unwrap_or(proxy).trim_end_matches('/');
    let address = authority.rsplit('@').next().unwrap_or(authority);
    // With a password in it, only jettison itself knows how to talk to it; then we believe that it works.
    let Some(mut stream) = connect(address) else { return false };
    if authority.contains('@') {
        return true;
    }
    let _ = stream.set_read_timeout(Some(HUB_LIMIT));
    let mut answer = [0; 12];
    write!(stream, "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer.ends_with(b" 200")
}

/// Connects within the limit, name resolution included.
fn connect(host: &str) -> Option<TcpStream> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let host = host.to_owned();
    std::thread::spawn(move || {
        let addresses: Vec<SocketAddr> = host.to_socket_addrs().map(Iterator::collect).unwrap_or_default();
        // Several addresses belong to one service; a third one would not answer where two did not.
        let stream = addresses.iter().take(2).find_map(|a| TcpStream::connect_timeout(a, HUB_LIMIT / 2).ok());
        let _ = sender.send(stream);
    });
    receiver.recv_timeout(HUB_LIMIT).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_one_of_the_release_proper() {
        let listed = "bookworm-updates main http://a/debian\nbookworm contrib http://b/debian\n\
                      bookworm main http://c/debian\n";
        assert_eq!(main_site(listed).as_deref(), Some("http://c/debian"));
        assert_eq!(main_site("noble main http://ubuntu"), None);
    }

    #[test]
    fn what_does_not_listen_does_not_answer() {
        let port = crate::registry::free_port().unwrap();
        assert!(connect(&format!("127.0.0.1:{port}")).is_none());
    }
}
