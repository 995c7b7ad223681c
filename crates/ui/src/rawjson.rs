//! JSON lines for programs, in the form of `docker buildx build --progress=rawjson`: each line a status message with
//! `vertexes`, `statuses`, `logs` or `warnings`.
//!
//! Source: BuildKit `client/graph.go` (SolveStatus). The digest of a vertex names it and nothing more.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jettison_engine::event::{Event, Finding, Stream, TaskId, Verdict, Weight};
use jettison_oci::{Digest, time};
use serde_json::{Value, json};

use crate::model::{Remark, State, Status};

/// Turns events into JSON lines.
#[derive(Clone, Debug)]
pub struct RawJson {
    state: State,
    /// Wall clock at time zero of the view, since 1970.
    epoch: Duration,
}

impl RawJson {
    /// The log of what happens to `state` from now on, in a view whose clock began at `epoch` after 1970.
    pub fn new(state: State, epoch: Duration) -> Self {
        Self { state, epoch }
    }

    /// What has happened so far.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The line that `event` at time `now` adds, ended.
    pub fn line(&mut self, event: &Event, now: Duration) -> String {
        let remarks = self.state.remarks().len();
        self.state.apply(event, now);
        let value = match event {
            Event::Planned { tasks } => {
                json!({"vertexes": (0..tasks.len()).map(|task| self.vertex(task, now)).collect::<Vec<_>>()})
            }
            Event::TaskAdded { task, .. }
            | Event::Started { task }
            | Event::Finished { task, .. }
            | Event::Failed { task, .. }
            | Event::Canceled { task } => json!({"vertexes": [self.vertex(*task, now)]}),
            Event::Output { task, stream, bytes } => json!({"logs": [{
                "vertex": self.id(*task),
                "stream": match stream { Stream::Stdout => 1, Stream::Stderr => 2 },
                "data": STANDARD.encode(bytes),
                "timestamp": self.time(now),
            }]}),
            Event::Transfer { task, digest, done_bytes, total_bytes } => json!({"statuses": [{
                "id": digest.to_string(),
                "vertex": self.id(*task),
                "current": done_bytes,
                "total": total_bytes.unwrap_or(0),
                "timestamp": self.time(now),
            }]}),
            Event::Stories(_) => return String::new(),
            Event::Verdict { verdict, .. } => json!({"warnings": self.warnings(verdict)}),
            Event::Warning(_) | Event::Notice(_) => {
                let fresh = &self.state.remarks()[remarks..];
                let warning = |remark: &Remark| {
                    let level = u8::from(remark.warning);
                    json!({"level": level, "short": STANDARD.encode(&remark.text)})
                };
                json!({"warnings": fresh.iter().map(warning).collect::<Vec<_>>()})
            }
        };
        format!("{value}\n")
    }

    /// Reasons of a verdict as warnings, those that keep the image from starting first.
    fn warnings(&self, verdict: &Verdict) -> Vec<Value> {
        let findings = verdict.findings.iter().filter(|finding| finding.weight > Weight::Note);
        let warning = |finding: &Finding| {
            let place = finding.span.map(|span| format!("{}: ", self.state.origin().place(span.start)));
            let text = format!("{}{}: {}", place.unwrap_or_default(), finding.rule, finding.message);
            let fixes: Vec<String> =
                finding.fixes.iter().map(|(how, text)| STANDARD.encode(format!("{how}: {text}"))).collect();
            json!({"level": 1, "short": STANDARD.encode(text), "detail": fixes})
        };
        findings.map(warning).collect()
    }

    fn vertex(&self, task: TaskId, now: Duration) -> Value {
        let name = self.state.tasks().get(task).map_or("", |task| task.name.as_str());
        let status = self.state.tasks().get(task).map_or(Status::Waiting, |task| task.status);
        let mut vertex = json!({"digest": self.id(task), "name": name});
        let ended = |elapsed: Duration| {
            [("started", self.time(now.saturating_sub(elapsed))), ("completed", self.time(now))]
        };
        match status {
            Status::Waiting => {}
            Status::Running { since } => vertex["started"] = self.time(since).into(),
            Status::Done { elapsed, .. } | Status::Failed { elapsed } | Status::Canceled { elapsed } => {
                for (key, value) in ended(elapsed) {
                    vertex[key] = value.into();
                }
            }
        }
        match status {
            Status::Done { cached: true, .. } => vertex["cached"] = true.into(),
            Status::Failed { .. } => vertex["error"] = "failed".into(),
            Status::Canceled { .. } => vertex["error"] = "canceled".into(),
            _ => {}
        }
        vertex
    }

    fn id(&self, task: TaskId) -> String {
        let name = self.state.tasks().get(task).map_or("", |task| task.name.as_str());
        Digest::sha256(format!("{task} {name}").as_bytes()).to_string()
    }

    /// RFC 3339 with nanoseconds.
    fn time(&self, now: Duration) -> String {
        let wall = self.epoch + now;
        let seconds = time::rfc3339(i64::try_from(wall.as_secs()).unwrap_or(i64::MAX));
        format!("{}.{:09}Z", seconds.trim_end_matches('Z'), wall.subsec_nanos())
    }
}
