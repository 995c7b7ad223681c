//! What can go wrong with a store.

use std::io;
use std::path::PathBuf;

use jettison_oci::Digest;

/// Everything that can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder of the store.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The index.
    #[error("the index of the store {}: {source}", path.display())]
    Index {
        /// The database file.
        path: PathBuf,
        /// Why it failed.
        source: rusqlite::Error,
    },
    /// A newer jettison has written this store.
    #[error("the store {} was written by a newer jettison (format {found}, this one knows {known})", path.display())]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest that we know.
        known: i64,
    },
    /// What the index says of an image is nothing that we know.
    #[error(
        "the index of the store cannot be understood where it speaks of the image {0:?}: a newer jettison wrote it, or it is damaged"
    )]
    ImageRow(String),
    /// Content is not what its name says.
    #[error("content has digest {found}, expected {expected}")]
    DigestMismatch {
        /// What was promised.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// A blob is not what it was when it got its name.
    #[error("the store's copy {} is damaged", path.display())]
    DamagedBlob {
        /// Where it lies.
        path: PathBuf,
    },
    /// A blob is not there.
    #[error("no blob {0} in the store")]
    NoBlob(Digest),
    /// A document is larger than its reader allows.
    #[error("blob {digest} has {size} bytes, more than the {max} that are read")]
    TooLarge {
        /// Which.
        digest: Digest,
        /// Its size, bytes.
        size: u64,
        /// The limit, bytes.
        max: u64,
    },
    /// Somebody holds what we waited for until we were told to wait no longer.
    #[error("another build holds what this one waited for")]
    GivenUp,
    /// A snapshot is not there.
    #[error("no snapshot {0} in the store")]
    NoSnapshot(String),
}

/// What kind of error, for hints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The disk is full, or has no inodes left.
    NoSpace,
    /// No permission, a read-only file system, or something in the way.
    NotWritable,
    /// Another process held a lock for too long.
    Busy,
    /// Anything else.
    Other,
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
                io::ErrorKind::PermissionDenied
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::AlreadyExists => ErrorKind::NotWritable,
                _ => ErrorKind::Other,
            },
            Self::Index { source, .. } => match source.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DiskFull) => ErrorKind::NoSpace,
                Some(
                    rusqlite::ErrorCode::ReadOnly
                    | rusqlite::ErrorCode::CannotOpen
                    | rusqlite::ErrorCode::PermissionDenied,
                ) => ErrorKind::NotWritable,
                Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                    ErrorKind::Busy
                }
                _ => ErrorKind::Other,
            },
            _ => ErrorKind::Other,
        }
    }
}
