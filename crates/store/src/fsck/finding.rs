//! What a check can find, in words, and how it is mended.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use jettison_oci::{Digest, Reference};
use rusqlite::params;

use crate::{Error, Result, Store, remove_tree};

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The database itself is damaged.
    Index(String),
    /// A blob's content is not what its name says.
    Blob {
        /// Its name.
        digest: Digest,
        /// Where it lies.
        path: PathBuf,
        /// The digest of what it holds.
        found: Digest,
    },
    /// Something that no jettison has put there, or that a killed one left.
    Leftover(PathBuf),
    /// A row speaks of a snapshot whose files are gone.
    SnapshotGone(String),
    /// A snapshot's files are not as large as they were when it was made.
    SnapshotSize {
        /// Its name.
        id: String,
        /// Bytes when it was made.
        recorded: u64,
        /// Bytes now.
        found: u64,
    },
    /// What a snapshot stands on is gone or damaged.
    SnapshotParent {
        /// Its name.
        id: String,
        /// What it stands on.
        parent: String,
    },
    /// Rows that speak of what is not there.
    Rows {
        /// The table.
        table: &'static str,
        /// The column that identifies them.
        column: &'static str,
        /// Their value there.
        value: String,
        /// What is not there.
        missing: String,
    },
    /// What the index says of an image of this name cannot be understood.
    ImageRow(String),
    /// An image lacks a part.
    Image {
        /// Its name.
        reference: Reference,
        /// What is missing or damaged.
        missing: Digest,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(text) => write!(f, "the index is damaged: {text}"),
            Self::Blob { digest, found, .. } => write!(f, "the blob {digest} holds other bytes ({found})"),
            Self::Leftover(path) => write!(f, "{} belongs to nothing", path.display()),
            Self::SnapshotGone(id) => write!(f, "the files of the snapshot {id} are gone"),
            Self::SnapshotSize { id, recorded, found } => {
                write!(f, "the snapshot {id} has {found} bytes, {recorded} when it was made")
            }
            Self::SnapshotParent { id, parent } => {
                write!(f, "the snapshot {id} stands on {parent}, which is gone or damaged")
            }
            Self::Rows { table, value, missing, .. } => {
                write!(f, "{table} {value} speaks of {missing}, which is not there")
            }
            Self::ImageRow(name) => {
                write!(f, "what the index says of the image {name:?} cannot be understood")
            }
            Self::Image { reference, missing } => write!(f, "the image {reference} lacks {missing}"),
        }
    }
}

impl Finding {
    /// Whether a repair can do something about it.
    pub fn can_be_mended(&self) -> bool {
        !matches!(self, Self::Index(_))
    }

    /// What the repair does, as in "the blob … holds other bytes: removed".
    pub fn repair(&self) -> &'static str {
        match self {
            Self::Index(_) => "cannot be mended; move the store away",
            Self::Blob { .. } => "removed; it is pulled or made again",
            Self::Leftover(_) => "removed",
            Self::SnapshotGone(_) | Self::SnapshotSize { .. } | Self::SnapshotParent { .. } => {
                "removed; it is unpacked or built again"
            }
            Self::Rows { .. } => "forgotten",
            Self::Image { .. } | Self::ImageRow(_) => "its name is taken away; pull or build it again",
        }
    }
}

impl Store {
    pub(super) fn mend(&self, finding: &Finding) -> Result<()> {
        match finding {
            Finding::Index(_) => Ok(()),
            Finding::Blob { path, .. } => fs::remove_file(path).map_err(Error::io("remove", path)),
            Finding::Leftover(path) => match fs::symlink_metadata(path) {
                Ok(metadata) if metadata.is_dir() => remove_tree(path).map_err(Error::io("remove", path)),
                Ok(_) => fs::remove_file(path).map_err(Error::io("remove", path)),
                Err(_) => Ok(()),
            },
            Finding::SnapshotGone(id)
            | Finding::SnapshotSize { id, .. }
            | Finding::SnapshotParent { id, .. } => self.forget_snapshot(id),
            Finding::Rows { table, column, value, .. } => self
                .write(|transaction| {
                    // Both are names of ours, from `rows.rs`.
                    transaction.execute(&format!("DELETE FROM {table} WHERE {column} = ?1"), [value])
                })
                .map(drop),
            Finding::Image { reference, .. } => self.untag(reference).map(drop),
            Finding::ImageRow(name) => self
                .write(|transaction| transaction.execute("DELETE FROM images WHERE reference = ?1", [name]))
                .map(drop),
        }
    }

    /// Removes a snapshot and all that is known because of it: rows first, then files.
    pub(crate) fn forget_snapshot(&self, id: &str) -> Result<()> {
        self.write(|transaction| {
            for sql in [
                "DELETE FROM results WHERE snapshot = ?1",
                "DELETE FROM layer_snapshots WHERE snapshot = ?1",
                "DELETE FROM encoded_layers WHERE snapshot = ?1",
                "DELETE FROM snapshots WHERE id = ?1",
            ] {
                transaction.execute(sql, params![id])?;
            }
            Ok(())
        })?;
        let path = self.root().join("snapshots").join(id);
        if path.exists() { remove_tree(&path).map_err(Error::io("remove", &path)) } else { Ok(()) }
    }
}
