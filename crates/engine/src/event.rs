//! What the engine tells while it works: one closed enum. Who shows it, and how, is not known here.

use std::time::Duration;

use jettison_dockerfile::Diagnostic;
use jettison_oci::{Digest, Platform};

/// A place in the Dockerfile.
pub use jettison_dockerfile::Span;

/// Identifies a row of the progress view: a step, a pull, an export.
pub type TaskId = usize;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The plan is known. Every later `task` of a step is an index into these names.
    Planned {
        /// Names of all tasks known so far, in order.
        tasks: Vec<String>,
    },
    /// A task that was not in the plan (pull, export, push) was added; its id is the next free one.
    TaskAdded {
        /// Its id.
        task: TaskId,
        /// What people see.
        name: String,
    },
    /// A task began.
    Started {
        /// Which.
        task: TaskId,
    },
    /// A task ended well.
    Finished {
        /// Which.
        task: TaskId,
        /// How long it took.
        elapsed: Duration,
        /// Whether the result came from the cache.
        cached: bool,
    },
    /// A task failed; the build ends with an error that says why.
    Failed {
        /// Which.
        task: TaskId,
        /// How long it took.
        elapsed: Duration,
    },
    /// A task was given up because another failed or the user interrupted.
    Canceled {
        /// Which.
        task: TaskId,
    },
    /// A running process wrote something (raw bytes, any cut).
    Output {
        /// Which task.
        task: TaskId,
        /// Standard output or standard error.
        stream: Stream,
        /// What.
        bytes: Vec<u8>,
    },
    /// A transfer moved on.
    Transfer {
        /// Which task.
        task: TaskId,
        /// Which blob.
        digest: Digest,
        /// Bytes so far.
        done_bytes: u64,
        /// Bytes in all, if known.
        total_bytes: Option<u64>,
    },
    /// A remark with a place in the Dockerfile.
    Warning(Diagnostic),
    /// A remark without a place: one line.
    Notice(String),
    /// Whether the image starts: said once, when it is put together and has no name yet.
    Verdict {
        /// The platform that the image is for.
        platform: Platform,
        /// The answer.
        verdict: Verdict,
    },
    /// What became of each step and why, once it is over, well or not.
    Stories(Vec<Story>),
}

/// What became of a step, and why it ran if it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// Its row.
    pub task: TaskId,
    /// What people see: `[build 2/4] RUN go build`.
    pub name: String,
    /// The stage that it belongs to.
    pub stage: String,
    /// The steps that it stands on or reads from.
    pub needs: Vec<TaskId>,
    /// Its instruction.
    pub span: Span,
    /// What became of it.
    pub fate: Fate,
    /// Why it ran, the gravest first.
    pub causes: Vec<Cause>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It ran.
    Ran,
    /// The cache answered.
    Cached,
    /// It failed, or was given up.
    Failed,
    /// Nobody asked for it: what stands on it came from the cache, or the build ended before.
    NotNeeded,
}

/// A reason why a step ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Stable name: `file`, `variable`, `instruction`, `base-image`, `content`, `setting`, `step-before`, `no-cache`,
    /// `first`, `new`, `gone`, `more`, `unknown`.
    pub kind: &'static str,
    /// What changed, in a few words.
    pub what: String,
    /// Its value in the last build.
    pub from: Option<String>,
    /// Its value now.
    pub to: Option<String>,
}

impl Cause {
    /// One without values.
    pub(crate) fn plain(kind: &'static str, what: &str) -> Self {
        Self { kind, what: what.to_owned(), from: None, to: None }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let or_nothing = |value: &Option<String>| match value.as_deref() {
            None | Some("") => "(nothing)".to_owned(),
            Some(value) => value.to_owned(),
        };
        match (&self.from, &self.to) {
            (None, None) => f.write_str(&self.what),
            (from, to) => write!(f, "{}: {} → {}", self.what, or_nothing(from), or_nothing(to)),
        }
    }
}

/// Whether an image starts. Made by whoever inspects images (see `candidate.rs`); the engine only carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The answer.
    pub outcome: Outcome,
    /// What starts, in a few words: `/myserver (static)`.
    pub program: String,
    /// Why, the gravest first.
    pub findings: Vec<Finding>,
}

/// The three answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It starts.
    Starts,
    /// It cannot be sure.
    Unsure,
    /// It cannot start.
    CannotStart,
}

/// One reason of a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it weighs.
    pub weight: Weight,
    /// Stable name of the rule.
    pub rule: String,
    /// One sentence.
    pub message: String,
    /// The instruction at fault.
    pub span: Option<Span>,
    /// Ways out: what each does, and text to paste.
    pub fixes: Vec<(String, String)>,
}

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// For information.
    Note,
    /// It cannot be sure.
    Warning,
    /// It cannot start.
    Error,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words of Unix")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Receives events; called from any thread.
pub trait Sink: Sync {
    /// Takes one event.
    fn emit(&self, event: Event);
}

impl<F: Fn(Event) + Sync> Sink for F {
    fn emit(&self, event: Event) {
        self(event);
    }
}
