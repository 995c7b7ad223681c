//! COPY and ADD: what was selected, into a new snapshot, by the rules of the language (crate `layer`).

use std::os::fd::{AsFd, OwnedFd};

use jettison_dockerfile::{Span, ignore::Patterns};
use jettison_layer::copy::{self, CopyOptions};
use jettison_layer::select::{SelectError, Selection};
use jettison_plan::{Chmod, Copy, Source, StepId};
use jettison_store::SnapshotId;

use crate::build::Build;
use crate::context::Ignore;
use crate::error::Error;
use crate::event::Event;
use crate::filesystem;
use crate::ownership;

impl Build<'_> {
    pub(super) fn perform_copy(
        &self,
        step: StepId,
        copy: &Copy,
        input: Option<&SnapshotId>,
    ) -> Result<SnapshotId, Error> {
        let before = self.content_digest(copy)?;
        let draft = self.images.store.begin_snapshot(input)?;
        let to = if copy.link {
            filesystem::open_directory(draft.fs())?
        } else {
            filesystem::open_writable(draft.lowers(), draft.fs(), draft.work())?
        };
        let options = self.copy_options(step, copy)?;
        let opened;
        let (from, ignore): (&OwnedFd, &Ignore) = match &copy.from {
            Source::Fs(fs) => {
                let snapshot = self.fs_snapshot(*fs)?.expect("what a step reads was made before it");
                opened = (filesystem::open(self.images.store, snapshot.as_ref())?, Ignore::none());
                (&opened.0, &opened.1)
            }
            _ => match self.contexts.get(&copy.from) {
                Some(context) => (&context.root, &context.ignore),
                None if copy.sources.is_empty() => {
                    opened = (filesystem::open(self.images.store, None)?, Ignore::none());
                    (&opened.0, &opened.1)
                }
                None => return Err(Self::no_context(copy)),
            },
        };
        let mut selection = self.select(copy, from, ignore)?;
        if !matches!(copy.from, Source::Fs(_)) {
            self.date_context_files(&mut selection);
        }
        copy::copy(&selection, from.as_fd(), to.as_fd(), &options)
            .map_err(|source| Error::Copy { span: self.plan.steps[step].span, source })?;
        drop(to);
        // The key was made from what the files held before; if someone wrote to them meanwhile, it names other bytes.
        if !matches!(copy.from, Source::Fs(_)) && self.content_digest(copy)? != before {
            return Err(Error::Step {
                message: "files of the context changed while they were copied".to_owned(),
                span: self.plan.steps[step].span,
                hint: Some("build again when nothing writes to them".to_owned()),
            });
        }
        Ok(draft.commit()?)
    }

    /// Files of a context are dated the epoch or later (and clamped to it on the way out): when somebody checked them
    /// out is not part of the input, and not of the key.
    pub(super) fn date_context_files(&self, selection: &mut Selection) {
        for entry in
            selection.sources.iter_mut().flat_map(|s| std::iter::once(&mut s.root).chain(&mut s.entries))
        {
            if entry.mtime_s < self.epoch {
                (entry.mtime_s, entry.mtime_ns) = (self.epoch, 0);
            }
        }
    }

    fn copy_options(&self, step: StepId, copy: &Copy) -> Result<CopyOptions, Error> {
        let step = &self.plan.steps[step];
        let chown = match &copy.chown {
            None => None,
            Some(text) => {
                let accounts = match (copy.link, ownership::needs_accounts(text)) {
                    (false, true) => self.accounts(step.input)?.unwrap_or_default(),
                    _ => ownership::Accounts::default(),
                };
                let owner = ownership::resolve(text, &accounts, step.span)?;
                for name in &owner.unknown {
                    let text = format!("{}: --chown: {name:?} is not in the image; root is used", step.name);
                    self.tasks.sink.emit(Event::Notice(text));
                }
                Some((owner.uid, owner.gid))
            }
        };
        let chmod = match &copy.chmod {
            None => None,
            Some(Chmod::Octal(mode)) => Some(copy::Chmod::Octal(*mode)),
            Some(Chmod::Symbolic(text)) => {
                Some(copy::Chmod::Symbolic(copy::mode::Clauses::parse(text).map_err(|error| {
                    Error::Step {
                        message: format!("invalid chmod parameter {text:?}: {error}"),
                        span: step.span,
                        hint: None,
                    }
                })?))
            }
        };
        Ok(CopyOptions {
            destination: copy.destination.clone().into_bytes(),
            chown,
            chmod,
            parents: copy.parents,
            force_owner: (!matches!(copy.from, Source::Fs(_))).then_some((0, 0)),
            unpack: copy.unpack,
            inline: copy
                .inline
                .iter()
                .map(|(n, t)| (n.clone().into_bytes(), t.clone().into_bytes()))
                .collect(),
            created_mtime_s: self.epoch,
        })
    }

    /// The `--exclude` patterns of `copy` as a filter.
    pub(crate) fn excludes(copy: &Copy) -> Result<Ignore, Error> {
        let span = copy.sources.first().map_or_else(Span::default, |(_, span)| *span);
        let patterns = Patterns::from_lines(copy.excludes.iter().map(String::as_str)).map_err(|error| {
            Error::Step { message: format!("invalid --exclude pattern: {error}"), span, hint: None }
        })?;
        Ok(Ignore::from_patterns(patterns))
    }

    pub(crate) fn no_context(copy: &Copy) -> Error {
        Error::Step {
            message: "there is no build context to copy from".to_owned(),
            span: copy.sources.first().map_or_else(Span::default, |(_, span)| *span),
            hint: Some("give a folder instead of -".to_owned()),
        }
    }

    fn ignored_hint(&self, copy: &Copy) -> String {
        let file = self.contexts.get(&copy.from).and_then(|c| c.ignore.file.as_ref());
        let file = file.map_or_else(|| "the ignore file".to_owned(), |path| path.display().to_string());
        format!("{file} excludes it")
    }

    /// A source that is not there, at its word.
    pub(crate) fn selection_error(&self, copy: &Copy, error: SelectError) -> Error {
        match error {
            SelectError::NotFound { source_index: source, nearest, ignored } => {
                let (path, span) =
                    copy.sources.get(source).cloned().unwrap_or_else(|| (String::new(), Span::default()));
                let hint = match nearest {
                    Some(nearest) => Some(format!("did you mean {:?}?", String::from_utf8_lossy(&nearest))),
                    None if ignored => Some(self.ignored_hint(copy)),
                    None => None,
                };
                Error::Step { message: format!("{path:?}: not found"), span, hint }
            }
            other => Error::Step {
                message: other.to_string(),
                span: copy.sources.first().map_or_else(Span::default, |(_, span)| *span),
                hint: None,
            },
        }
    }
}
