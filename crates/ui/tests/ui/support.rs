//! Events for tests, and frames as text.

use std::time::Duration;

use jettison_engine::event::{Event, Stream, TaskId};
use jettison_oci::Digest;
use jettison_ui::{Line, Size, State};

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn planned(names: &[&str]) -> Event {
    Event::Planned { tasks: names.iter().map(|name| (*name).to_owned()).collect() }
}

pub(crate) fn added(task: TaskId, name: &str) -> Event {
    Event::TaskAdded { task, name: name.to_owned() }
}

pub(crate) fn started(task: TaskId) -> Event {
    Event::Started { task }
}

pub(crate) fn done(task: TaskId, elapsed_ms: u64) -> Event {
    Event::Finished { task, elapsed: ms(elapsed_ms), cached: false }
}

pub(crate) fn cached(task: TaskId) -> Event {
    Event::Finished { task, elapsed: Duration::ZERO, cached: true }
}

pub(crate) fn output(task: TaskId, text: &str) -> Event {
    Event::Output { task, stream: Stream::Stdout, bytes: text.as_bytes().to_vec() }
}

pub(crate) fn transfer(task: TaskId, blob: &str, done_bytes: u64, total_bytes: Option<u64>) -> Event {
    Event::Transfer { task, digest: Digest::sha256(blob.as_bytes()), done_bytes, total_bytes }
}

/// A model after events, each at its time in milliseconds.
pub(crate) fn state(events: &[(u64, Event)]) -> State {
    let mut state = State::default();
    for (at, event) in events {
        state.apply(event, ms(*at));
    }
    state
}

pub(crate) const SIZE: Size = Size { columns: 60, rows: 24 };

pub(crate) fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| line.plain().trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
