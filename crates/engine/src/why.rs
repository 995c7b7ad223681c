//! Why each step ran: what it depends on, written down, and compared with the last build of the same Dockerfile.
//!
//! A key says that something changed, not what. So the inputs of each step that ran are kept beside its key, as labels
//! with short values (digests and modes of files, values of variables, the base), and every build keeps which step had
//! which key. Nothing here decides anything: a record that is missing or damaged makes for a poorer explanation only.
//! The format is in `docs/formats/store.md`.

mod compare;
mod inputs;

pub(crate) use inputs::Listing;

use std::collections::BTreeMap;
use std::sync::PoisonError;

use jettison_oci::Digest;
use jettison_plan::{Fs, StepId};
use serde::{Deserialize, Serialize};

use crate::build::Build;
use crate::demand;
use crate::event::{Cause, Event, Fate, Story};
use crate::request::ContextSource;

/// Largest text of one step's inputs, bytes.
const INPUTS_BYTES_MAX: usize = 256 << 10;
/// Most steps of a build that are remembered.
const STEPS_MAX: usize = 2000;

/// What a step depends on, by label.
type Inputs = BTreeMap<String, String>;

/// A step of an earlier build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Earlier {
    stage: String,
    /// The instruction as it is written.
    text: String,
    /// Its position in its stage.
    position: usize,
    key: Option<String>,
}

/// The instruction of an ONBUILD trigger, which stands in no Dockerfile here.
fn triggered(name: &str) -> String {
    name.split_once("] ").map_or(name, |(_, text)| text).to_owned()
}

fn inputs_memo(key: &str) -> String {
    format!("why inputs {key}")
}

/// Tells what became of each step and why, and remembers it for the next build.
pub(crate) fn tell(builds: &[Build<'_>]) {
    let mut stories = Vec::new();
    for build in builds {
        let identity = format!("why build {}", build.identity());
        let steps = build.earlier_form();
        let store = build.images.store;
        let known = store.memo(&identity).ok().flatten();
        let earlier: Option<Vec<Earlier>> = known.as_ref().and_then(|text| serde_json::from_str(text).ok());
        let mut memos = Vec::new();
        for (step, mine) in steps.iter().enumerate() {
            let fate = build.fate(step);
            let mut causes = Vec::new();
            if matches!(fate, Fate::Ran | Fate::Failed) {
                let inputs = build.inputs(step);
                causes = build.causes(step, mine, &inputs, earlier.as_deref());
                if let (Fate::Ran, Some(key)) = (fate, &mine.key) {
                    memos.push((inputs_memo(key), bounded(inputs)));
                }
            }
            stories.push(build.story(step, mine, fate, causes));
        }
        let text = serde_json::to_string(&steps).unwrap_or_default();
        // A build that failed half-way knows some keys only: the others stay what they were.
        if steps.len() <= STEPS_MAX
            && steps.iter().all(|step| step.key.is_some())
            && known.as_ref() != Some(&text)
        {
            memos.push((identity, text));
        }
        // Without them the next explanation is poorer, and nothing else.
        let _ = store.record_memos(&memos);
    }
    if let Some(build) = builds.first() {
        build.tasks.sink.emit(Event::Stories(stories));
    }
}

/// The text of inputs; of too many files the rest is left out.
fn bounded(mut inputs: Inputs) -> String {
    loop {
        let text = serde_json::to_string(&inputs).unwrap_or_default();
        if text.len() <= INPUTS_BYTES_MAX {
            return text;
        }
        let half = inputs.len() / 2;
        let last: Vec<String> =
            inputs.keys().skip(half).filter(|k| k.starts_with("file ")).cloned().collect();
        if last.is_empty() {
            return String::from("{}");
        }
        for label in last {
            inputs.remove(&label);
        }
        inputs.insert("files".to_owned(), "not all of them are remembered".to_owned());
    }
}

impl Build<'_> {
    /// What makes two builds the same one at different times.
    fn identity(&self) -> String {
        let request = self.request;
        let absolute = |path: &std::path::Path| {
            std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
        };
        let context = match &request.context {
            ContextSource::Folder(path) => absolute(path),
            ContextSource::Fetched(_) => "fetched".to_owned(),
            ContextSource::Empty => String::new(),
        };
        let file =
            request.dockerfile.path.as_deref().map_or_else(|| request.dockerfile.name.clone(), absolute);
        let target = request.plan.target.clone().unwrap_or_default();
        let text = format!("{:?}", (file, context, target, self.plan.platform.to_string()));
        Digest::sha256(text.as_bytes()).hex()
    }

    fn earlier_form(&self) -> Vec<Earlier> {
        let mut positions = BTreeMap::new();
        let steps = self.plan.steps.iter().enumerate();
        let form = steps.map(|(id, step)| {
            let position = positions.entry(step.stage).or_insert(0);
            *position += 1;
            Earlier {
                stage: self.stage_name(id),
                text: self.text(id),
                position: *position,
                key: self.progress(id).key.map(|key| key.to_string()),
            }
        });
        form.collect()
    }

    fn stage_name(&self, step: StepId) -> String {
        let stage = &self.plan.stages[self.plan.steps[step].stage];
        stage.name.clone().unwrap_or_else(|| format!("stage-{}", stage.index))
    }

    /// The instruction as it is written, on one line.
    fn text(&self, step: StepId) -> String {
        let step = &self.plan.steps[step];
        let text = self.request.dockerfile.text.get(step.span.start..step.span.end).unwrap_or_default();
        let text = String::from_utf8_lossy(text);
        let is_trigger = text.get(..4).is_some_and(|keyword| keyword.eq_ignore_ascii_case("from"));
        let text = if is_trigger { triggered(&step.name) } else { text.into_owned() };
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// `[build 2/4] RUN …` with the instruction as it is written: values of variables stay out.
    fn name(&self, step: StepId) -> String {
        let name = &self.plan.steps[step].name;
        match name.split_once("] ") {
            Some((numbers, _)) => format!("{numbers}] {}", self.text(step)),
            None => name.clone(),
        }
    }

    /// What became of a step.
    fn fate(&self, step: StepId) -> Fate {
        let fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        match fates.get(&step) {
            Some(fate) => *fate,
            None if self.progress(step).result.is_some() => Fate::Cached,
            None => Fate::NotNeeded,
        }
    }

    /// Notes what became of a step.
    pub(crate) fn note_fate(&self, step: StepId, fate: Fate) {
        self.fates.lock().unwrap_or_else(PoisonError::into_inner).insert(step, fate);
    }

    fn story(&self, step: StepId, mine: &Earlier, fate: Fate, causes: Vec<Cause>) -> Story {
        let mut needs = demand::sources(&self.plan, step);
        needs.push(self.plan.steps[step].input);
        let needs = needs.into_iter().filter_map(|fs| match fs {
            Fs::Step(step) => Some(self.task(step)),
            _ => None,
        });
        Story {
            task: self.task(step),
            name: self.name(step),
            stage: mine.stage.clone(),
            needs: needs.collect(),
            span: self.plan.steps[step].span,
            fate,
            causes,
        }
    }

    /// Why a step ran.
    fn causes(
        &self,
        step: StepId,
        mine: &Earlier,
        inputs: &Inputs,
        earlier: Option<&[Earlier]>,
    ) -> Vec<Cause> {
        if self.plan.steps[step].action.no_cache() {
            return vec![Cause::plain("no-cache", "--no-cache asks for it")];
        }
        let Some(earlier) = earlier else {
            return vec![Cause::plain("first", "no earlier build of this Dockerfile is known")];
        };
        let Some(old) = compare::closest(mine, earlier) else {
            return vec![Cause::plain("new", "the last build had no such step")];
        };
        if old.key == mine.key {
            let above = match self.plan.steps[step].input {
                Fs::Step(above) => matches!(self.fate(above), Fate::Ran),
                _ => false,
            };
            return vec![if above {
                Cause::plain("step-before", "the step before it ran again and may have left other files")
            } else {
                Cause::plain(
                    "gone",
                    "nothing that it reads has changed; its result is no longer in the store",
                )
            }];
        }
        let known = old.key.as_ref().and_then(|key| self.images.store.memo(&inputs_memo(key)).ok().flatten());
        let Some(old) = known.and_then(|text| serde_json::from_str::<Inputs>(&text).ok()) else {
            return vec![Cause::plain("unknown", "what it read the last time is not known any more")];
        };
        compare::causes(&old, inputs)
    }
}
