//! The order of work: which stages the target needs, then stage by stage, each instruction handed to the file of its
//! family (`configure.rs`, `copy.rs`, `run.rs`).
//!
//! A stage found to be needed only in the middle (through a variable or an ONBUILD trigger) makes everything start
//! over: stages must be planned in order, and planning costs next to nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jettison_dockerfile::{Diagnostic, Dockerfile, Kind, Span, parse_onbuild};
use jettison_oci::{ImageConfig, Platform, Reference};

use crate::arguments::Arguments;
use crate::draft::Draft;
use crate::environment::Expander;
use crate::graph::{
    Action, Copy, Fs, Image, ImageId, Options, Places, Plan, Source, Stage, StageId, Step, StepId,
};
use crate::images::{Images, Outcome};
use crate::reach::{self, reach};
use crate::resolve::{Base, Names, Target};
use crate::{path, step_name};

/// Plans the target of `file`.
///
/// # Errors
/// Everything that is wrong with the stages that the target needs, with places in the Dockerfile.
pub fn plan(file: &Dockerfile, options: &Options, images: &Images) -> Result<Outcome, Vec<Diagnostic>> {
    let platform = options.platform.clone().unwrap_or_else(Platform::host);
    let build_platform = options.build_platform.clone().unwrap_or_else(Platform::host);
    let mut errors = Vec::new();
    let arguments = Arguments::new(file, options, &platform, &build_platform, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let names = Names::new(file, options, &arguments, platform);
    let target = names.target().map_err(|error| vec![error])?;
    let mut wanted = reach(file, &names, target);
    loop {
        let mut planner = Planner::new(file, options, images, &arguments, &names, &wanted);
        for index in &wanted {
            planner.stage(*index);
        }
        if planner.discovered.is_empty() {
            return planner.finish();
        }
        let discovered = std::mem::take(&mut planner.discovered);
        for index in discovered {
            wanted.extend(reach(file, &names, index));
        }
    }
}

/// Everything that is wrong with any stage, needed or not, as far as the images in `images` tell. In stages on other
/// images only names, forms and FROM lines are looked at.
pub fn errors(file: &Dockerfile, options: &Options, images: &Images) -> Vec<Diagnostic> {
    let platform = options.platform.clone().unwrap_or_else(Platform::host);
    let build_platform = options.build_platform.clone().unwrap_or_else(Platform::host);
    let mut errors = Vec::new();
    let arguments = Arguments::new(file, options, &platform, &build_platform, &mut errors);
    let names = Names::new(file, options, &arguments, platform);
    if let Err(error) = names.target() {
        errors.push(error);
    }
    if !errors.is_empty() {
        return errors;
    }
    let all = (0..file.stages.len()).collect();
    let mut planner = Planner::new(file, options, images, &arguments, &names, &all);
    planner.only_errors = true;
    for index in &all {
        planner.stage(*index);
    }
    planner.errors.sort_by_key(|error| error.span);
    planner.errors
}

/// Of a plan with more stages only the target keeps config and history: copies of what each stage inherits would take
/// memory with the square of their number.
const DESCRIBED_STAGES_MAX: usize = 200;

/// One pass over the stages that are known to be needed.
pub(crate) struct Planner<'a> {
    pub(crate) file: &'a Dockerfile,
    pub(crate) options: &'a Options,
    images: &'a Images,
    pub(crate) arguments: &'a Arguments,
    pub(crate) names: &'a Names<'a>,
    wanted: &'a BTreeSet<usize>,
    /// Stages that turned out to be needed but were not planned.
    discovered: BTreeSet<usize>,
    drafts: BTreeMap<usize, Draft>,
    stages: Vec<Stage>,
    pub(crate) steps: Vec<Step>,
    plan_images: Vec<Image>,
    image_ids: HashMap<(Reference, Platform), ImageId>,
    missing: Vec<Image>,
    errors: Vec<Diagnostic>,
    /// Nobody will look at the plan, so what stages come to is not kept.
    only_errors: bool,
    /// The last stage on each stage, where not all of them stay described.
    last_child: Option<HashMap<usize, usize>>,
    /// Whether steps are named without their stage: the file has one stage and reads from nothing else.
    nameless: bool,
}

/// The instruction at hand.
#[derive(Clone, Copy)]
pub(crate) struct At<'i> {
    /// Its place.
    pub(crate) span: Span,
    /// Its text as one line.
    pub(crate) text: &'i str,
    /// For ONBUILD triggers the place that all their words have.
    pub(crate) place: Option<Span>,
}

impl<'a> Planner<'a> {
    fn new(
        file: &'a Dockerfile,
        options: &'a Options,
        images: &'a Images,
        arguments: &'a Arguments,
        names: &'a Names<'a>,
        wanted: &'a BTreeSet<usize>,
    ) -> Self {
        let nameless = match &file.stages[..] {
            [only] => {
                only.from.name.is_none()
                    && only.instructions.iter().all(|i| reach::sources(&i.kind).is_empty())
            }
            _ => false,
        };
        let parent = |index: &usize| match names.base(*index) {
            Ok(Base::Stage(parent)) => Some((parent, *index)),
            _ => None,
        };
        let last_child =
            (wanted.len() > DESCRIBED_STAGES_MAX).then(|| wanted.iter().filter_map(parent).collect());
        Self {
            file,
            options,
            images,
            arguments,
            names,
            wanted,
            discovered: BTreeSet::new(),
            drafts: BTreeMap::new(),
            stages: Vec::new(),
            steps: Vec::new(),
            plan_images: Vec::new(),
            image_ids: HashMap::new(),
            missing: Vec::new(),
            errors: Vec::new(),
            only_errors: false,
            last_child,
            nameless,
        }
    }

    fn stage(&mut self, index: usize) {
        let from = &self.file.stages[index].from;
        let base = match self.names.base(index) {
            Ok(base) => base,
            Err(error) => {
                self.errors.push(error);
                self.drafts.insert(index, Draft::blocked(index, &self.names.platform));
                return;
            }
        };
        let parent = if let Base::Stage(parent) = base { Some(parent) } else { None };
        let (mut draft, triggers) = self.begin(index, base);
        draft.id = self.stages.len();
        if !draft.blocked && !self.names.is_replaced(index) {
            for trigger in &triggers {
                let done = self.trigger(&mut draft, trigger, from.span);
                self.errors.extend(done.err());
            }
            for instruction in &self.file.stages[index].instructions {
                let at = At { span: instruction.span, text: &instruction.text, place: None };
                let done = self.instruction(&mut draft, &instruction.kind, at);
                self.errors.extend(done.err());
            }
        }
        if self.only_errors {
            draft.forget_past();
        } else {
            self.number_steps(&draft);
            self.stages.push(draft.clone().finish(from));
        }
        self.drafts.insert(index, draft);
        self.forget_passed_on(index, parent);
    }

    /// Where stages are many: what nobody will inherit any more is dropped.
    fn forget_passed_on(&mut self, index: usize, parent: Option<usize>) {
        let Some(last_child) = &self.last_child else { return };
        let is_last_child = |parent: &usize| last_child.get(parent) == Some(&index);
        if let Some(parent) = parent.filter(is_last_child).and_then(|parent| self.drafts.get_mut(&parent)) {
            parent.forget_past();
        }
        if !last_child.contains_key(&index)
            && let Some(draft) = self.drafts.get_mut(&index)
        {
            draft.forget_past();
        }
        if self.wanted.last() != Some(&index)
            && let Some(stage) = self.stages.last_mut().filter(|stage| stage.index == index)
        {
            stage.history = Vec::new();
            stage.config = ImageConfig::default();
            stage.places = Places::default();
        }
    }

    /// The stage before its first instruction, and the triggers that its base brings along.
    fn begin(&mut self, index: usize, base: Base) -> (Draft, Vec<String>) {
        match base {
            Base::Scratch => (Draft::on_scratch(index, &self.names.platform), Vec::new()),
            Base::Stage(stage) => match self.drafts.get(&stage) {
                Some(parent) => parent.child(index),
                None => unreachable!("a base stage is needed and stands before the stages on it"),
            },
            Base::Folder(name) => (self.folder(index, &name), Vec::new()),
            Base::Image(reference, platform) => self.image(index, reference, platform),
        }
    }

    /// A stage on the files of a named context: its first step copies them.
    fn folder(&mut self, index: usize, name: &str) -> Draft {
        let span = self.file.stages[index].from.image.span;
        let mut draft = Draft::on_scratch(index, &self.names.platform);
        draft.id = self.stages.len();
        let from = Source::NamedContext(name.to_owned());
        let mut copy = Copy::plain(from, vec![("/".to_owned(), span)], "/");
        copy.no_cache = self.no_cache(&draft);
        let step = self.add_step(&mut draft, Action::Copy(copy), span, format!("FROM context {name}"));
        draft.record(format!("COPY context {name} / # buildkit"), Some(step));
        draft
    }

    fn image(&mut self, index: usize, reference: Reference, platform: Platform) -> (Draft, Vec<String>) {
        let span = self.file.stages[index].from.image.span;
        let Some(config) = self.images.get(&reference, &platform) else {
            let image = Image { reference, platform, span };
            if !self.missing.iter().any(|m| m.reference == image.reference && m.platform == image.platform) {
                self.missing.push(image);
            }
            return (Draft::blocked(index, &self.names.platform), Vec::new());
        };
        // An image without layers has no files: there is nothing to fetch (BuildKit calls that scratch as well).
        let empty = config.rootfs.diff_ids.is_empty() && config.history.iter().all(|h| h.empty_layer);
        let base =
            if empty { Fs::Scratch } else { Fs::Image(self.image_id(reference, platform.clone(), span)) };
        Draft::on_image(index, base, config.clone(), &platform)
    }

    pub(crate) fn image_id(&mut self, reference: Reference, platform: Platform, span: Span) -> ImageId {
        let next = self.plan_images.len();
        let id = *self.image_ids.entry((reference.clone(), platform.clone())).or_insert(next);
        if id == next {
            self.plan_images.push(Image { reference, platform, span });
        }
        id
    }

    /// Runs one trigger of the base. Its words have no place in this file but the FROM that brought it.
    fn trigger(&mut self, draft: &mut Draft, trigger: &str, place: Span) -> Result<(), Diagnostic> {
        let failed = |error: Diagnostic| Diagnostic {
            message: format!("ONBUILD trigger {trigger:?} of the base: {}", error.message),
            span: place,
            ..error
        };
        let (kind, text) = parse_onbuild(trigger).map_err(failed)?;
        if matches!(kind, Kind::Onbuild(_) | Kind::Maintainer(_)) {
            let message = format!("{} isn't allowed as an ONBUILD trigger", kind.keyword());
            return Err(Diagnostic::error("onbuild", message, place));
        }
        let first = draft.steps.len();
        let at = At { span: place, text: &text, place: Some(place) };
        let done = self.instruction(draft, &kind, at).map_err(failed);
        for (_, name) in &mut draft.steps[first..] {
            name.insert_str(0, "ONBUILD ");
        }
        done
    }

    fn instruction(&mut self, draft: &mut Draft, kind: &Kind, at: At<'_>) -> Result<(), Diagnostic> {
        draft.places.note(kind, at.span);
        match kind {
            Kind::Add(add) => self.add(draft, add, at),
            Kind::Copy(copy) => self.copy(draft, copy, at),
            Kind::Run(run) => self.run(draft, run, at),
            Kind::Workdir(path) => self.workdir(draft, path, at),
            other => self.configure(draft, other, at),
        }
    }

    /// Whether the next step of a stage must run again: because it was asked for, or because what it stands on runs again
    /// and its own old result belongs to the old files.
    pub(crate) fn no_cache(&self, draft: &Draft) -> bool {
        let name = self.names.stage_name(draft.index);
        let stands_on_new_files =
            matches!(draft.result, Fs::Step(input) if self.steps[input].action.no_cache());
        self.options.no_cache
            || stands_on_new_files
            || self.options.no_cache_filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(&name))
    }

    /// How the words of the instruction are expanded.
    pub(crate) fn expander<'e>(&self, draft: &'e Draft, at: At<'_>) -> Expander<'e> {
        let escape = self.file.directives.escape_char();
        Expander { environment: &draft.environment, escape, place: at.place }
    }

    /// Appends a step to the stage. Its name gets its number when the stage is complete.
    pub(crate) fn add_step(&mut self, draft: &mut Draft, action: Action, span: Span, text: String) -> StepId {
        let id = self.steps.len();
        let name = String::new();
        let (platform, input) = (draft.platform.clone(), draft.result);
        self.steps.push(Step { stage: draft.id, span, name, platform, input, action });
        draft.result = Fs::Step(id);
        draft.steps.push((id, text));
        id
    }

    fn number_steps(&mut self, draft: &Draft) {
        let stage = if self.nameless { String::new() } else { self.names.stage_name(draft.index) };
        let first = 1 + usize::from(draft.counts_from);
        let total = draft.steps.len() + usize::from(draft.counts_from);
        for (position, (id, text)) in draft.steps.iter().enumerate() {
            self.steps[*id].name = step_name::numbered(&stage, first + position, total, text);
        }
    }

    /// What `--from=name` reads.
    pub(crate) fn source(
        &mut self,
        draft: &Draft,
        name: &str,
        span: Span,
        late: impl FnOnce() -> String,
    ) -> Result<Source, Diagnostic> {
        Ok(match self.names.source(name, span, draft.index, late)? {
            Target::Stage(stage) => {
                // An unplanned stage gets its turn in the next pass; what stands here now is thrown away.
                let planned = self.drafts.get(&stage).map(|draft| draft.result);
                if planned.is_none() {
                    debug_assert!(!self.wanted.contains(&stage));
                    self.discovered.insert(stage);
                }
                Source::Fs(planned.unwrap_or(Fs::Scratch))
            }
            Target::Base(base) => match *base {
                Base::Stage(_) => unreachable!("stages are told apart before"),
                Base::Scratch => Source::Fs(Fs::Scratch),
                Base::Folder(name) => Source::NamedContext(name),
                Base::Image(reference, platform) => {
                    Source::Fs(Fs::Image(self.image_id(reference, platform, span)))
                }
            },
        })
    }

    /// WORKDIR: the directory is made unless it is the root, which exists.
    fn workdir(
        &mut self,
        draft: &mut Draft,
        word: &jettison_dockerfile::Word,
        at: At<'_>,
    ) -> Result<(), Diagnostic> {
        let written = self.expander(draft, at).word(word)?;
        // An absolute path is kept as written, in config and history; only the directory has the clean name.
        let current = draft.config.config.working_dir.clone();
        let stored = if written.starts_with('/') { written } else { path::absolute(&current, &written) };
        let cleaned = path::clean(&stored);
        draft.config.config.working_dir.clone_from(&stored);
        let mut step = None;
        if cleaned != "/" {
            let user = draft.config.config.user.clone();
            let action = Action::Workdir(crate::graph::Workdir {
                path: cleaned,
                user,
                no_cache: self.no_cache(draft),
            });
            let text = step_name::text(at.text, self.file.directives.escape_char(), &draft.environment);
            step = Some(self.add_step(draft, action, at.span, text));
        }
        draft.record(format!("WORKDIR {stored}"), step);
        Ok(())
    }

    fn finish(mut self) -> Result<Outcome, Vec<Diagnostic>> {
        if !self.errors.is_empty() {
            self.errors.sort_by_key(|error| error.span);
            return Err(self.errors);
        }
        if !self.missing.is_empty() {
            return Ok(Outcome::NeedsImages(self.missing));
        }
        let target: Option<(StageId, &mut Stage)> = self.stages.iter_mut().enumerate().next_back();
        if let Some((_, stage)) = target {
            stage.config.config.labels.extend(self.options.labels.iter().cloned());
            // What was asked for by name is what the result is.
            if let Some(platform) = &self.options.platform {
                stage.config.os.clone_from(&platform.os);
                stage.config.architecture.clone_from(&platform.architecture);
                stage.config.variant.clone_from(&platform.variant);
            }
        }
        Ok(Outcome::Ready(Plan {
            platform: self.names.platform.clone(),
            steps: self.steps,
            stages: self.stages,
            images: self.plan_images,
        }))
    }
}
