//! What is kept of the last build, for people who ask later: what became of each step and why, when each task ran,
//! what the start-proof said. Plain values, kept as JSON; `why.rs` and `page/` show them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use jettison_engine::event::{Event, Fate, Outcome, TaskId, Verdict, Weight};
use jettison_oci::Platform;
use serde::{Deserialize, Serialize};

use crate::Origin;

/// Most tasks that are kept.
const TASKS_MAX: usize = 5000;

/// A build that is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The Dockerfile as people call it.
    pub dockerfile: String,
    /// Names that the image got.
    pub names: Vec<String>,
    /// When it began, seconds since 1970.
    pub started_s: u64,
    /// How long it took, milliseconds.
    pub elapsed_ms: u64,
    /// Whether it ended well.
    pub succeeded: bool,
    /// Processors of the machine.
    pub cores: usize,
    /// Digest of the image, if there is one.
    pub digest: Option<String>,
    /// Bytes of its layers, unpacked.
    pub bytes: u64,
    /// Bytes to pull.
    pub pull_bytes: u64,
    /// The largest stage that stayed behind: its name and bytes.
    pub left_behind: Option<(String, u64)>,
    /// The images of an index, in its order; none for an image.
    #[serde(default)]
    pub platforms: Vec<PlatformImage>,
    /// The steps, in the order of the plan.
    pub steps: Vec<Step>,
    /// Everything that took time, steps first.
    pub tasks: Vec<Bar>,
    /// What the start-proof said.
    pub verdicts: Vec<Proof>,
    /// Where the bytes are, of the image and of what stays behind; empty if nobody measured.
    #[serde(default)]
    pub areas: Vec<Area>,
}

/// One image of an index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformImage {
    /// `linux/amd64`
    pub platform: String,
    /// Digest of its manifest.
    pub digest: String,
    /// Bytes of its layers, unpacked.
    pub bytes: u64,
    /// Bytes to pull.
    pub pull_bytes: u64,
    /// The largest stage that stayed behind: its name and bytes.
    pub left_behind: Option<(String, u64)>,
}

/// Where the bytes of an image or a stage are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Area {
    /// What it is called.
    pub name: String,
    /// Whether it is the image; else a stage that stays behind.
    pub is_image: bool,
    /// The platform that it was built for.
    #[serde(default)]
    pub platform: String,
    /// Folders and files with their bytes, the largest first.
    pub folders: Vec<(String, u64)>,
}

/// A step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What people see: `[build 2/4] RUN go build`.
    pub name: String,
    /// The stage that it belongs to.
    pub stage: String,
    /// Positions of the steps that it stands on or reads from.
    pub needs: Vec<usize>,
    /// `Dockerfile:4`
    pub place: String,
    /// `ran`, `cached`, `failed`, `not-needed`.
    pub fate: String,
    /// Why it ran.
    pub causes: Vec<Reason>,
}

/// Why a step ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable name, see the engine's `event::Cause`.
    pub kind: String,
    /// What changed.
    pub what: String,
    /// Its value in the last build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its value in this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// All of it, as a sentence.
    pub text: String,
}

/// When a task ran, milliseconds from the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bar {
    /// What people see.
    pub name: String,
    /// Its beginning; `None` if it never began.
    pub start_ms: Option<u64>,
    /// Its end.
    pub end_ms: Option<u64>,
    /// `ran`, `cached`, `failed`, `canceled`, or empty.
    pub end: String,
}

/// What the start-proof said of one platform.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// `linux/amd64`
    #[serde(default)]
    pub platform: String,
    /// `starts`, `unsure`, `cannot-start`.
    pub outcome: String,
    /// What starts.
    pub program: String,
    /// Findings, the gravest first.
    pub findings: Vec<Found>,
}

/// One finding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// `error`, `warning`, `note`.
    pub weight: String,
    /// Stable name of the rule.
    pub rule: String,
    /// One sentence.
    pub message: String,
    /// `Dockerfile:4`, if there is a place.
    pub place: Option<String>,
    /// Ways out: what each does, and text to paste.
    pub fixes: Vec<(String, String)>,
}

/// Takes the events of a build.
#[derive(Debug)]
pub struct Recorder {
    start: Instant,
    origin: Origin,
    record: Mutex<Record>,
}

impl Recorder {
    /// A build begins now.
    pub fn start(origin: Origin) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let record = Record {
            dockerfile: origin.name.clone(),
            started_s: now.as_secs(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            ..Record::default()
        };
        Self { start: Instant::now(), origin, record: Mutex::new(record) }
    }

    /// Takes an event.
    pub fn note(&self, event: &Event) {
        let now = milliseconds(self.start.elapsed());
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Planned { tasks } => {
                record.tasks = tasks.iter().take(TASKS_MAX).map(|name| bar(name)).collect();
            }
            Event::TaskAdded { task, name } if *task < TASKS_MAX => {
                let length = record.tasks.len().max(task + 1);
                record.tasks.resize(length, Bar::default());
                record.tasks[*task] = bar(name);
            }
            Event::Started { task } => change(&mut record, *task, |bar| bar.start_ms = Some(now)),
            Event::Finished { task, cached, .. } => {
                let end = if *cached { "cached" } else { "ran" };
                change(&mut record, *task, |bar| (bar.end_ms, bar.end) = (Some(now), end.to_owned()));
            }
            Event::Failed { task, .. } => {
                change(&mut record, *task, |bar| (bar.end_ms, bar.end) = (Some(now), "failed".to_owned()));
            }
            Event::Canceled { task } => {
                change(&mut record, *task, |bar| (bar.end_ms, bar.end) = (Some(now), "canceled".to_owned()));
            }
            Event::Verdict { platform, verdict } => {
                let proof = self.proof(platform, verdict);
                record.verdicts.push(proof);
            }
            Event::Stories(stories) => {
                record.steps = stories
                    .iter()
                    .take(TASKS_MAX)
                    .map(|story| Step {
                        name: story.name.clone(),
                        stage: story.stage.clone(),
                        needs: story.needs.clone(),
                        place: self.origin.place(story.span.start),
                        fate: match story.fate {
                            Fate::Ran => "ran",
                            Fate::Cached => "cached",
                            Fate::Failed => "failed",
                            Fate::NotNeeded => "not-needed",
                        }
                        .to_owned(),
                        causes: story
                            .causes
                            .iter()
                            .map(|cause| Reason {
                                kind: cause.kind.to_owned(),
                                what: cause.what.clone(),
                                from: cause.from.clone(),
                                to: cause.to.clone(),
                                text: cause.to_string(),
                            })
                            .collect(),
                    })
                    .collect();
                // Without the values of variables, which a name may hold in a running view.
                for story in stories {
                    change(&mut record, story.task, |bar| bar.name.clone_from(&story.name));
                }
            }
            _ => {}
        }
    }

    /// What is known so far; the end is now.
    pub fn record(&self) -> Record {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Record { elapsed_ms: milliseconds(self.start.elapsed()), ..record }
    }

    fn proof(&self, platform: &Platform, verdict: &Verdict) -> Proof {
        Proof {
            platform: platform.to_string(),
            outcome: match verdict.outcome {
                Outcome::Starts => "starts",
                Outcome::Unsure => "unsure",
                Outcome::CannotStart => "cannot-start",
            }
            .to_owned(),
            program: verdict.program.clone(),
            findings: verdict
                .findings
                .iter()
                .map(|finding| Found {
                    weight: match finding.weight {
                        Weight::Error => "error",
                        Weight::Warning => "warning",
                        Weight::Note => "note",
                    }
                    .to_owned(),
                    rule: finding.rule.clone(),
                    message: finding.message.clone(),
                    place: finding.span.map(|span| self.origin.place(span.start)),
                    fixes: finding.fixes.clone(),
                })
                .collect(),
        }
    }
}

fn bar(name: &str) -> Bar {
    Bar { name: name.to_owned(), ..Bar::default() }
}

fn change(record: &mut Record, task: TaskId, how: impl FnOnce(&mut Bar)) {
    if let Some(bar) = record.tasks.get_mut(task) {
        how(bar);
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
