//! Carry out a plan: schedule, steps, cache, assemble, outputs.
//!
//! [`build()`] is the story of a build; start there. [`Images`] gets images from names and brings them in and out of
//! registries, [`load()`] and [`write_tar`] do so for archives. What happens is told in [`event::Event`]s; nothing here
//! prints, asks the environment or ends the process.

mod assemble;
mod attest;
mod build;
mod cancel;
mod candidate;
mod checks;
mod context;
mod demand;
mod encode;
mod error;
pub mod event;
pub mod fetch;
mod filesystem;
mod finish;
mod images;
mod kept;
mod keys;
mod load;
pub mod network_files;
mod origin;
mod output;
mod ownership;
mod parts;
mod pipe;
mod prepare;
mod pull;
mod push;
mod regular_file;
mod remote;
mod request;
mod schedule;
mod source_policy;
mod step;
mod tasks;
mod why;

pub use attest::{Attestations, Lister, Provenance, Slsa};
pub use build::build;
pub use cancel::{Cancel, Guard};
pub use candidate::{Candidate, Files, Inspection, Inspector, Instruction};
pub use checks::{Checked, check};
pub use error::Error;
pub use images::{Image, Images};
pub use kept::{World, kept};
pub use load::{Loaded, load, load_folder};
pub use origin::{Bringer, Origin};
pub use output::archive::{ArchiveImage, write_folder, write_tar};
pub use output::write_atomically;
pub use parts::{Chain, LeftBehind, Part, left_behind};
pub use pull::Progress;
pub use request::{
    Allow, Annotation, AnnotationPlace, ArchiveFormat, BuildOutcome, BuildRequest, BuiltImage, ContextSource,
    Destination, DigestName, DockerfileSource, LayerCompression, Output, Secret,
};
pub use source_policy::SourcePolicy;
