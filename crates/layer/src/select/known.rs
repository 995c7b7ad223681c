//! What is known of files from an earlier time, and when it may be believed.

use std::os::fd::OwnedFd;
use std::time::{SystemTime, UNIX_EPOCH};

use jettison_oci::Digest;

use crate::Error;

/// A file that was changed less than this before it is looked at may change again and keep its times: they come from
/// a clock that moves in ticks (10 ms on most file systems, 1 s on some). Its digest is neither remembered nor
/// believed; it is hashed again. Git calls such a file "racily clean" (`racy-git.txt`).
const RACY_NS: i64 = 1_000_000_000;

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

impl From<&rustix::fs::Stat> for FileStat {
    fn from(stat: &rustix::fs::Stat) -> Self {
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
    /// Makes sure that `file`, which was just read, is still the same: by its stat if it was settled, else by the digest
    /// of what was read.
    pub(crate) fn still(&self, file: &OwnedFd, read: Option<Digest>, path: &[u8]) -> Result<(), Error> {
        let same = match (&self.digest, read) {
            (Some(digest), Some(read)) => *digest == read,
            (None, _) => true,
            (Some(_), None) => {
                let stat = rustix::fs::fstat(file).map_err(Error::io("look at", path))?;
                self.settled && FileStat::from(&stat) == self.stat
            }
        };
        if same { Ok(()) } else { Err(Error::Changed { path: String::from_utf8_lossy(path).into_owned() }) }
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
