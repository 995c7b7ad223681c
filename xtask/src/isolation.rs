//! Namespaces in which the peers run, so that this machine keeps none of their mounts and processes.
//!
//! Builders bind the host's /dev into what they build, and a clean-up that meets such a mount has emptied a real /dev
//! before. So the mount namespace has a /dev of its own, and the process namespace ends with all that is in it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::{self, Guarded};

/// Makes a /dev of its own, says that it is ready, and waits to be ended.
const SCRIPT: &str = r#"
set -e
new="$1/dev"
mkdir -p "$new"
mount -t tmpfs -o mode=755,size=64k dev "$new"
for node in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 "$new/${node%:*}" c 1 "${node#*:}"
done
mknod -m 666 "$new/tty" c 5 0
ln -s /proc/self/fd "$new/fd"
ln -s /proc/self/fd/0 "$new/stdin"
ln -s /proc/self/fd/1 "$new/stdout"
ln -s /proc/self/fd/2 "$new/stderr"
mkdir "$new/pts" "$new/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$new/pts"
ln -s pts/ptmx "$new/ptmx"
mount -t tmpfs -o mode=1777 shm "$new/shm"
mount --move "$new" /dev
touch "$1/ready"
exec sleep infinity
"#;

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The namespaces; they end with this value.
pub struct Isolation {
    holder: Guarded,
    inner: u32,
}

impl Isolation {
    /// With the network of this machine.
    pub fn start(folder: &Path) -> Result<Self> {
        Self::of(Command::new("unshare"), folder)
    }

    /// With a network of their own, in which there is nobody else.
    pub fn start_alone(folder: &Path) -> Result<Self> {
        let mut command = Command::new("unshare");
        command.arg("--net");
        Self::of(command, folder)
    }

    fn of(mut command: Command, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        command.args([
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]);
        command.args(["sh", "-c", SCRIPT, "sh"]).arg(folder);
        let log = folder.join("log");
        let mut holder = Guarded::start_in_background(&command, &log)?;
        let start = Instant::now();
        while !folder.join("ready").exists() {
            if let Some(status) = holder.poll()? {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                bail!("cannot make namespaces for the peers ({status}): {}", said.trim_end());
            }
            if start.elapsed() > LIMIT {
                bail!("making namespaces for the peers takes too long; see {}", log.display());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let pid = holder.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let inner = children.split_whitespace().next().and_then(|word| word.parse().ok());
        Ok(Self { holder, inner: inner.context("unshare has no child")? })
    }

    /// A command that runs inside.
    pub fn command(&self, program: &Path) -> Command {
        let nsenter = process::find_program("nsenter").unwrap_or_else(|| "nsenter".into());
        let mut command = Command::new(nsenter);
        command
            .arg("--target")
            .arg(self.inner.to_string())
            .args(["--mount", "--pid", "--net", "--"])
            .arg(program);
        command
    }

    /// The process to which orphans inside belong.
    pub fn pid(&self) -> u32 {
        self.holder.pid()
    }
}
