//! The control group of one step, in each hierarchy that limits something of it.
//!
//! Who lives holds a lock on the directory of each of its groups. So whoever finds a group without a lock knows that its
//! owner was killed, and removes it ([`remove_leftovers`]).

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::place::Place;
use super::settings::Setting;

/// What the names of our groups begin with.
const PREFIX: &str = "jettison-";
/// How often a name is tried that somebody else may have, or remove at this very moment.
const TRIES_MAX: usize = 100;
/// The kernel may still be busy with the last process of a group: waits in all less than half a second.
const REMOVAL_WAITS_MS: [u64; 8] = [1, 2, 4, 8, 16, 64, 128, 256];
/// How deep a step may have made groups below its own (only `RUN --security=insecure` can).
const DEPTH_MAX: usize = 16;

/// A control group for one step. Removed when dropped; the step must have ended before.
#[derive(Debug)]
pub struct ControlGroup {
    directories: Vec<Directory>,
}

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
    /// Whoever writes to it is a member.
    members: File,
}

/// Why a group could not be made.
#[derive(Debug)]
pub(super) enum Unmade {
    /// There can be none in this place.
    Place(io::Error),
    /// The kernel has no such file.
    NoFile(Setting),
    /// The kernel does not take the value.
    Value(Setting, io::Error),
}

impl ControlGroup {
    pub(super) fn make(places: &[Place]) -> Result<Self, (usize, Unmade)> {
        // What has been made is removed if the next cannot be.
        let mut group = Self { directories: Vec::new() };
        for (index, place) in places.iter().enumerate() {
            let directory = Directory::make(place).map_err(|why| (index, Unmade::Place(why)))?;
            group.directories.push(directory);
            let path = &group.directories[index].path;
            place.inherit(path).map_err(|why| (index, Unmade::Place(why)))?;
            for setting in &place.settings {
                write(&path.join(setting.file), &setting.value).map_err(|error| {
                    let setting = setting.clone();
                    let is_missing = error.kind() == io::ErrorKind::NotFound;
                    (index, if is_missing { Unmade::NoFile(setting) } else { Unmade::Value(setting, error) })
                })?;
            }
        }
        Ok(group)
    }

    /// Whether the kernel has killed a process of the step because the limit of its memory was reached.
    pub fn has_killed(&self) -> bool {
        // The second version's file, then the first's; both have such a line.
        let files = ["memory.events", "memory.oom_control"];
        self.directories.iter().flat_map(|d| files.map(|file| d.path.join(file))).any(|path| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
            count.is_some_and(|count| count != "0")
        })
    }

    /// Files that a process writes `0` to, to become a member.
    pub(crate) fn members(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.directories.iter().map(|directory| directory.members.as_fd())
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        for directory in &self.directories {
            // What cannot be removed now the next build will remove.
            let _ = remove(&directory.path, &REMOVAL_WAITS_MS);
        }
    }
}

impl Directory {
    fn make(place: &Place) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..TRIES_MAX {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = place.parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                other => other?,
            }
            // Until it is locked somebody may take it for a leftover.
            let opened = File::open(&path).and_then(|lock| {
                flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
                let members = File::options().write(true).open(path.join("cgroup.procs"))?;
                Ok(Self { path: path.clone(), _lock: lock, members })
            });
            match opened {
                Ok(directory) => return Ok(directory),
                Err(error) => last = error,
            }
            let _ = fs::remove_dir(&path);
            if !matches!(last.kind(), io::ErrorKind::NotFound | io::ErrorKind::WouldBlock) {
                break;
            }
        }
        Err(last)
    }
}

/// Writes to a file of a control group, which the kernel must have made.
pub(super) fn write(path: &Path, value: &str) -> io::Result<()> {
    // In one piece, as the kernel wants it.
    File::options().write(true).open(path)?.write_all(value.as_bytes())
}

/// Removes what builds that were killed have left in a group.
pub(super) fn remove_leftovers(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if is_ours
            && let Ok(lock) = File::open(entry.path())
            && flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            let _ = remove(&entry.path(), &[]);
        }
    }
}

fn remove(path: &Path, waits_ms: &[u64]) -> io::Result<()> {
    let mut waits = waits_ms.iter();
    loop {
        match fs::remove_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                remove_children(path, DEPTH_MAX);
                let Some(wait) = waits.next() else { return Err(error) };
                std::thread::sleep(Duration::from_millis(*wait));
            }
            _ => return Ok(()),
        }
    }
}

fn remove_children(path: &Path, depth: usize) {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    for child in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        if depth > 0 {
            remove_children(&child.path(), depth - 1);
        }
        let _ = fs::remove_dir(child.path());
    }
}
