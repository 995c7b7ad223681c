//! Run one process in isolation; the only crate with unsafe code.
//!
//! A [`Spec`] (plain data) is handed to a copy of a re-executed copy of our own program, which is single-threaded and so may
//! unshare namespaces, fork, mount and drop privileges; it becomes the parent of the step's pid 1. Nothing is ever
//! mounted where the host could see it, and nothing is left running when our process ends, however it ends.
//!
//! | file | what |
//! |---|---|
//! | `spec.rs` | the input: what to run, in which world |
//! | `spawn.rs`, `protocol.rs` | our side: start the child, talk with it, wait, kill |
//! | `launcher.rs` | what the child is a copy of, made ahead, so that a step waits for no fork and no exec |
//! | `child/` | the other side, one file per concern, in the order in which it happens |
//! | `stubs.rs` | mount points that had to be made, and how they disappear again |
//! | `user_namespace.rs`, `id_ranges.rs` | becoming root of an own user namespace at start-up |
//! | `probe.rs` | what this machine permits, and what would lift a limit |
//! | `control_groups/` | limits that the processes of a step have together |
//! | `emulation.rs` | programs of other architectures |
//! | `overlay.rs`, `mounts.rs` | detached overlays and the calls beneath |
//! | `in_root.rs`, `tree.rs` | walking and making paths in a hostile root; removing trees without leaving them |
//! | `sys.rs` | all unsafe code: system calls that no safe wrapper covers |
//!
//! Needs Linux 5.12 (mount_setattr).

mod child;
mod control_groups;
mod emulation;
mod error;
mod executable;
mod id_ranges;
mod in_root;
mod launcher;
mod mounts;
pub mod overlay;
mod probe;
mod protocol;
mod spawn;
mod spec;
mod stubs;
#[warn(clippy::undocumented_unsafe_blocks)]
#[allow(unsafe_code, reason = "system calls that no safe wrapper covers; every block says why it is sound")]
mod sys;
pub mod tree;
mod user_namespace;

pub use control_groups::{ControlGroup, ControlGroups, Controller, Missing, Resources};
pub use emulation::{Emulation, emulation};
pub use error::{Errno, Error};
pub use probe::{Probe, Tier, probe};
pub use spawn::{Child, Exit, Killer, init, spawn, spawn_in};
pub use spec::{DEFAULT_HOSTNAME, Limit, Mount, MountKind, Network, Root, Security, Source, Spec, Stdio};
pub use user_namespace::{Entered, enter, enter_for};

/// Whether there is a resource limit of this name (docker's `--ulimit`).
pub fn is_limit(name: &str) -> bool {
    child::limits::is_known(name)
}
