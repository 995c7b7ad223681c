//! What the engine tells, made visible: a live view for terminals, plain text, JSON lines; sizes and tables for people.
//!
//! One model (`model.rs`) takes every event; the views read it. Frames are pure values of model, size and time, so
//! that they can be snapshot-tested; only `view.rs` has a clock, a thread and a writer, and it writes to what it is
//! given.
//!
//! Read next: [`View`] to show a build, `frame.rs` for what a terminal shows, `plain.rs` and `rawjson.rs` for the rest.

pub mod bytes;
mod clean;
mod frame;
mod line;
mod lines;
mod model;
mod page;
mod painter;
mod plain;
mod rawjson;
pub mod record;
mod summary;
pub mod table;
mod verdict;
mod view;
mod why;

pub use frame::{Size, final_frame, frame};
pub use line::{Line, Segment, Tone};
pub use model::{Origin, State, Status, Task};
pub use page::page;
pub use painter::RESTORE;
pub use plain::Plain;
pub use rawjson::RawJson;
pub use summary::{cut_instruction, pull_time, summary};
pub use verdict::verdict;
pub use view::{Mode, Screen, View};
pub use why::{chosen, why};
