//! Instructions to a graph of steps, pruned to the target, with cache keys.
//!
//! Pure: a parsed Dockerfile, the caller's options and the configs of base images in; a [`Plan`] or a list of
//! diagnostics out. Which base images there are is only known while planning (an ONBUILD trigger may bring in more),
//! so [`plan`] answers [`Outcome::NeedsImages`] until the caller has shown it every config that it asks for.
//!
//! Read next: `graph.rs` for what comes out, `planner.rs` for the order of work, `draft.rs` for what a stage
//! accumulates; then one file per instruction family: `configure.rs`, `copy.rs`, `run.rs` with `mounts.rs`.
//! [`key`] has the cache keys, [`dump`] a text form of plans, [`survey`] what checks and outlines need.

mod arguments;
mod configure;
mod copy;
mod draft;
pub mod dump;
mod environment;
mod expose;
mod file_mode;
mod go_format;
mod graph;
mod images;
pub mod key;
mod mounts;
mod path;
mod planner;
mod reach;
pub mod remote;
mod resolve;
mod run;
mod signal;
mod step_name;
pub mod survey;

pub use graph::*;
pub use images::{Images, Outcome};
pub use planner::{errors, plan};
