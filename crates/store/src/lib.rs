//! State on disk: blobs, snapshots, the index, locks, garbage collection.
//!
//! [`Store`] is the whole of it; `docs/formats/store.md` has the layout, the tables and what a crash can leave. Many
//! processes share one store: files appear by rename only, rows by transaction, and what is being used is locked.

mod apart;
mod blob;
mod cache_mount;
mod chunks;
mod error;
mod files;
mod fsck;
mod image;
mod index;
mod lock;
mod partial;
mod prune;
mod remove;
mod results;
mod scratch;
mod snapshot;
mod specimen;
mod store;
mod sweeper;
mod tree;
mod usage;
mod write_behind;

pub use blob::BlobWriter;
pub use cache_mount::{CacheLock, CacheUse, Sharing};
pub use chunks::StoredChunks;
pub use error::{Error, ErrorKind};
pub use fsck::{Finding, FsckReport};
pub use image::{ImageRecord, SourceRecord};
pub use lock::{StepGuard, UseGuard};
pub use partial::PartialBlob;
pub use prune::{PruneOptions, PruneReport};
pub use remove::remove_tree;
pub use results::{LayerRecord, StepResult};
pub use scratch::ScratchDir;
pub use snapshot::{Draft, Lineage, SnapshotId, SnapshotInfo};
pub use store::Store;
pub use usage::Usage;

/// What functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
