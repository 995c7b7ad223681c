//! Submodules of a checkout, one after the other, each place looked at before git puts something there.
//!
//! git's own checks of that place have failed more than once: a link in the path (CVE-2024-32002), a carriage return at
//! its end that got lost (CVE-2025-48384). Which git is installed is not ours to say, so each path is checked here as
//! well: git alone would go on to places that nobody saw.

use std::path::{Component, Path};

use super::git_program::GitProgram;
use crate::error::Error;

/// How deep submodules may lie in submodules. Nobody has so many levels; each is a fetch.
const DEPTH_MAX: usize = 64;
/// What the index says of a submodule.
const SUBMODULE_MODE: &str = "160000 ";

/// Fetches and checks out the submodules of the checkout in `folder`, and theirs.
///
/// # Errors
/// A path that is no place for a submodule, and whatever git refuses.
pub(super) fn check_out(program: &GitProgram<'_>, folder: &Path) -> Result<(), Error> {
    level(program, folder, DEPTH_MAX)
}

fn level(program: &GitProgram<'_>, folder: &Path, depth: usize) -> Result<(), Error> {
    if folder.join(".gitmodules").symlink_metadata().is_err() {
        return Ok(());
    }
    if depth == 0 {
        return Err(refused(format!("submodules lie in submodules more than {DEPTH_MAX} times")));
    }
    let index = program.run(folder, ["ls-files", "--stage", "-z"])?;
    for path in paths(&index) {
        check(folder, path)?;
        let this = format!(":(literal){path}");
        program.run(folder, ["submodule", "--quiet", "update", "--init", "--depth=1", "--", &this])?;
        // One that is not wanted (`update = none`) has no `.git`; git would take the repository around it.
        let below = folder.join(path);
        if below.join(".git").symlink_metadata().is_ok() {
            level(program, &below, depth - 1)?;
        }
    }
    Ok(())
}

/// The paths of submodules in an index: `MODE OBJECT STAGE`, a tab, the path, a zero byte.
fn paths(index: &str) -> impl Iterator<Item = &str> {
    index
        .split('\0')
        .filter_map(|entry| entry.strip_prefix(SUBMODULE_MODE)?.split_once('\t'))
        .map(|(_, path)| path)
}

/// Whether `path` is one below `folder` that leads through no link and means the same to everybody who reads it.
fn check(folder: &Path, path: &str) -> Result<(), Error> {
    let shown = path.escape_debug();
    if path.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
        return Err(refused(format!(
            "the path of a submodule has a control character or is no UTF-8: {shown}"
        )));
    }
    let mut place = folder.to_owned();
    for part in Path::new(path).components() {
        let Component::Normal(name) = part else {
            return Err(refused(format!("the path of a submodule leads out of its repository: {shown}")));
        };
        place.push(name);
        if place.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
            return Err(refused(format!("the path of a submodule leads through a link: {shown}")));
        }
    }
    Ok(())
}

fn refused(reason: String) -> Error {
    let hint = Some("leave submodules out with ?submodules=false".to_owned());
    Error::Git { reason, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submodules_are_told_from_files() {
        let index =
            "100644 7c 0\tf\x00160000 11 0\tx/y\x00100644 7c 0\t160000 11 0\tz\x00160000 22 0\tt\tab\x00";
        assert_eq!(paths(index).collect::<Vec<_>>(), ["x/y", "t\tab"]);
    }

    #[test]
    fn only_folders_below_are_places_for_submodules() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("d/e")).unwrap();
        std::os::unix::fs::symlink(".git", folder.path().join("a")).unwrap();
        for path in ["d", "d/e", "d/e/new", "n\u{e9}w", "a b", ""] {
            assert!(check(folder.path(), path).is_ok(), "{path}");
        }
        for path in ["a", "a/modules", "d\r", "\u{1b}[2J", "../x", "d/../../x", "/etc", "d\n", "\u{fffd}"] {
            let Err(Error::Git { reason, hint: Some(_) }) = check(folder.path(), path) else {
                panic!("{path}")
            };
            assert!(!reason.contains(char::is_control), "{reason}");
        }
    }
}
