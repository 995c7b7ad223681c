//! What is in an image, decided from its files alone: will it start, where are its bytes.
//!
//! [`prove`] is the start-proof: a pure decision over a [`Tree`] (the merged files), the config and the platform.
//! `tree/` has the trees and how paths are resolved in them, `elf/` reads executables, `loader/` finds shared libraries
//! as glibc and musl do, `proof/` has one file per family of rules. `size.rs` counts bytes, `brought/` those that a build added, `diff/` compares two images,
//! `sbom/` lists packages.
//! Everything here comes from strangers: each path is resolved inside the root, each size and each loop has a limit.

pub mod brought;
pub mod diff;
pub mod elf;
pub mod loader;
pub mod proof;
pub mod sbom;
pub mod size;
pub mod tree;

pub use proof::{
    Finding, Fix, Image, Provenance, Report, Severity, Source, Subject, Verdict, needs_files, prove,
};
pub use tree::{Directory, Identity, LayerTree, MemoryTree, Node, NodeKind, Tree, View};
