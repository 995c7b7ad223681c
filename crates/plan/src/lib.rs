//! Instructions to a graph of steps, pruned to the target, with cache keys.
//!
//! Pure: a parsed Dockerfile, the caller's options and the configs of base images in; a [`Plan`] or a list of
//! diagnostics out. Which base images there are is only known while planning (an ONBUILD trigger may bring in more),
//! so [`plan`] answers [`Outcome::NeedsImages`] until the caller has shown it every config that it asks for.
//!
//! Read next: `graph.rs` for what comes out, [`key`] for cache keys, [`dump`] for a text form of plans.

pub mod dump;
mod graph;
mod images;
pub mod key;
mod planner;

pub use graph::*;
pub use images::{Images, Outcome};
pub use planner::plan;
