//! Temporary folders that are gone when we are, also after a signal.
//!
//! They are removed by `rm --one-file-system`, which never crosses into something that is mounted below them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static NEXT: AtomicU32 = AtomicU32::new(0);

fn folders() -> std::sync::MutexGuard<'static, Vec<PathBuf>> {
    FOLDERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A temporary folder.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new folder below `parent`, which is made if need be.
    pub fn below(parent: &Path, name: &str) -> Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{name}-{}-{number}", std::process::id()));
        folders().push(path.clone());
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self { path })
    }

    /// A new folder with a short path, for sockets: their paths may have 107 bytes.
    pub fn for_sockets() -> Result<Self> {
        Self::below(&std::env::temp_dir(), "jettison-xtask")
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            eprintln!("warning: {error:#}");
        }
        folders().retain(|folder| *folder != self.path);
    }
}

/// Removes all temporary folders that there are.
pub fn remove_all() {
    for folder in folders().drain(..) {
        let _ = remove(&folder);
    }
}

/// Removes a folder and everything in it on the same file system.
pub fn remove(folder: &Path) -> Result<()> {
    let rm = |command: &mut Command| {
        let status = command.arg("rm").args(["-rf", "--one-file-system", "--"]).arg(folder);
        status
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    };
    if rm(&mut Command::new("env")) {
        return Ok(());
    }
    // What a plain user's container left belongs to other ids of that user.
    if rm(Command::new("unshare").args(["--map-auto", "--map-root-user", "--"])) {
        return Ok(());
    }
    bail!("cannot remove {}", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_gone_with_all_that_is_in_it() {
        let scratch = Scratch::below(&std::env::temp_dir(), "jettison-scratch-test").unwrap();
        let path = scratch.path().to_owned();
        std::fs::create_dir_all(path.join("a/b")).unwrap();
        std::fs::write(path.join("a/b/c"), "text").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
