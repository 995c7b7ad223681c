//! A busybox root to run steps in, and what they did.

use std::cell::Cell;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use jettison_sandbox::{Child, Error, Exit, Mount, MountKind, Root, Spec, Tier, spawn, tree::remove_tree};

/// The host's static busybox.
const BUSYBOX: &str = "/bin/busybox";

/// Programs that the cases use.
const APPLETS: &[&str] = &[
    "sh", "cat", "echo", "id", "env", "ls", "mount", "umount", "unshare", "mknod", "rm", "touch", "stat",
    "sleep", "true", "false", "hostname", "grep", "chroot", "wc", "mkdir", "rmdir", "ip", "ping", "ps",
    "readlink", "kill", "dd", "head", "su", "chmod", "test", "pwd", "sort", "tr", "chown", "cut",
];

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
    app:x:1001:1002:App:/home/app:/bin/sh\n\
    lone:x:1003:1003:::/bin/sh\n";
const GROUP: &str = "root:x:0:\nwheel:x:10:root,app\nstaff:x:50:app\napp:x:1002:\n";

/// Where the cases run.
pub(crate) struct World {
    pub(crate) tier: Tier,
    base: PathBuf,
    next: Cell<u32>,
    mine: bool,
}

/// What a step did.
pub(crate) struct Outcome {
    pub(crate) exit: Exit,
    pub(crate) out: String,
    pub(crate) err: String,
    /// The upper directory.
    pub(crate) upper: PathBuf,
}

impl World {
    /// Makes the root. `None` (with a reason) where that cannot be.
    pub(crate) fn new(tier: Tier, folder: Option<&str>) -> Option<Self> {
        if !Path::new(BUSYBOX).exists() {
            eprintln!("skipped: {BUSYBOX} is not there (apt install busybox-static)");
            return None;
        }
        let base = folder.map_or_else(
            || std::env::temp_dir().join(format!("jettison-sandbox-{}", std::process::id())),
            PathBuf::from,
        );
        let lower = base.join("lower");
        for path in ["bin", "etc", "proc", "sys", "dev", "tmp", "root", "home/app", "data"] {
            fs::create_dir_all(lower.join(path)).unwrap();
        }
        fs::copy(BUSYBOX, lower.join("bin/busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", lower.join("bin").join(applet)).unwrap();
        }
        fs::write(lower.join("etc/passwd"), PASSWD).unwrap();
        fs::write(lower.join("etc/group"), GROUP).unwrap();
        fs::write(lower.join("data/file"), "from the image").unwrap();
        fs::set_permissions(&lower, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(lower.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        Some(Self { tier, base, next: Cell::new(0), mine: folder.is_none() })
    }

    /// A fresh directory.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let number = self.next.replace(self.next.get() + 1);
        let path = self.base.join(format!("{number}-{name}"));
        fs::create_dir(&path).unwrap();
        path
    }

    /// The busybox root.
    pub(crate) fn lower(&self) -> PathBuf {
        self.base.join("lower")
    }

    /// A shell script on a fresh upper over the busybox root.
    pub(crate) fn spec(&self, script: &str) -> Spec {
        let root = Root::Overlay {
            lowers: vec![self.lower()],
            upper: self.folder("upper"),
            work: self.folder("work"),
        };
        let mut spec = Spec::new(root, ["/bin/sh", "-c", script].map(str::to_owned).to_vec());
        spec.env = vec!["PATH=/bin".to_owned()];
        spec.hosts = b"127.0.0.1 localhost buildkitsandbox\n".to_vec();
        spec.resolv_conf = b"nameserver 192.0.2.1\n".to_vec();
        spec
    }

    /// Runs a script with the defaults.
    pub(crate) fn sh(&self, script: &str) -> Outcome {
        run(&self.spec(script)).unwrap()
    }

    /// Runs a script with mounts.
    pub(crate) fn sh_with(&self, script: &str, mounts: Vec<(&str, MountKind)>) -> Outcome {
        let mut spec = self.spec(script);
        spec.mounts =
            mounts.into_iter().map(|(target, kind)| Mount { target: target.to_owned(), kind }).collect();
        run(&spec).unwrap()
    }

    /// Whether other users than root can be had.
    pub(crate) fn has_ids(&self) -> bool {
        if self.tier == Tier::SingleId {
            eprintln!("skipped: there is only one id");
        }
        self.tier != Tier::SingleId
    }
}

impl Drop for World {
    fn drop(&mut self) {
        remove_tree(&self.base.join("lower")).unwrap();
        for entry in fs::read_dir(&self.base).unwrap() {
            remove_tree(&entry.unwrap().path()).unwrap();
        }
        if self.mine {
            fs::remove_dir(&self.base).unwrap();
        }
    }
}

/// Runs anything.
pub(crate) fn run(spec: &Spec) -> Result<Outcome, Error> {
    let upper = match &spec.root {
        Root::Overlay { upper, .. } => upper.clone(),
        Root::Directory(path) => path.clone(),
    };
    let (exit, out, err) = finish(spawn(spec)?)?;
    Ok(Outcome { exit, out, err, upper })
}

/// Reads both outputs to their ends and waits.
pub(crate) fn finish(mut child: Child) -> Result<(Exit, String, String), Error> {
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).map(|_| text)
    });
    let mut out = String::new();
    stdout.read_to_string(&mut out).unwrap();
    let err = errors.join().unwrap().unwrap();
    Ok((child.wait()?, out, err))
}

impl Outcome {
    /// It must have ended well; returns its output without the last newline.
    #[track_caller]
    pub(crate) fn ok(&self) -> &str {
        assert!(self.exit.success(), "{:?}: {}{}", self.exit, self.out, self.err);
        self.out.trim_end()
    }

    /// What is in the upper directory: paths with owner and mode, sorted.
    pub(crate) fn changes(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(&self.upper, &self.upper, &mut found);
        found.sort();
        found
    }
}

fn list(top: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        let name = path.strip_prefix(top).unwrap().display();
        found.push(format!("{name} {:o} {}:{}", metadata.mode() & 0o7777, metadata.uid(), metadata.gid()));
        if metadata.is_dir() {
            list(top, &path, found);
        }
    }
}
