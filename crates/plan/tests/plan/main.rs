//! What becomes of a Dockerfile: one file per part of the language, snapshots of whole plans, configs and errors.

mod arguments;
mod configure;
mod copy;
mod errors;
mod keys;
mod lint;
mod mounts;
mod never_panics;
mod onbuild;
mod outline;
mod run;
mod stages;
mod support;
