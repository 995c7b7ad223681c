//! State on disk: blobs, snapshots, the index, locks, garbage collection.
//!
//! Everything that outlives a command is here: downloaded and made blobs, unpacked and built file systems, what a step
//! gave, what a name means. Many processes share one store; any of them may be killed at any moment.
//! Start at [`Store`] (`store.rs`), which opens it. The layout, who writes what when, and what holds after a crash are
//! written down in `docs/formats/store.md`.

mod blob;
mod cache_mount;
mod check;
mod error;
mod file_digests;
mod image;
mod index;
mod layout;
mod lock;
mod partial;
mod prune;
mod reachable;
mod remove;
mod result;
mod session;
mod snapshot;
mod source;
mod store;
mod tree;
mod usage;

pub use blob::BlobWriter;
pub use cache_mount::{CacheLock, Sharing};
pub use check::Finding;
pub use error::{Error, ErrorKind};
pub use image::ImageRecord;
pub use lock::{StepGuard, UseGuard};
pub use partial::PartialBlob;
pub use prune::{PruneOptions, PruneReport};
pub use remove::remove_tree;
pub use result::{LayerRecord, StepResult};
pub use session::ScratchDir;
pub use snapshot::{Draft, SnapshotId, SnapshotInfo};
pub use source::SourceRecord;
pub use store::Store;
pub use usage::{Share, Usage};
