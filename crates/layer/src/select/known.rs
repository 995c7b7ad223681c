//! What is known of files from an earlier time, and when it may be believed.
//!
//! A digest is believed while device, inode, size, mtime and ctime are what they were. That is safe where the kernel
//! sets the ctime at every change and nobody else can: on the file systems in [`CLOCKED`]. Elsewhere (vfat, exfat,
//! 9p, FUSE, NFS, CIFS, squashfs, erofs, overlayfs on top of any of these) the ctime may be the mtime, which `touch`
//! sets back, or another machine's; files there are hashed each time.
//!
//! What no clock shows: bytes that a process writes through a mapping of the file that it made and dirtied before.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use jettison_oci::Digest;
use rustix::fs::{OFlags, Stat};

use crate::Error;
use crate::inside::{self, NO_LINKS};

/// A file that was changed less than this before it is looked at may change again and keep its times: they come from
/// a clock that moves in ticks (10 ms on most file systems, 1 s on some). Its digest is neither remembered nor
/// believed; it is hashed again. Git calls such a file "racily clean" (`racy-git.txt`).
const RACY_NS: i64 = 1_000_000_000;

/// File systems whose ctime is set by this kernel's clock at every change: magic numbers of `statfs`.
const CLOCKED: &[u32] = &[
    0x0000_ef53, // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683e, // btrfs
    0xf2f5_2010, // f2fs
    0xca45_1a4e, // bcachefs
    0x2fc1_2fc1, // zfs
    0x0102_1994, // tmpfs
];

/// What identifies the content of a file, and its extended attributes, as long as nobody can change them unnoticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileStat {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Size, bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since 1970; cannot be set back by `touch`.
    pub ctime_ns: i64,
}

impl From<&Stat> for FileStat {
    fn from(stat: &Stat) -> Self {
        let ns = |s: i64, ns: u64| s.saturating_mul(1_000_000_000).saturating_add(ns as i64);
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: stat.st_size.unsigned_abs(),
            mtime_ns: ns(stat.st_mtime, stat.st_mtime_nsec),
            ctime_ns: ns(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

impl FileStat {
    /// The same for a memory that outlives mounts: device numbers are used again, so the file system's id is in it.
    /// That of XFS and F2FS is the device number itself, so the two are put together in a way that loses neither.
    pub(super) fn on(self, fs: FsId) -> Self {
        Self { dev: self.dev.rotate_left(32).wrapping_add(fs.0), ..self }
    }
}

/// A file as it was when its content was hashed, or looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What identified it.
    pub stat: FileStat,
    /// The digest of its content; `None` as long as nobody has hashed it.
    pub digest: Option<Digest>,
    /// Whether it had been left alone for so long that a change cannot leave `stat` as it is.
    pub settled: bool,
}

impl Seen {
    /// Makes sure that `file`, which was just read, is still the same: by the digest of what was read if there are both, else
    /// by its stat, if it was settled or nobody has hashed it.
    pub(crate) fn still(&self, file: impl AsFd, read: Option<Digest>, path: &[u8]) -> Result<(), Error> {
        match (&self.digest, read) {
            (Some(digest), Some(read)) if *digest == read => Ok(()),
            (Some(_), None) if self.settled => self.is(file, path),
            (None, _) => self.is(file, path),
            _ => Err(Error::changed(path)),
        }
    }

    /// Makes sure that `file` is the one that was seen, and that its times tell of no change. Another one may lie at its path:
    /// a folder on the way may have been renamed and come back later, which changes no time of what is in it.
    pub(crate) fn is(&self, file: impl AsFd, path: &[u8]) -> Result<(), Error> {
        let stat = rustix::fs::fstat(file).map_err(Error::io("look at", path))?;
        if FileStat::from(&stat) == self.stat { Ok(()) } else { Err(Error::changed(path)) }
    }
}

/// Remembers digests of files that have no extended attributes that belong into images: setting one changes the ctime.
pub trait FileDigests: Sync {
    /// The digest of the file that had exactly this stat.
    fn get(&self, stat: &FileStat) -> Option<Digest>;
    /// Remembers a digest.
    fn put(&self, stat: &FileStat, digest: &Digest);
}

/// Knows no file.
#[derive(Clone, Copy, Debug)]
pub struct NothingKnown;

impl FileDigests for NothingKnown {
    fn get(&self, _stat: &FileStat) -> Option<Digest> {
        None
    }

    fn put(&self, _stat: &FileStat, _digest: &Digest) {}
}

/// A file system whose change times can be trusted, told from others by what `statfs` calls its id.
#[derive(Clone, Copy, Debug)]
pub(super) struct FsId(u64);

impl FsId {
    /// That of an open file; `None` if its change times say nothing.
    pub(super) fn of(file: BorrowedFd<'_>) -> Option<Self> {
        let kind = rustix::fs::fstatfs(file).ok()?.f_type;
        CLOCKED.contains(&(kind as u32)).then_some(())?;
        Some(Self(rustix::fs::fstatvfs(file).ok()?.f_fsid))
    }
}

/// The file systems that a walk has met.
#[derive(Debug, Default)]
pub(super) struct FsIds(RwLock<HashMap<u64, Option<FsId>>>);

impl FsIds {
    /// That of the file at `name`, whose stat is `stat`.
    pub(super) fn of(&self, parent: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> Option<FsId> {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&stat.st_dev) {
            return *known;
        }
        let file = inside::open(parent, name, OFlags::PATH | OFlags::NOFOLLOW, NO_LINKS).ok()?;
        // Another file may have taken its place.
        if rustix::fs::fstat(&file).ok()?.st_dev != stat.st_dev {
            return None;
        }
        let found = FsId::of(std::os::fd::AsFd::as_fd(&file));
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(stat.st_dev, found);
        found
    }
}

/// A time before a look at files, nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(i64);

impl Moment {
    pub(super) fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i64))
    }

    /// Whether a change from this moment on cannot leave the file with the times that it has.
    pub(super) fn is_after(self, stat: &FileStat) -> bool {
        stat.mtime_ns.max(stat.ctime_ns).saturating_add(RACY_NS) < self.0
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::{FileStat, FsId};

    /// XFS and F2FS call themselves by their device's number. Two files may be made in one tick of the clock.
    #[test]
    fn file_systems_that_are_called_like_their_device_stay_apart() {
        let made = |dev| FileStat { dev, ino: 131, size: 7, mtime_ns: 1, ctime_ns: 1 }.on(FsId(dev));
        assert_ne!(made(0x700), made(0x701));
    }

    #[test]
    fn only_file_systems_whose_kernel_keeps_the_change_time_are_believed() {
        let of = |path: &std::path::Path| FsId::of(std::fs::File::open(path).unwrap().as_fd());
        assert!(of("/proc/version".as_ref()).is_none());
        let folder = tempfile::tempdir().unwrap();
        let kind = rustix::fs::statfs(folder.path()).unwrap().f_type as u32;
        assert_eq!(of(folder.path()).is_some(), super::CLOCKED.contains(&kind));
    }
}
