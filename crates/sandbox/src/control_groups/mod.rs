//! Control groups: limits that all processes of a step have together. A group for each step, made only if something is
//! limited, and removed with the step.
//!
//! | file | what |
//! |---|---|
//! | `settings.rs` | limits → files and values, for both versions of control groups (pure) |
//! | `hierarchy.rs` | which hierarchies are there, and where we are in them (pure) |
//! | `place.rs` | where groups for steps can be made, and why not |
//! | `group.rs` | one group: made, joined, asked, removed |

mod group;
mod hierarchy;
mod place;
mod settings;

pub use group::ControlGroup;
pub use place::{ControlGroups, Missing};
pub use settings::{Controller, Resources};
