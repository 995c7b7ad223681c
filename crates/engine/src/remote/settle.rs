//! A fresh checkout made the same for everybody: modes that do not depend on a umask, the time of the commit, no trace
//! of when and where it was made.
//!
//! BuildKit leaves the time of the checkout, so that a step after it sees other files on every machine.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jettison_store::remove_tree;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use super::git_program::GitProgram;
use crate::error::Error;

/// What git leaves in a repository that tells of the fetch, not of the content.
const TRACES: [&str; 3] = ["FETCH_HEAD", "ORIG_HEAD", "COMMIT_EDITMSG"];

/// Settles the checkout in `folder`. `origin` is the address to keep in `.git`; without one `.git` goes.
pub(super) fn settle(
    program: &GitProgram<'_>,
    folder: &Path,
    commit: &str,
    origin: Option<&str>,
) -> Result<(), Error> {
    let time = program.run(folder, ["show", "--no-patch", "--format=%ct", commit, "--"])?;
    let seconds: i64 = time
        .trim()
        .parse()
        .map_err(|_| Error::Git { reason: format!("the commit {commit} has no time"), hint: None })?;
    let git_dir = folder.join(".git");
    match origin {
        None => remove_tree(&git_dir).map_err(Error::io("remove", &git_dir))?,
        Some(origin) => {
            program.run(folder, ["config", "remote.origin.url", origin])?;
            program.run(folder, ["config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"])?;
            for repository in repositories(&git_dir) {
                tidy(program, &repository)?;
            }
        }
    }
    level(folder, origin.is_some(), seconds).map_err(Error::io("settle", folder))
}

/// A git directory and those of its submodules, at every depth.
fn repositories(git_dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![git_dir.to_owned()];
    while let Some(folder) = pending.pop() {
        if folder.join("HEAD").is_file() {
            found.push(folder.clone());
            pending.push(folder.join("modules"));
            continue;
        }
        // `modules/a/b` for a submodule whose name has a slash.
        let below = fs::read_dir(&folder).into_iter().flatten().flatten();
        pending.extend(below.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
    }
    found
}

/// Writes the index anew, for it holds times and inodes of the files.
fn tidy(program: &GitProgram<'_>, git_dir: &Path) -> Result<(), Error> {
    for name in TRACES.iter().chain(&["index"]) {
        match fs::remove_file(git_dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", git_dir.join(name))(error));
            }
            _ => {}
        }
    }
    let _ = remove_tree(&git_dir.join("logs"));
    let at = format!("--git-dir={}", git_dir.display());
    program.run(git_dir, [at.as_str(), "read-tree", "HEAD"]).map(drop)
}

/// Gives everything below `folder` the modes that git knows and one time.
fn level(folder: &Path, keep_git_dir: bool, seconds: i64) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        // Nothing in a repository can have that name: it is git's own note in a submodule.
        if !keep_git_dir && entry.file_name() == ".git" {
            if kind.is_dir() {
                remove_tree(&path)?;
            } else {
                fs::remove_file(&path)?;
            }
            continue;
        }
        if kind.is_dir() {
            level(&path, keep_git_dir, seconds)?;
            continue;
        }
        if kind.is_file() {
            let executable = entry.metadata()?.permissions().mode() & 0o100 != 0;
            fs::set_permissions(&path, Permissions::from_mode(if executable { 0o755 } else { 0o644 }))?;
        }
        set_time(&path, seconds)?;
    }
    fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    set_time(folder, seconds)
}

fn set_time(path: &Path, seconds: i64) -> io::Result<()> {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
