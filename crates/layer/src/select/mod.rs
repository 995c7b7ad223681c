//! Which files COPY and ADD mean, and the digest of what they hold.
//!
//! [`select`] resolves sources below a root: names, wildcards, links, ignore and exclude filters. [`content_digest`]
//! hashes what was selected. Carrying it over is `copy`'s work. Source of the rules: BuildKit
//! `solver/llbsolver/file/backend.go`, `cache/contenthash`, fsutil `copy/copy.go`; pinned by dockerfile_copy_test.go.

mod below;
mod digest;
mod known;
mod pattern;
mod source;

pub use digest::{Mask, content_digest};
pub use known::{FileDigests, FileStat, NothingKnown, Seen};
pub use source::{PathFilter, SelectError, Selected, Selection, Selector, select};
