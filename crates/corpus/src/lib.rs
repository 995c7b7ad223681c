//! The cases of `tests/dockerfiles`, and what a built image holds, as text that people read. For tests and xtask only.
//!
//! `case.rs` reads a case and lays its context out; `archive.rs` reads an image from the archive that `docker save`
//! writes; `tree.rs` stacks its layers; `show.rs` turns all of it into the text of `-- expected --`;
//! `busybox.rs` makes the base image. Nothing of the
//! builder is used here: what it wrote is read by somebody else's code, so that a fault cannot hide itself.

mod archive;
pub mod busybox;
mod case;
mod show;
mod tree;

pub use archive::{Entry, Image, Kind};
pub use case::{Case, Version, all};
pub use show::{Base, outcome};
pub use tree::{Node, Tree};
