//! Stores, base images, registries and build folders for the tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Prints why a test does nothing; fails where everything must be there.
pub(crate) fn skip(reason: &str) {
    assert!(std::env::var_os("JETTISON_REQUIRE_ALL").is_none(), "must not be skipped here: {reason}");
    eprintln!("skipped: {reason}");
}

/// Whether `program` can be found; skips the test if not.
pub(crate) fn have(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
        || ["/usr/sbin", "/sbin"].iter().any(|dir| Path::new(dir).join(program).is_file());
    if !found {
        skip(&format!("no {program}"));
    }
    found
}

/// Whether we are root; skips the test if not.
pub(crate) fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("not root");
    }
    root
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// The trimmed standard output of a command that must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout.trim().to_owned()
    }

    /// The standard error of a command that must have failed with `code`.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stderr
    }
}

/// The program with a store of its own.
#[derive(Debug)]
pub(crate) struct Jettison {
    pub(crate) store: TempDir,
    home: TempDir,
    env: BTreeMap<String, String>,
}

impl Jettison {
    /// An empty store.
    pub(crate) fn new() -> Self {
        Self { store: tempfile::tempdir().unwrap(), home: tempfile::tempdir().unwrap(), env: BTreeMap::new() }
    }

    /// A store that has the image `busybox`.
    pub(crate) fn with_busybox() -> Self {
        let jettison = Self::new();
        jettison.run(&["load", "-q", "-i", busybox_archive().to_str().unwrap()]).ok();
        jettison
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// A command with a clean environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jettison"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home.path()).env("JETTISON_ROOT", self.store.path()).envs(&self.env);
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.command().args(args).output().unwrap().into()
    }

    /// Builds `folder` and returns the digest.
    #[track_caller]
    pub(crate) fn build(&self, folder: &Path, args: &[&str]) -> String {
        self.try_build(folder, args).ok()
    }

    pub(crate) fn try_build(&self, folder: &Path, args: &[&str]) -> Ran {
        let mut all = vec!["build", "--progress=plain"];
        all.extend(args);
        all.push(folder.to_str().unwrap());
        self.run(&all)
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// What `inspect` says of `image`.
    #[track_caller]
    pub(crate) fn inspect(&self, image: &str) -> serde_json::Value {
        let text = self.run(&["inspect", image]).ok();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()[0].clone()
    }
}

/// A folder with a Dockerfile and further files.
pub(crate) fn folder(dockerfile: &str, files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("Dockerfile"), dockerfile).unwrap();
    for (path, content) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}

/// A Docker archive with the image `busybox`: busybox-static, its applets, passwd and group. Made once per process.
pub(crate) fn busybox_archive() -> &'static Path {
    static ARCHIVE: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = ARCHIVE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let build = dir.path().join("build");
        jettison_corpus::busybox::context(&build).expect("busybox-static is installed by `cargo xtask test`");
        let archive = dir.path().join("busybox.tar");
        let output = format!("type=docker,dest={}", archive.display());
        Jettison::new().build(&build, &["-t", "busybox", "--output", &output]);
        (dir, archive)
    });
    path
}

/// Debian's docker-registry on a free port of the loopback interface.
#[derive(Debug)]
pub(crate) struct Registry {
    child: Child,
    pub(crate) port: u16,
    pub(crate) data: TempDir,
}

impl Registry {
    /// Starts a registry; `extra` goes into its configuration (YAML). `None` where the program is missing.
    pub(crate) fn start(extra: &str) -> Option<Self> {
        if !have("docker-registry") {
            return None;
        }
        let data = tempfile::tempdir().unwrap();
        let config = data.path().join("config.yml");
        let storage = data.path().join("storage");
        fs::write(
            &config,
            format!(
                "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    \
                 enabled: true\nhttp:\n  addr: 127.0.0.1:0\n{extra}",
                storage.display()
            ),
        )
        .unwrap();
        let log = data.path().join("log");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut registry = Self { child, port: 0, data };
        let start = Instant::now();
        registry.port = loop {
            // The port is of the kernel's choice: one that was free a moment ago may be another test's registry by now.
            let text = fs::read_to_string(&log).unwrap();
            if let Some((_, rest)) = text.split_once("listening on 127.0.0.1:") {
                break rest.split('"').next().unwrap().parse().unwrap();
            }
            assert!(start.elapsed() < Duration::from_secs(10), "docker-registry does not listen: {text}");
            std::thread::sleep(Duration::from_millis(20));
        };
        Some(registry)
    }

    /// `127.0.0.1:PORT/name`
    pub(crate) fn name(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs another program and returns what it printed.
pub(crate) fn program(name: &str, args: &[&str]) -> Ran {
    Command::new(name).args(args).stdin(Stdio::null()).output().unwrap().into()
}

/// Names of the entries of a tar, with mode and owner as GNU tar lists them, without times.
pub(crate) fn tar_list(path: &Path) -> Vec<String> {
    let listed = program("tar", &["-tvf", path.to_str().unwrap(), "--numeric-owner"]).ok();
    let short = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        format!("{} {} {} {}", fields[0], fields[1], fields[2], fields[5..].join(" "))
    };
    listed.lines().map(short).collect()
}
