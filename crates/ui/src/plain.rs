//! Plain text: one line per happening, each with the number of its task. For logs and pipes.
//!
//! `#3 [build 2/4] RUN make`, `#3 0.123 output`, `#3 DONE 1.2s`. Source of the form: BuildKit
//! `util/progress/progressui/printer.go`; unlike there every line has its number, and no output is cut.

use std::time::Duration;

use jettison_engine::event::{Event, TaskId};

use crate::bytes::for_people;
use crate::clean::{self, Colour};
use crate::model::{State, Status};

/// Between two lines about one task's transfers.
const TRANSFER_INTERVAL: Duration = Duration::from_secs(5);

/// Turns events into lines.
#[derive(Clone, Debug, Default)]
pub struct Plain {
    state: State,
    colour: bool,
    /// When each task's transfers were last reported.
    reported: Vec<Duration>,
    remarks_shown: usize,
}

impl Plain {
    /// The log of what happens to `state` from now on. `colour`: whether colours in the output of programs stay.
    pub fn new(state: State, colour: bool) -> Self {
        Self { state, colour, ..Self::default() }
    }

    /// What has happened so far.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The lines that `event` at time `now` adds, each ended.
    pub fn lines(&mut self, event: &Event, now: Duration) -> String {
        let output = self.state.apply(event, now);
        let mut lines = Vec::new();
        match event {
            Event::Started { task } => lines.push(format!("{} {}", number(*task), self.name(*task))),
            Event::Output { task, .. } => lines.extend(self.output(*task, &output, now)),
            Event::Finished { task, .. } | Event::Failed { task, .. } | Event::Canceled { task } => {
                lines.extend(self.output(*task, &output, now));
                lines.push(format!("{} {}", number(*task), self.ending(*task)));
            }
            Event::Transfer { task, .. } => lines.extend(self.transfers(*task, now)),
            Event::Planned { .. }
            | Event::TaskAdded { .. }
            | Event::Warning(_)
            | Event::Notice(_)
            | Event::Verdict { .. }
            | Event::Stories(_) => {}
        }
        for remark in &self.state.remarks()[self.remarks_shown..] {
            lines.push(if remark.warning {
                format!("warning: {}", remark.text)
            } else {
                remark.text.clone()
            });
        }
        self.remarks_shown = self.state.remarks().len();
        lines.iter().map(|line| line.trim_end()).flat_map(|line| [line, "\n"]).collect()
    }

    fn name(&self, task: TaskId) -> &str {
        self.state.tasks().get(task).map_or("", |task| task.name.as_str())
    }

    fn output(&self, task: TaskId, lines: &[String], now: Duration) -> Vec<String> {
        let since = match self.state.tasks().get(task).map(|task| task.status) {
            Some(Status::Running { since }) => now.saturating_sub(since),
            Some(
                Status::Done { elapsed, .. } | Status::Failed { elapsed } | Status::Canceled { elapsed },
            ) => elapsed,
            Some(Status::Waiting) | None => Duration::ZERO,
        };
        let colour = if self.colour { Colour::Keep } else { Colour::Drop };
        let line = |line: &String| {
            format!("{} {:.3} {}", number(task), since.as_secs_f64(), clean::line(line, colour))
        };
        lines.iter().map(line).collect()
    }

    fn ending(&self, task: TaskId) -> String {
        match self.state.tasks()[task].status {
            Status::Done { cached: true, .. } => "CACHED".to_owned(),
            Status::Done { elapsed, .. } => format!("DONE {:.1}s", elapsed.as_secs_f64()),
            Status::Failed { elapsed } => format!("ERROR {:.1}s", elapsed.as_secs_f64()),
            Status::Canceled { .. } | Status::Waiting | Status::Running { .. } => "CANCELED".to_owned(),
        }
    }

    /// How far the transfers of a task are, now and then, and when all are complete.
    fn transfers(&mut self, task: TaskId, now: Duration) -> Option<String> {
        let (done, total) = self.state.tasks()[task].transferred()?;
        let complete = self.state.tasks()[task].transfers.iter().all(crate::model::Transfer::is_complete);
        if self.reported.len() <= task {
            self.reported.resize(task + 1, now);
        }
        if !complete && now.saturating_sub(self.reported[task]) < TRANSFER_INTERVAL {
            return None;
        }
        self.reported[task] = now;
        let total = total.filter(|_| !complete).map(|total| format!(" / {}", for_people(total)));
        Some(format!("{} {}{}", number(task), for_people(done), total.unwrap_or_default()))
    }
}

/// People count from one.
fn number(task: TaskId) -> String {
    format!("#{}", task + 1)
}
