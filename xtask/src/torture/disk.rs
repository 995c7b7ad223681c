//! A small disk of one's own: a tmpfs in a mount namespace that nobody else sees, with room and inodes as wanted.
//!
//! It ends with its holder, so nothing stays mounted whatever happens. Root only: a plain user's tmpfs would have to lie
//! in a user namespace, where the program would not be what it is outside.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::{self, Guarded};

/// Mounts, says that it is ready, and waits to be ended.
const SCRIPT: &str =
    r#"set -e; mount -t tmpfs -o "$2" disk "$1/disk"; touch "$1/ready"; exec sleep infinity"#;

/// How long that may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The disk.
pub struct Disk {
    /// Where it is, inside.
    pub path: PathBuf,
    holder: Guarded,
}

impl Disk {
    /// A disk below `folder`; `options` are those of tmpfs, as in `size=64m,nr_inodes=1000`.
    pub fn new(folder: &Path, options: &str) -> Result<Self> {
        std::fs::create_dir_all(folder.join("disk"))?;
        let ready = folder.join("ready");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]).arg(folder);
        command.arg(options);
        let log = folder.join("disk.log");
        let mut holder = Guarded::start_in_background(&command, &log)?;
        let start = Instant::now();
        while !ready.exists() {
            let ended = holder.poll()?.is_some();
            if ended || start.elapsed() > LIMIT {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                bail!("cannot mount a tmpfs: {}", said.trim_end());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        std::fs::remove_file(ready)?;
        Ok(Self { path: folder.join("disk"), holder })
    }

    /// The same command, where the disk is seen. Its standard streams are not carried over.
    pub fn command(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        // Without a fork: the process that is started is the program itself.
        inside.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.pid())).arg("--");
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// Other options for the same disk, as in `size=70m` or `ro`.
    pub fn remount(&self, options: &str) -> Result<()> {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{options}")]).arg(&self.path);
        process::output(&mut self.command(&mount)).map(drop)
    }

    /// What is used: bytes and inodes.
    pub fn used(&self) -> Result<(u64, u64)> {
        let mut stat = Command::new("stat");
        // Block size, blocks, free blocks, inodes, free inodes.
        stat.args(["-f", "-c", "%S %b %f %c %d"]).arg(&self.path);
        let text = process::text(&mut self.command(&stat))?;
        let numbers: Vec<u64> = text.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [block, blocks, free, inodes, free_inodes] = numbers[..] else { bail!("stat says {text:?}") };
        Ok(((blocks - free) * block, inodes - free_inodes))
    }

    /// Copies a folder onto it.
    pub fn put(&self, from: &Path, name: &str) -> Result<PathBuf> {
        let to = self.path.join(name);
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(from).arg(&to);
        process::output(&mut self.command(&copy)).context("copying onto the small disk")?;
        Ok(to)
    }
}
