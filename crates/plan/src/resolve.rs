//! Names: what FROM, COPY --from and mounts mean by them. A stage comes before a named context, that before an image.
//!
//! Source: BuildKit `dockerfile2llb/convert.go` (base states, toCommand) and `dockerui/namedcontext.go`.

use std::collections::HashMap;

use jettison_dockerfile::{Diagnostic, Dockerfile, Span, suggest};
use jettison_oci::{Platform, Reference};

use crate::arguments::Arguments;
use crate::environment::Expander;
use crate::graph::{NamedContext, Options};

/// The name of the empty image.
pub(crate) const SCRATCH: &str = "scratch";

/// What a stage starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    Scratch,
    /// An earlier stage, by position.
    Stage(usize),
    Image(Reference, Platform),
    /// The files of a named context.
    Folder(String),
}

/// What `--from` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Stage(usize),
    Base(Box<Base>),
}

/// Looks names up. Knows the whole file, but nothing of what stages do.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    file: &'a Dockerfile,
    options: &'a Options,
    arguments: &'a Arguments,
    /// Platform of the result.
    pub(crate) platform: Platform,
    /// Stage names to positions; of equal names the last counts.
    stages: HashMap<&'a str, usize>,
    /// All positions of a name, ascending: FROM means the nearest one before it.
    positions: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(
        file: &'a Dockerfile,
        options: &'a Options,
        arguments: &'a Arguments,
        platform: Platform,
    ) -> Self {
        let mut stages = HashMap::new();
        let mut positions: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, stage) in file.stages.iter().enumerate() {
            if let Some(name) = &stage.from.name {
                stages.insert(name.value.as_str(), index);
                positions.entry(&name.value).or_default().push(index);
            }
        }
        Self { file, options, arguments, platform, stages, positions }
    }

    /// The stage that `--target` means, the last one by default.
    pub(crate) fn target(&self) -> Result<usize, Diagnostic> {
        let Some(last) = self.file.stages.len().checked_sub(1) else {
            return Err(Diagnostic::error(
                "parse",
                "dockerfile contains no stages to build",
                Span::default(),
            ));
        };
        let Some(name) = self.options.target.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(last);
        };
        let by_number = || name.parse::<usize>().ok().filter(|index| *index <= last);
        self.stage_named(name).or_else(by_number).ok_or_else(|| {
            let message = format!("target stage {name:?} could not be found");
            self.with_stage_hint(Diagnostic::error("target", message, Span::default()), name)
        })
    }

    fn stage_named(&self, name: &str) -> Option<usize> {
        self.stages.get(name.to_lowercase().as_str()).copied()
    }

    /// Adds "did you mean" if a stage is called almost `name`.
    fn with_stage_hint(&self, error: Diagnostic, name: &str) -> Diagnostic {
        match suggest::nearest(name, self.stages.keys().copied()) {
            Some(near) => error.with_hint(format!("did you mean {near}?")),
            None => error,
        }
    }

    /// How the stage is called in messages: its name, or `stage-N`.
    pub(crate) fn stage_name(&self, index: usize) -> String {
        match &self.file.stages[index].from.name {
            Some(name) => name.value.clone(),
            None => format!("stage-{index}"),
        }
    }

    /// Whether a named context takes the place of the stage.
    pub(crate) fn is_replaced(&self, index: usize) -> bool {
        self.replacement(index).is_some()
    }

    fn replacement(&self, index: usize) -> Option<(&'a str, &'a NamedContext)> {
        let name = self.file.stages[index].from.name.as_ref()?;
        self.context(&name.value, &self.platform)
    }

    /// The named context called `name`, first as `name::platform`.
    fn context(&self, name: &str, platform: &Platform) -> Option<(&'a str, &'a NamedContext)> {
        if self.options.contexts.is_empty() || matches!(name, SCRATCH | "context") {
            return None;
        }
        let familiar = name.parse::<Reference>().map_or_else(|_| name.to_owned(), |r| r.familiar());
        let familiar = familiar.strip_suffix(":latest").unwrap_or(&familiar).to_owned();
        let of_platform = format!("{familiar}::{platform}");
        [of_platform.as_str(), familiar.as_str(), name]
            .iter()
            .find_map(|key| self.options.contexts.get_key_value(*key))
            .map(|(key, context)| (key.as_str(), context))
    }

    /// What the named context `name` stands for in the stage `current`.
    fn of_context(
        &self,
        name: &str,
        context: &NamedContext,
        platform: Platform,
        current: usize,
        span: Span,
    ) -> Result<Base, Diagnostic> {
        Ok(match context {
            NamedContext::Folder => Base::Folder(name.to_owned()),
            NamedContext::Image(reference) => Base::Image(reference.clone(), platform),
            NamedContext::Scratch => Base::Scratch,
            NamedContext::Stage(stage) => {
                let found = self.stage_named(stage).filter(|index| *index < current);
                Base::Stage(found.ok_or_else(|| {
                    let message = format!(
                        "the context {name:?} is the stage {stage:?}, which does not stand before this"
                    );
                    self.with_stage_hint(Diagnostic::error("stage", message, span), stage)
                })?)
            }
        })
    }

    /// What the stage starts from. A stage that a named context replaces "starts" from that context, and that is all.
    pub(crate) fn base(&self, index: usize) -> Result<Base, Diagnostic> {
        let from = &self.file.stages[index].from;
        let escape = self.file.directives.escape_char();
        let expander = Expander { environment: &self.arguments.global, escape, place: None };
        let platform = match &from.platform {
            None => self.platform.clone(),
            Some(word) => self.platform(&expander, word)?,
        };
        if let Some((name, context)) = self.replacement(index) {
            return self.of_context(name, context, platform, index, from.image.span);
        }
        let image = expander.word(&from.image)?;
        if image.is_empty() {
            let message = format!("base name ({}) should not be blank", from.image.value);
            return Err(self
                .with_argument_hint(Diagnostic::error("from", message, from.image.span), &from.image.value));
        }
        // Unlike --from, FROM compares as written, and sees earlier stages only.
        let earlier = self.positions.get(image.as_str());
        let earlier = earlier.and_then(|all| all[..all.partition_point(|at| *at < index)].last());
        if let Some(stage) = earlier {
            return Ok(Base::Stage(*stage));
        }
        self.image(&image, platform, index, from.image.span)
    }

    fn platform(
        &self,
        expander: &Expander<'_>,
        word: &jettison_dockerfile::Word,
    ) -> Result<Platform, Diagnostic> {
        let text = expander.word(word)?;
        if text.is_empty() {
            let message = format!("empty platform value from expression {}", word.value);
            return Err(self.with_argument_hint(Diagnostic::error("from", message, word.span), &word.value));
        }
        text.parse().map_err(|error| {
            Diagnostic::error("from", format!("failed to parse platform {}: {error}", word.value), word.span)
        })
    }

    /// Adds "did you mean" if a variable of `expression` is called almost as a global argument.
    fn with_argument_hint(&self, error: Diagnostic, expression: &str) -> Diagnostic {
        let variable = expression.split_once('$').map_or("", |(_, rest)| rest.trim_start_matches('{'));
        let name: String = variable.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let others = self.arguments.global.names().filter(|known| *known != name);
        match suggest::nearest(&name, others) {
            Some(near) => error.with_hint(format!("did you mean {near}?")),
            None => error.with_hint("FROM sees only ARGs that stand before the first FROM"),
        }
    }

    /// `name` as `scratch`, a named context or an image.
    fn image(&self, name: &str, platform: Platform, current: usize, span: Span) -> Result<Base, Diagnostic> {
        if name == SCRATCH {
            return Ok(Base::Scratch);
        }
        if let Some((key, context)) = self.context(name, &platform) {
            return self.of_context(key, context, platform, current, span);
        }
        match name.parse() {
            Ok(reference) => Ok(Base::Image(reference, platform)),
            Err(error) => {
                let message = format!("failed to parse stage name {name:?}: {error}");
                Err(self.with_stage_hint(Diagnostic::error("image", message, span), name))
            }
        }
    }

    /// The stage that `--from=name` means, earlier or not; `None` if it is no stage.
    pub(crate) fn stage(&self, name: &str) -> Result<Option<usize>, String> {
        match name.parse::<i64>() {
            Ok(number) => usize::try_from(number)
                .ok()
                .filter(|index| *index < self.file.stages.len())
                .map(Some)
                .ok_or_else(|| format!("invalid stage index {number}")),
            Err(_) => Ok(self.stage_named(name)),
        }
    }

    /// What `--from=name` means in the stage `current`. `late` makes the message for a stage that comes later.
    pub(crate) fn source(
        &self,
        name: &str,
        span: Span,
        current: usize,
        late: impl FnOnce() -> String,
    ) -> Result<Target, Diagnostic> {
        let stage = self.stage(name).map_err(|message| Diagnostic::error("stage", message, span))?;
        let base = match stage {
            None => self.image(name, self.platform.clone(), current, span)?,
            Some(index) if index == current => {
                let message = format!("circular dependency detected on stage: {}", self.stage_name(current));
                return Err(Diagnostic::error("stage", message, span));
            }
            // A replaced stage is there from the start, wherever it stands.
            Some(index) => match self.replacement(index) {
                Some((key, context)) => {
                    self.of_context(key, context, self.platform.clone(), current, span)?
                }
                None if index > current => return Err(Diagnostic::error("stage", late(), span)),
                None => Base::Stage(index),
            },
        };
        Ok(match base {
            Base::Stage(index) => Target::Stage(index),
            base => Target::Base(Box::new(base)),
        })
    }
}
