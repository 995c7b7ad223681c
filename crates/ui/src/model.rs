//! The model: what has happened so far, of each task. Every view feeds it every event and then reads it.

use std::collections::VecDeque;
use std::time::Duration;

use jettison_engine::event::{Event, Stream, TaskId};
use jettison_oci::Digest;

use crate::clean::{self, Colour};
use crate::lines::Lines;

/// Lines of output kept of each task for the live view.
const TAIL_LINES_MAX: usize = 16;

/// The Dockerfile that places refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// As people call it: `Dockerfile`, `docker/app.Dockerfile`, `-`.
    pub name: String,
    /// Its text, to find lines.
    pub text: String,
}

impl Origin {
    /// `Dockerfile:3` for a byte offset.
    pub(crate) fn place(&self, offset: usize) -> String {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = before.split(|byte| *byte == b'\n').count();
        format!("{}:{line}", self.name)
    }
}

/// How far a task is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Not begun.
    #[default]
    Waiting,
    /// Begun at this time of the view's clock.
    Running {
        /// When.
        since: Duration,
    },
    /// Ended well.
    Done {
        /// How long it took.
        elapsed: Duration,
        /// Whether the cache had the result.
        cached: bool,
    },
    /// Failed.
    Failed {
        /// How long it took.
        elapsed: Duration,
    },
    /// Given up.
    Canceled {
        /// How long it had taken.
        elapsed: Duration,
    },
}

impl Status {
    /// Whether nothing more will happen.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running { .. })
    }
}

/// The transfer of one blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Which blob.
    pub digest: Digest,
    /// Bytes so far.
    pub done_bytes: u64,
    /// Bytes in all.
    pub total_bytes: Option<u64>,
}

impl Transfer {
    /// Whether all has arrived.
    pub fn is_complete(&self) -> bool {
        self.total_bytes.is_some_and(|total| self.done_bytes >= total)
    }
}

/// A row of the view.
#[derive(Clone, Debug, Default)]
pub struct Task {
    /// What people see, without control characters.
    pub name: String,
    /// How far it is.
    pub status: Status,
    /// Its transfers, in the order in which they began.
    pub transfers: Vec<Transfer>,
    tail: VecDeque<String>,
    stdout: Lines,
    stderr: Lines,
}

impl Task {
    fn named(name: &str) -> Self {
        Self { name: clean::line(&name.replace(['\n', '\r'], " "), Colour::Drop), ..Self::default() }
    }

    /// The last lines of output, at most `count`, the unfinished one included.
    pub fn tail(&self, count: usize) -> Vec<String> {
        let unfinished = [&self.stdout, &self.stderr].into_iter().filter_map(Lines::unfinished);
        let mut lines: Vec<String> = self
            .tail
            .iter()
            .cloned()
            .chain(unfinished)
            .map(|line| clean::line(&line, Colour::Drop))
            .filter(|line| !line.trim().is_empty())
            .collect();
        lines.drain(..lines.len().saturating_sub(count));
        lines
    }

    /// Bytes done and bytes in all of its transfers; no total as long as one is unknown.
    pub fn transferred(&self) -> Option<(u64, Option<u64>)> {
        if self.transfers.is_empty() {
            return None;
        }
        let sum = |sum: u64, bytes: u64| sum.saturating_add(bytes);
        let done = self.transfers.iter().map(|transfer| transfer.done_bytes).fold(0, sum);
        let total =
            self.transfers.iter().try_fold(0, |total, transfer| Some(sum(total, transfer.total_bytes?)));
        Some((done, total))
    }

    /// When it began, if it is running.
    fn since(&self) -> Option<Duration> {
        match self.status {
            Status::Running { since } => Some(since),
            _ => None,
        }
    }
}

/// A remark: a warning with its place, or a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Whether it is a warning.
    pub warning: bool,
    /// One line.
    pub text: String,
}

/// Everything that has happened.
#[derive(Clone, Debug)]
pub struct State {
    title: String,
    origin: Origin,
    tasks: Vec<Task>,
    started: Vec<TaskId>,
    remarks: Vec<Remark>,
}

impl Default for State {
    /// A build without a Dockerfile at hand.
    fn default() -> Self {
        Self::new("Building", Origin::default())
    }
}

impl State {
    /// Nothing has happened yet. `title` is what is being done, in one word: `Building`, `Pulling`.
    pub fn new(title: &str, origin: Origin) -> Self {
        let title = title.to_owned();
        Self { title, origin, tasks: Vec::new(), started: Vec::new(), remarks: Vec::new() }
    }

    /// What is being done.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// All tasks; positions are ids.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// The tasks that have begun, in that order.
    pub fn started(&self) -> impl DoubleEndedIterator<Item = &Task> {
        self.started.iter().map(|id| &self.tasks[*id])
    }

    /// The Dockerfile that places refer to.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Remarks so far.
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    /// Tasks that are over.
    pub fn over(&self) -> usize {
        self.tasks.iter().filter(|task| task.status.is_over()).count()
    }

    /// Whether something runs, so that times go on.
    pub fn is_running(&self) -> bool {
        self.tasks.iter().any(|task| matches!(task.status, Status::Running { .. }))
    }

    /// Takes an event at time `now` of the view's clock. Returns the lines of output that it completed, as they are.
    pub fn apply(&mut self, event: &Event, now: Duration) -> Vec<String> {
        match event {
            Event::Planned { tasks } => {
                for (id, name) in tasks.iter().enumerate() {
                    self.name(id, name);
                }
            }
            Event::TaskAdded { task, name } => self.name(*task, name),
            Event::Started { task } => {
                self.task(*task).status = Status::Running { since: now };
                if !self.started.contains(task) {
                    self.started.push(*task);
                }
            }
            Event::Finished { task, elapsed, cached } => {
                return self.end(*task, Status::Done { elapsed: *elapsed, cached: *cached });
            }
            Event::Failed { task, elapsed } => return self.end(*task, Status::Failed { elapsed: *elapsed }),
            Event::Canceled { task } => {
                let since = self.task(*task).since().unwrap_or(now);
                return self.end(*task, Status::Canceled { elapsed: now.saturating_sub(since) });
            }
            Event::Output { task, stream, bytes } => return self.output(*task, *stream, bytes),
            Event::Transfer { task, digest, done_bytes, total_bytes } => {
                self.transfer(*task, digest, *done_bytes, *total_bytes);
            }
            Event::Warning(diagnostic) => {
                let place = self.origin.place(diagnostic.span.start);
                self.remark(true, &format!("{place}: {}: {}", diagnostic.code, diagnostic.message));
            }
            Event::Notice(text) => self.remark(false, text),
            // Shown when all else has been said, or when somebody asks: see `verdict.rs`, `why.rs`.
            Event::Verdict { .. } | Event::Stories(_) => {}
        }
        Vec::new()
    }

    fn task(&mut self, id: TaskId) -> &mut Task {
        if id >= self.tasks.len() {
            self.tasks.resize_with(id + 1, Task::default);
        }
        &mut self.tasks[id]
    }

    fn name(&mut self, id: TaskId, name: &str) {
        let task = self.task(id);
        task.name = Task::named(name).name;
    }

    fn end(&mut self, id: TaskId, status: Status) -> Vec<String> {
        // A task can end without having begun (canceled while it waited): then it has no row.
        let task = self.task(id);
        task.status = status;
        let mut rest: Vec<String> = task.stdout.finish().into_iter().collect();
        rest.extend(task.stderr.finish());
        rest
    }

    fn output(&mut self, id: TaskId, stream: Stream, bytes: &[u8]) -> Vec<String> {
        let task = self.task(id);
        let lines = match stream {
            Stream::Stdout => task.stdout.push(bytes),
            Stream::Stderr => task.stderr.push(bytes),
        };
        let fresh = lines.len().saturating_sub(TAIL_LINES_MAX);
        task.tail.extend(lines[fresh..].iter().cloned());
        let surplus = task.tail.len().saturating_sub(TAIL_LINES_MAX);
        task.tail.drain(..surplus);
        lines
    }

    fn transfer(&mut self, id: TaskId, digest: &Digest, done_bytes: u64, total_bytes: Option<u64>) {
        let task = self.task(id);
        let now = Transfer { digest: digest.clone(), done_bytes, total_bytes };
        match task.transfers.iter_mut().find(|transfer| transfer.digest == *digest) {
            Some(known) => *known = now,
            None => task.transfers.push(now),
        }
    }

    fn remark(&mut self, warning: bool, text: &str) {
        let text = clean::line(&text.replace(['\n', '\r'], " "), Colour::Drop);
        self.remarks.push(Remark { warning, text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn places_are_lines() {
        let origin = Origin { name: "Dockerfile".into(), text: "FROM a\nRUN b\n".into() };
        assert_eq!(origin.place(0), "Dockerfile:1");
        assert_eq!(origin.place(7), "Dockerfile:2");
        assert_eq!(origin.place(99), "Dockerfile:3");
    }

    #[test]
    fn only_the_tail_of_output_is_kept() {
        let mut state = State::default();
        state.apply(&Event::Started { task: 0 }, SECOND);
        let bytes = (0..100).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let lines = state.apply(&Event::Output { task: 0, stream: Stream::Stdout, bytes }, SECOND);
        assert_eq!(lines.len(), 100);
        assert_eq!(state.tasks()[0].tail.len(), TAIL_LINES_MAX);
        assert_eq!(state.tasks()[0].tail(2), ["line 98", "line 99"]);
    }

    #[test]
    fn output_of_the_two_streams_is_not_mixed_within_a_line() {
        let mut state = State::default();
        let mut output = |stream, text: &str| {
            state.apply(&Event::Output { task: 0, stream, bytes: text.as_bytes().to_vec() }, SECOND)
        };
        assert!(output(Stream::Stdout, "out").is_empty());
        assert_eq!(output(Stream::Stderr, "err\n"), ["err"]);
        assert_eq!(output(Stream::Stdout, "put\n"), ["output"]);
    }

    #[test]
    fn the_end_of_a_task_ends_its_line() {
        let mut state = State::default();
        state.apply(&Event::Output { task: 3, stream: Stream::Stdout, bytes: b"no end".to_vec() }, SECOND);
        let rest = state.apply(&Event::Failed { task: 3, elapsed: SECOND }, SECOND);
        assert_eq!(rest, ["no end"]);
        assert_eq!(state.over(), 1);
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        let mut state = State::default();
        state.apply(&Event::Planned { tasks: vec!["RUN \u{1b}[2Ja\nb".into()] }, SECOND);
        state.apply(&Event::Notice("x\u{1b}]0;t\u{7}\ny".into()), SECOND);
        assert_eq!(state.tasks()[0].name, "RUN a b");
        assert_eq!(state.remarks()[0].text, "x y");
    }
}
