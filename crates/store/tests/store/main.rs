//! What users of a store may rely on: nothing half-written is ever seen, whatever dies when; processes share a store;
//! prune keeps what names need.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic anywhere, in its preparations too")]

mod blobs;
mod fsck;
mod index;
mod processes;
mod prune;
mod snapshots;
mod support;
