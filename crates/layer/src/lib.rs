//! Tar to tree to blob in one pass: apply, diff, encode, compress; and the rules of COPY.
//!
//! Reading: [`decompress`] → [`apply`] (a layer becomes one overlayfs directory) or [`unpack_archive`] (ADD).
//! Writing: [`diff`] (what a step changed) or [`walk`] → [`encode`]. `docs/formats/layer.md` says what the bytes are.
//! Copying: [`select`] decides which files, [`copy`] carries them over.

mod apply;
mod archive;
mod complete;
mod copied_up;
pub mod copy;
mod diff;
mod encode;
mod entry;
mod error;
mod gzip_members;
mod header;
mod inside;
mod members;
mod names;
pub mod select;
mod squash;
mod tar_stream;
mod walk;
mod zstd_frames;

pub use apply::{Applied, ApplyOptions, Limits, apply};
pub use archive::{Archive, decompress, decompress_archive, detect};
pub use complete::complete;
pub use copied_up::holds_copied_up_only;
pub use diff::diff;
pub use encode::{
    Chunk, ChunkHash, ChunkMemory, Contents, ENCODER_VERSION, EncodeOptions, Encoded, NoChunks, Opened,
    encode, recompress,
};
pub use entry::{Entry, Kind};
pub use error::Error;
pub use inside::open_in_root;
pub use members::{Change, Content, for_each_member};
pub use squash::squash;
pub use tar_stream::unpack_archive;
pub use walk::walk;
