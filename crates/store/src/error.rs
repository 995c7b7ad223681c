//! What can go wrong with a store. One kind each for what a person can do something about.

use std::io;
use std::path::PathBuf;

use jettison_oci::Digest;

use crate::SnapshotId;

/// Everything that can go wrong here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `create`, `read`, `write`, `remove`, `lock`, …
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The index (SQLite) refused something.
    #[error("cannot use the index {}: {source}", path.display())]
    Index {
        /// The index file.
        path: PathBuf,
        /// SQLite's answer.
        source: rusqlite::Error,
    },
    /// The index may only be read: its file or its file system is write-protected.
    #[error("the store {} cannot be written to", path.display())]
    ReadOnly {
        /// The store.
        path: PathBuf,
    },
    /// A newer version of jettison has written this store.
    #[error("the store {} has version {found}; this jettison knows versions up to {supported}", path.display())]
    TooNew {
        /// The store.
        path: PathBuf,
        /// The version on disk.
        found: u64,
        /// The highest version that this program knows.
        supported: u64,
    },
    /// The directory holds something else.
    #[error("{} is not a jettison store: {reason}", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// Bytes do not have the digest that they should have. Nothing of them was kept.
    #[error("content has digest {found}, expected {expected}")]
    DigestMismatch {
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// A blob is not in the store.
    #[error("blob {digest} is not in the store")]
    BlobMissing {
        /// Its digest.
        digest: Digest,
    },
    /// A blob is larger than the caller is ready to read.
    #[error("blob {digest} has {size} bytes, more than {limit}")]
    BlobTooLarge {
        /// Its digest.
        digest: Digest,
        /// Its size, bytes.
        size: u64,
        /// The limit, bytes.
        limit: u64,
    },
    /// A snapshot is not in the store, or not whole.
    #[error("snapshot {id} is not in the store")]
    SnapshotMissing {
        /// Its id.
        id: SnapshotId,
    },
    /// A tree holds a mount; it was left alone.
    #[error("cannot remove {}: something is mounted in it", path.display())]
    MountInside {
        /// The tree that was to be removed.
        path: PathBuf,
    },
    /// Somebody else is using the store, so nothing was pruned.
    #[error("the store {} is in use by another jettison", path.display())]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// The caller gave up waiting for a lock.
    #[error("gave up waiting for {what}")]
    WaitAborted {
        /// What was waited for.
        what: String,
    },
    /// A row of the index does not read as what it should be.
    #[error("the index is damaged: {what}")]
    Damaged {
        /// Which row, and why.
        what: String,
    },
}

/// Kinds of [`Error`], by what can be done about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store may not be written to: permissions, or a read-only file system.
    NotWritable,
    /// The disk or the quota is full.
    NoSpace,
    /// Another process holds a lock for too long, or waiting was given up.
    Locked,
    /// A newer jettison made the store.
    TooNew,
    /// The store, or its index, is damaged or something else altogether.
    Damaged,
    /// Something that was asked for is not there.
    NotFound,
    /// Bytes with a wrong digest.
    DigestMismatch,
    /// None of these.
    Other,
}

impl Error {
    /// What can be done about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } => io_kind(source),
            Self::Index { source, .. } => index_kind(source),
            Self::ReadOnly { .. } => ErrorKind::NotWritable,
            Self::TooNew { .. } => ErrorKind::TooNew,
            Self::NotAStore { .. } | Self::Damaged { .. } => ErrorKind::Damaged,
            Self::DigestMismatch { .. } => ErrorKind::DigestMismatch,
            Self::BlobMissing { .. } | Self::SnapshotMissing { .. } => ErrorKind::NotFound,
            Self::InUse { .. } | Self::WaitAborted { .. } => ErrorKind::Locked,
            Self::BlobTooLarge { .. } | Self::MountInside { .. } => ErrorKind::Other,
        }
    }

    /// Wraps an operating system error: `.map_err(Error::io("open", &path))`.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source: source.into() }
    }
}

fn io_kind(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::NotWritable,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
        _ => ErrorKind::Other,
    }
}

fn index_kind(error: &rusqlite::Error) -> ErrorKind {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            ErrorKind::NotWritable
        }
        Some(ErrorCode::DiskFull) => ErrorKind::NoSpace,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ErrorKind::Locked,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ErrorKind::Damaged,
        _ => ErrorKind::Other,
    }
}
