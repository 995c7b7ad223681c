//! Whether an upper directory says nothing: it holds directories that overlayfs copied up, and they are as they were.
//!
//! That is what a step leaves for which mount points were made and removed again in `/etc`, say. A merged view without
//! it is the same, down to the times, so it need not take part in one.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use crate::diff::look_up;
use crate::entry::is_of_overlayfs;
use crate::inside::{self, NO_LINKS};
use crate::walk::{Descend, visit_tree};
use crate::{Entry, Error, Kind};

/// Attributes that overlayfs sets on each directory that it copies up, and that change nothing of what is seen
/// (`Documentation/filesystems/overlayfs.rst`, "Inode properties"; the kernel's `fs/overlayfs/overlayfs.h`). Any other
/// one of its own may: it makes a directory opaque, say.
const OF_COPY_UP: [&[u8]; 3] = [b"user.overlay.origin", b"user.overlay.impure", b"user.overlay.uuid"];

/// Whether all that is in `upper` is a directory which the merged view of `lowers` (top first) has as well, with the
/// same mode, owner, time and extended attributes, those included that no layer carries.
pub fn holds_copied_up_only(upper: BorrowedFd<'_>, lowers: &[BorrowedFd<'_>]) -> Result<bool, Error> {
    let mut same = true;
    let mut visit = |entry: Entry, _: &rustix::fs::Stat| {
        same = same && is_as_below(upper, lowers, &entry)?;
        Ok(if same { Descend::Yes } else { Descend::No })
    };
    visit_tree(upper, b"", &mut visit)?;
    Ok(same)
}

fn is_as_below(upper: BorrowedFd<'_>, lowers: &[BorrowedFd<'_>], entry: &Entry) -> Result<bool, Error> {
    if entry.kind != Kind::Directory {
        return Ok(false);
    }
    let Some(below) = look_up(lowers, &entry.path)? else { return Ok(false) };
    // Extended attributes that layers carry are among all of them.
    if below != (Entry { xattrs: Vec::new(), ..entry.clone() }) {
        return Ok(false);
    }
    let at = |root: BorrowedFd<'_>| inside::open_dir(root, &entry.path, NO_LINKS);
    let Some(lower) = lowers.iter().find_map(|lower| at(*lower).ok()) else { return Ok(false) };
    let ours = at(upper).map_err(Error::io("open", &entry.path))?;
    let attributes = |directory: OwnedFd, wanted: &dyn Fn(&[u8]) -> bool| {
        inside::xattrs_of(directory.as_fd(), wanted).map_err(Error::io("read", &entry.path))
    };
    // The lower directory's own marks are about what is below it, and never copied up.
    let ours = attributes(ours, &|name| !OF_COPY_UP.contains(&name))?;
    Ok(ours == attributes(lower, &|name| !is_of_overlayfs(name))?)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;

    use rustix::fs::{Timespec, Timestamps, XattrFlags, setxattr};

    use super::*;

    struct Layers(tempfile::TempDir);

    impl Layers {
        /// A directory `etc/d` of the same time on two levels, with a file in the lower one.
        fn new() -> Self {
            let layers = Self(tempfile::tempdir().unwrap());
            for level in ["upper", "lower"] {
                fs::create_dir_all(layers.at(level, "etc/d")).unwrap();
            }
            fs::write(layers.at("lower", "etc/d/file"), "x").unwrap();
            for (level, path) in [("upper", "etc/d"), ("upper", "etc"), ("lower", "etc/d"), ("lower", "etc")]
            {
                dated(&layers.at(level, path), 1000);
            }
            layers
        }

        fn at(&self, level: &str, path: &str) -> std::path::PathBuf {
            self.0.path().join(level).join(path)
        }

        fn say_nothing(&self) -> bool {
            let [upper, lower] = ["upper", "lower"].map(|level| File::open(self.at(level, "")).unwrap());
            holds_copied_up_only(upper.as_fd(), &[lower.as_fd()]).unwrap()
        }
    }

    fn dated(path: &Path, seconds: i64) {
        let time = Timespec { tv_sec: seconds, tv_nsec: 7 };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::futimens(File::open(path).unwrap(), &times).unwrap();
    }

    fn marked(path: &Path, name: &str) {
        setxattr(path, name, b"y", XattrFlags::empty()).unwrap();
    }

    #[test]
    fn directories_that_are_as_below_say_nothing() {
        let layers = Layers::new();
        assert!(layers.say_nothing());
        marked(&layers.at("upper", "etc"), "user.overlay.origin");
        marked(&layers.at("lower", "etc"), "user.overlay.opaque");
        assert!(layers.say_nothing(), "these are not seen");
        for level in ["upper", "lower"] {
            marked(&layers.at(level, "etc/d"), "user.note");
        }
        assert!(layers.say_nothing(), "they have the same attributes");
    }

    #[test]
    fn whatever_else_is_seen_says_something() {
        use std::os::unix::fs::PermissionsExt as _;
        type Change = (&'static str, fn(&Layers));
        let changes: [Change; 8] = [
            ("a file", |layers| {
                fs::write(layers.at("upper", "etc/d/new"), "").unwrap();
                dated(&layers.at("upper", "etc/d"), 1000);
            }),
            ("a new directory", |layers| {
                fs::create_dir(layers.at("upper", "etc/new")).unwrap();
                dated(&layers.at("upper", "etc"), 1000);
            }),
            ("a directory in place of a file", |layers| {
                fs::create_dir(layers.at("upper", "etc/d/file")).unwrap();
                dated(&layers.at("upper", "etc/d"), 1000);
            }),
            ("a time", |layers| dated(&layers.at("upper", "etc/d"), 1001)),
            ("a mode", |layers| {
                fs::set_permissions(layers.at("upper", "etc/d"), fs::Permissions::from_mode(0o700)).unwrap();
            }),
            ("an attribute", |layers| marked(&layers.at("upper", "etc"), "user.note")),
            ("an attribute that is gone", |layers| marked(&layers.at("lower", "etc"), "user.note")),
            ("what is below was removed, once more", |layers| {
                // A directory that hides what is below it is opaque; the lower one may be as well.
                for level in ["upper", "lower"] {
                    marked(&layers.at(level, "etc/d"), "user.overlay.opaque");
                }
            }),
        ];
        for (what, change) in changes {
            let layers = Layers::new();
            change(&layers);
            assert!(!layers.say_nothing(), "{what}");
        }
    }
}
