//! Debian's packages: which command needs which, what is missing, and how it gets here.
//!
//! A package counts as there if its program is, so machines that are not Debian work too once somebody has installed
//! the programs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::process;

/// A package and the program by which we know it.
#[derive(Clone, Copy, PartialEq)]
pub struct Package {
    name: &'static str,
    program: &'static str,
}

const fn package(name: &'static str, program: &'static str) -> Package {
    Package { name, program }
}

const MMDEBSTRAP: Package = package("mmdebstrap", "mmdebstrap");
const REGISTRY: Package = package("docker-registry", "docker-registry");
const UIDMAP: Package = package("uidmap", "newuidmap");
const BUSYBOX: Package = package("busybox-static", "busybox");
const BUILDAH: Package = package("buildah", "buildah");
const DOCKER: Package = package("docker.io", "dockerd");
const CRUN: Package = package("crun", "crun");
const GIT: Package = package("git", "git");

/// What `demo` needs on a machine that can compile Rust.
pub const DEMO: &[Package] = &[REGISTRY];

/// What `demo` needs besides if a plain user runs it.
pub const PLAIN_USER: &[Package] = &[UIDMAP];

/// What `demo` needs besides where docker.io does not answer.
pub const STANDIN: &[Package] = &[MMDEBSTRAP];

/// What the tests need.
pub const TEST: &[Package] = &[
    REGISTRY,
    MMDEBSTRAP,
    UIDMAP,
    BUSYBOX,
    package("skopeo", "skopeo"),
    package("umoci", "umoci"),
    CRUN,
    package("podman", "podman"),
    package("conmon", "conmon"),
    BUILDAH,
    DOCKER,
    package("fuse-overlayfs", "fuse-overlayfs"),
    package("passt", "pasta"),
    package("apache2-utils", "htpasswd"),
    package("openssl", "openssl"),
    package("strace", "strace"),
    package("xz-utils", "xz"),
    package("bzip2", "bzip2"),
    package("zstd", "zstd"),
    package("qemu-user-static", "qemu-aarch64-static"),
    GIT,
    package("python3-venv", "python3"),
    package("chromium", "chromium"),
    package("rpm", "rpmbuild"),
    package("musl-tools", "musl-gcc"),
];

/// What `bench` needs: the peers, with the programs they take for compressing if they find them.
pub const BENCH: &[Package] = &[
    REGISTRY,
    MMDEBSTRAP,
    UIDMAP,
    BUILDAH,
    CRUN,
    DOCKER,
    GIT,
    package("pigz", "unpigz"),
    package("isal", "igzip"),
];

/// Sees to it that all of `packages` are there: installs what is missing as root, else says in one line what to do.
pub fn ensure(packages: &[Package]) -> Result<()> {
    let mut missing: Vec<&str> = Vec::new();
    for package in packages.iter().filter(|package| !present(**package)) {
        if !missing.contains(&package.name) {
            missing.push(package.name);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let install = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    if process::find_program("apt-get").is_none() {
        bail!("install these first (names of Debian's packages): {}", missing.join(" "));
    }
    if !process::is_root() {
        bail!("install what is missing first: sudo {install}");
    }
    println!("installing {}", missing.join(" "));
    let start = Instant::now();
    apt(&["update"])?;
    let mut words = vec!["install", "--yes", "--no-install-recommends"];
    words.extend(&missing);
    apt(&words).with_context(|| format!("could not install; try by hand: {install}"))?;
    println!("installed in {:.0} s", start.elapsed().as_secs_f64());
    match packages.iter().find(|package| !present(**package)) {
        None => Ok(()),
        Some(left) => {
            bail!("{} is installed, but its program {:?} is not to be found", left.name, left.program)
        }
    }
}

/// Unpacks packages of another suite of Debian into `root`, without installing them, with no package that they need.
/// Signatures are checked as for any package.
pub fn unpack(suite: &str, names: &[&str], root: &Path) -> Result<()> {
    let work = root.join("apt");
    for folder in ["lists/partial", "archives/partial"] {
        std::fs::create_dir_all(work.join(folder))?;
    }
    let sources = work.join("sources.list");
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    std::fs::write(&sources, format!("deb [signed-by={keys}] http://deb.debian.org/debian {suite} main\n"))?;
    let own = |name: &str, path: &Path| format!("-o{name}={}", path.display());
    let options = [
        own("Dir::Etc::SourceList", &sources),
        own("Dir::Etc::SourceParts", Path::new("/dev/null")),
        own("Dir::State::Lists", &work.join("lists")),
        own("Dir::Cache", &work),
        // Its download user may not enter our folder.
        "-oAPT::Sandbox::User=root".to_owned(),
    ];
    let apt = |words: &[&str]| {
        let options = options.iter().map(String::as_str);
        apt_in(&work.join("archives"), &options.chain(words.iter().copied()).collect::<Vec<_>>())
    };
    apt(&["update"])?;
    apt(&[&["download"], names].concat())?;
    for file in std::fs::read_dir(work.join("archives"))? {
        let file = file?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            process::output(Command::new("dpkg-deb").arg("--extract").arg(file).arg(root))?;
        }
    }
    Ok(std::fs::remove_dir_all(work)?)
}

/// Runs apt-get, quiet unless it fails; waits for another apt that may be at work.
fn apt(words: &[&str]) -> Result<()> {
    apt_in(Path::new("/"), words)
}

fn apt_in(folder: &Path, words: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(["-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]).args(words);
    command.current_dir(folder);
    // A package may bring a service; we start what we need ourselves, and init scripts respect this.
    command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    process::output(&mut command).map(drop)
}

fn present(package: Package) -> bool {
    match process::find_program(package.program) {
        None => false,
        Some(file) if package == BUSYBOX => is_static(&file),
        Some(_) => true,
    }
}

/// Whether a 64-bit ELF program names no loader (no program header of type PT_INTERP): Debian's other busybox package
/// names one, and starts on no empty root.
fn is_static(program: &PathBuf) -> bool {
    const PT_INTERP: u32 = 3;
    let Ok(bytes) = std::fs::read(program) else { return false };
    let number = |at: usize, size: usize| -> Option<u64> {
        let field = bytes.get(at..at + size)?;
        Some(field.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    };
    let headers = || -> Option<Vec<u64>> {
        let (start, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        (0..count).map(|index| number(usize::try_from(start + index * size).ok()?, 4)).collect()
    };
    bytes.starts_with(b"\x7fELF") && headers().is_some_and(|types| !types.contains(&u64::from(PT_INTERP)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_system_has_is_present_and_what_no_system_has_is_not() {
        assert!(present(package("coreutils", "env")));
        assert!(!present(package("nothing", "no-such-program-anywhere")));
    }

    #[test]
    fn nothing_is_done_if_all_is_there() {
        ensure(&[package("coreutils", "env")]).unwrap();
    }
}
