//! Whether the store lies as it was written, or is a copy that lost something.
//!
//! Snapshots are trees in overlayfs' own form: white-outs are devices, opaque directories have an extended attribute, files
//! have modes, times, other names and capabilities. A store that went through an archive without attributes, `cp -r` or an
//! upload of a CI system has lost some of that, and what was removed in an image would be there again, with no size that
//! differs. So a new store gets one of each such thing, in a folder where also stands which of them this file system took,
//! and every opening looks whether they are still there. Blobs have digests, so only snapshots are forgotten.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use crate::{Error, Result, Store, remove_tree};

/// The folder below the store's root.
const FOLDER: &str = "specimen";
/// Begins the name of the empty file that says what there is.
const HAS: &str = "has";
const OPAQUE: &str = "user.overlay.opaque";
const CAPABILITY: &str = "security.capability";
/// `cap_net_raw`, permitted and effective (`struct vfs_cap_data`, version 2).
const CAPABILITY_VALUE: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Set-uid, which copies drop first.
const MODE: u32 = 0o4750;
/// Seconds since 1970.
const TIME_S: i64 = 1;

/// One thing that a copy may lose.
struct Trait {
    name: &'static str,
    make: fn(&Path) -> io::Result<()>,
    /// Whether it is as it was made. An error is no answer.
    is_there: fn(&Path) -> io::Result<bool>,
}

const TRAITS: &[Trait] = &[
    Trait {
        name: "whiteout",
        make: |folder| {
            let path = folder.join("whiteout");
            Ok(rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0)?)
        },
        is_there: |folder| {
            let found = fs::symlink_metadata(folder.join("whiteout"))?;
            Ok(found.file_type().is_char_device() && found.rdev() == 0)
        },
    },
    Trait {
        name: "opaque",
        make: |folder| {
            let path = folder.join("opaque");
            fs::create_dir(&path)?;
            Ok(rustix::fs::setxattr(path, OPAQUE, b"y", XattrFlags::empty())?)
        },
        is_there: |folder| has_attribute(&folder.join("opaque"), OPAQUE),
    },
    Trait {
        name: "mode",
        make: |folder| {
            fs::write(folder.join("mode"), "")?;
            fs::set_permissions(folder.join("mode"), fs::Permissions::from_mode(MODE))
        },
        is_there: |folder| Ok(fs::symlink_metadata(folder.join("mode"))?.mode() & 0o7777 == MODE),
    },
    Trait {
        name: "names",
        make: |folder| {
            fs::write(folder.join("name"), "")?;
            fs::hard_link(folder.join("name"), folder.join("other-name"))
        },
        is_there: |folder| {
            let inode = |name| fs::symlink_metadata(folder.join(name)).map(|found| found.ino());
            Ok(inode("name")? == inode("other-name")?)
        },
    },
    Trait {
        name: "time",
        make: |folder| {
            fs::write(folder.join("time"), "")?;
            let time = Timespec { tv_sec: TIME_S, tv_nsec: 0 };
            let times = Timestamps { last_access: time, last_modification: time };
            Ok(rustix::fs::utimensat(CWD, folder.join("time"), &times, AtFlags::empty())?)
        },
        is_there: |folder| Ok(fs::symlink_metadata(folder.join("time"))?.mtime() == TIME_S),
    },
    Trait {
        name: "capability",
        make: |folder| {
            let path = folder.join("capability");
            fs::write(&path, "")?;
            Ok(rustix::fs::setxattr(path, CAPABILITY, &CAPABILITY_VALUE, XattrFlags::empty())?)
        },
        is_there: |folder| has_attribute(&folder.join("capability"), CAPABILITY),
    },
];

fn has_attribute(path: &Path, name: &str) -> io::Result<bool> {
    match rustix::fs::lgetxattr(path, name, &mut [0_u8; 64][..]) {
        Ok(_) => Ok(true),
        Err(rustix::io::Errno::NODATA) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Store {
    /// Whether this opening found a copy that had lost something, and forgot its snapshots: what was built before is
    /// built again, and nothing else is lost.
    pub fn was_a_lossy_copy(&self) -> bool {
        self.was_a_lossy_copy
    }

    /// Forgets the snapshots of a copy that lost something, and says whether it did. What cannot be read says nothing.
    pub(crate) fn check_copy(&self) -> Result<bool> {
        let folder = self.root().join(FOLDER);
        match is_whole(&folder) {
            Ok(Some(true)) | Err(_) => return Ok(false),
            Ok(Some(false)) => {}
            Ok(None) => {
                self.make_specimen(&folder);
                return Ok(false);
            }
        }
        let _alone = self.use_exclusive(true)?;
        // Another process may have seen to it meanwhile.
        if !matches!(is_whole(&folder), Ok(Some(false))) {
            return Ok(true);
        }
        self.forget_all_snapshots()?;
        remove_tree(&folder).map_err(Error::io("remove", &folder))?;
        self.make_specimen(&folder);
        Ok(true)
    }

    /// It appears as a whole, by a rename; of several processes one is first. Where it cannot be made, on a full disk
    /// that `prune` is to make room on, the next opening tries again.
    fn make_specimen(&self, folder: &Path) {
        let _ = self.scratch_dir().map(|scratch| {
            let made = scratch.path().join(FOLDER);
            make(&made).and_then(|()| fs::rename(&made, folder))
        });
    }

    /// Rows first, then files.
    fn forget_all_snapshots(&self) -> Result<()> {
        self.write(|transaction| {
            ["results", "layer_snapshots", "encoded_layers", "snapshots"]
                .iter()
                .try_for_each(|table| transaction.execute(&format!("DELETE FROM {table}"), []).map(drop))
        })?;
        let snapshots = self.root().join("snapshots");
        for entry in fs::read_dir(&snapshots).map_err(Error::io("read", &snapshots))?.flatten() {
            remove_tree(&entry.path()).map_err(Error::io("remove", entry.path()))?;
        }
        Ok(())
    }
}

/// Makes a specimen with all that can be had here.
fn make(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    let mut has = HAS.to_owned();
    for part in TRAITS {
        match (part.make)(folder).and_then(|()| (part.is_there)(folder)) {
            Ok(true) => {
                has.push(' ');
                has.push_str(part.name);
            }
            Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                return Err(error);
            }
            // What this file system or user cannot have, snapshots do not have either.
            Ok(false) | Err(_) => {}
        }
    }
    // A name, for names reach the disk in order; a content might not.
    fs::write(folder.join(has), "")
}

/// Whether all is there that is said to be; `None` without a specimen.
fn is_whole(folder: &Path) -> io::Result<Option<bool>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name().into_string().unwrap_or_default();
        let mut words = name.split(' ');
        if words.next() != Some(HAS) {
            continue;
        }
        let is_said: Vec<&str> = words.collect();
        let is_kept = |part: &Trait| match (part.is_there)(folder) {
            Ok(is_there) => is_there,
            Err(error) => error.kind() != ErrorKind::NotFound,
        };
        let said = TRAITS.iter().filter(|part| is_said.contains(&part.name));
        return Ok(Some(said.into_iter().all(is_kept)));
    }
    // The list itself was lost.
    Ok(Some(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_is_noticed_and_a_careful_copy_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("made");
        assert_eq!(is_whole(&made).unwrap(), None);
        make(&made).unwrap();
        assert_eq!(is_whole(&made).unwrap(), Some(true));
        let copy = |name: &str, how: &[&str]| {
            let to = folder.path().join(name);
            let status = std::process::Command::new("cp").args(how).arg(&made).arg(&to).status().unwrap();
            assert!(status.success());
            to
        };
        assert_eq!(is_whole(&copy("careful", &["-a"])).unwrap(), Some(true));
        for (name, how) in [("plain", &["-r"][..]), ("half", &["-r", "--preserve=mode,timestamps"][..])] {
            assert_eq!(is_whole(&copy(name, how)).unwrap(), Some(false), "{name}");
        }
        for name in fs::read_dir(&made).unwrap().map(|entry| entry.unwrap().file_name()) {
            let less = copy(&format!("without {}", name.display()), &["-a"]);
            crate::remove_tree(&less.join(&name)).or_else(|_| fs::remove_file(less.join(&name))).unwrap();
            assert_eq!(is_whole(&less).unwrap(), Some(false), "{}", name.display());
        }
    }
}
