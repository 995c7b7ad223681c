//! COPY and ADD: what was selected, into a new snapshot, by the rules of the language (crate `layer`).

use std::os::fd::{AsFd, OwnedFd};

use jettison_dockerfile::{Span, ignore::Patterns};
use jettison_layer::copy::{self, CopyError, CopyOptions};
use jettison_layer::select::{SelectError, Selection};
use jettison_layer::{Error as LayerError, Kind};
use jettison_plan::remote::Remote;
use jettison_plan::{Chmod, Copy, Fs, Position, RemoteSource, Source, StepId};
use jettison_store::{Draft, SnapshotId};

use super::copy_layer::Direct;
use super::{FromContext, Target};
use crate::build::Build;
use crate::context::Ignore;
use crate::demand::Held;
use crate::error::Error;
use crate::event::Event;
use crate::filesystem;
use crate::keys::{self, Known};
use crate::ownership;
use crate::remote::Resolved;

/// Sources that lie in one place.
pub(super) struct Part {
    pub(super) root: OwnedFd,
    pub(super) selection: Selection,
    pub(super) unpack: bool,
    pub(super) force_owner: Option<(u32, u32)>,
    pub(super) from_context: Option<FromContext>,
}

impl Build<'_> {
    /// `None` if files changed since the key was made.
    pub(super) fn perform_copy(
        &self,
        step: StepId,
        copy: &Copy,
        target: &Target<'_>,
    ) -> Result<Option<Known>, Error> {
        if target.ask == Held::Layer || (target.again.is_none() && self.gives_both(step, copy)) {
            match self.copy_to_layer(step, copy, target)? {
                Direct::Done(known) => return Ok(Some(known)),
                Direct::Unfit => {}
                Direct::Changed => return Ok(None),
            }
        }
        let Some(draft) = self.copy_to_snapshot(step, copy, target.input)? else { return Ok(None) };
        let snapshot = match &target.again {
            None => draft.commit()?,
            Some(id) => {
                draft.commit_as(id)?;
                id.clone()
            }
        };
        Ok(Some(Known { snapshot, held: Held::Files }))
    }

    /// Whether files and layer are made at once: those of the last step of an image. Layers of other steps are encoded
    /// while the next step runs.
    fn gives_both(&self, step: StepId, copy: &Copy) -> bool {
        let is_plain = copy.is_local() && copy.inline.is_empty() && !copy.unpack;
        let is_last = self.plan.target().result == Fs::Step(step);
        is_plain && is_last && self.wants_image() && !self.request.squash
    }

    fn copy_to_snapshot(
        &self,
        step: StepId,
        copy: &Copy,
        input: Option<&SnapshotId>,
    ) -> Result<Option<Draft>, Error> {
        // What the key was made from.
        let chosen = self.chosen().get(&step).map(|chosen| chosen.digest.clone());
        let before = chosen.map_or_else(|| self.content_digest(copy), |digest| Ok(Some(digest)))?;
        let draft = self.images.store.begin_snapshot(input)?;
        let to = Self::open_draft(&draft, copy)?;
        let options = self.copy_options(step, copy)?;
        // Files that were hashed when they were selected are held against that one by one, as they are copied. Archives
        // are not, and what comes from several places has no selection that is all of it.
        let context = self.contexts.get(&copy.from).filter(|_| copy.is_local() && !copy.unpack);
        let mut from_contexts = Vec::new();
        for mut part in self.parts(step, copy)? {
            if let Some(context) = context {
                let mask = keys::mask(copy, context.has_owners);
                if Some(self.hash_selected(copy, &mut part.selection, &part.root, mask)?) != before {
                    return Ok(None);
                }
            }
            let options = CopyOptions {
                unpack: part.unpack,
                force_owner: part.force_owner,
                inline: Vec::new(),
                ..options.clone()
            };
            from_contexts.extend(part.from_context);
            match copy::copy(&part.selection, part.root.as_fd(), to.as_fd(), &options) {
                Ok(()) => {}
                Err(CopyError::Layer(LayerError::Changed { .. })) => return Ok(None),
                // A file that is gone since it was selected, say.
                Err(_) if !self.are_unchanged(&from_contexts)? => return Ok(None),
                Err(source) => return Err(Error::Copy { span: self.plan.steps[step].span, source }),
            }
        }
        if !options.inline.is_empty() {
            copy::copy(&Selection::default(), to.as_fd(), to.as_fd(), &options)
                .map_err(|source| Error::Copy { span: self.plan.steps[step].span, source })?;
        }
        drop(to);
        let in_doubt = context.is_none() && !matches!(copy.from, Source::Fs(_));
        if in_doubt && (self.content_digest(copy)? != before || !self.are_unchanged(&from_contexts)?) {
            return Ok(None);
        }
        Ok(Some(draft))
    }

    /// Where the files of a copy go.
    pub(super) fn open_draft(draft: &Draft, copy: &Copy) -> Result<OwnedFd, Error> {
        if copy.link {
            filesystem::open_directory(draft.fs())
        } else {
            filesystem::open_writable(draft.lowers(), draft.fs(), draft.work())
        }
    }

    /// What `copy` reads, in the order in which it was written: neighbours from one place together.
    pub(super) fn parts(&self, step: StepId, copy: &Copy) -> Result<Vec<Part>, Error> {
        let mut parts = Vec::new();
        let mut locals: Vec<(String, Span)> = Vec::new();
        for position in copy.in_order() {
            match position {
                Position::Local(index) => locals.push(copy.sources[index].clone()),
                Position::Remote(index) => {
                    if !locals.is_empty() {
                        parts.push(self.local_part(step, copy, std::mem::take(&mut locals))?);
                    }
                    parts.push(self.remote_part(copy, &copy.remotes[index])?);
                }
            }
        }
        if !locals.is_empty() {
            parts.push(self.local_part(step, copy, locals)?);
        }
        Ok(parts)
    }

    fn local_part(&self, step: StepId, copy: &Copy, sources: Vec<(String, Span)>) -> Result<Part, Error> {
        let copy = Copy { sources, ..copy.clone() };
        if let Source::Fs(fs) = copy.from {
            let snapshot = self.fs_snapshot(fs)?.expect("what a step reads was made before it");
            let root = filesystem::open_to_read(self.images.store, snapshot.as_ref())?;
            let selection = self.select(&copy, &root, &Ignore::none())?;
            return Ok(Part { root, selection, unpack: copy.unpack, force_owner: None, from_context: None });
        }
        let context = self.contexts.get(&copy.from).ok_or_else(|| Self::no_context(&copy))?;
        let chosen = self.chosen().get_mut(&step).and_then(|chosen| chosen.selection.take());
        let mut selection = chosen.map_or_else(|| self.select(&copy, &context.root, &context.ignore), Ok)?;
        self.date_context_files(&mut selection);
        let root = context.root.try_clone().map_err(Error::io("open", "the context"))?;
        let (unpack, force_owner) = (copy.unpack, context.force_owner());
        let from_context = Some(FromContext { copy, stamp: selection.stamp });
        Ok(Part { root, selection, unpack, force_owner, from_context })
    }

    fn remote_part(&self, copy: &Copy, source: &RemoteSource) -> Result<Part, Error> {
        let resolved = self.remotes.known(&source.remote).expect("sources are resolved before steps run");
        let (root, selection) = match (&source.remote, resolved) {
            (Remote::Http(http), Resolved::File { body, size, mtime_s }) => {
                self.remotes.file(http, &body, size, mtime_s)?
            }
            (Remote::Git(git), Resolved::Commit(commit)) => {
                let snapshot = self.remotes.checkout(git, &commit).map_err(|e| e.at_source(source))?;
                let root = filesystem::open(self.images.store, Some(&snapshot))?;
                let subdir = git.subdir.clone().unwrap_or_else(|| "/".to_owned());
                let inside = Copy { sources: vec![(subdir, source.span)], ..copy.clone() };
                let selection = self.select(&inside, &root, &Ignore::none())?;
                if selection.sources.iter().any(|s| s.root.kind != Kind::Directory) {
                    let message = format!("{:?} is no directory of the repository", inside.sources[0].0);
                    return Err(Error::Step { message, span: source.span, hint: None });
                }
                (root, selection)
            }
            _ => unreachable!("a URL resolves to a file and a repository to a commit"),
        };
        Ok(Part { root, selection, unpack: source.unpack, force_owner: Some((0, 0)), from_context: None })
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

    pub(super) fn copy_options(&self, step: StepId, copy: &Copy) -> Result<CopyOptions, Error> {
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
            SelectError::NotFound {
                source_index: source,
                matched,
                nearest,
                ignored,
                beyond_link,
                dangling,
            } => {
                let (path, span) =
                    copy.sources.get(source).cloned().unwrap_or_else(|| (String::new(), Span::default()));
                let mut chars = path.chars();
                // The name itself, without what keeps wildcards in it from being some.
                let name: String = std::iter::from_fn(|| match chars.next() {
                    Some('\\') => chars.next().or(Some('\\')),
                    other => other,
                })
                .collect();
                let shown = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                let hint = match (dangling, nearest) {
                    (Some(target), _) => {
                        Some(format!("it is a symbolic link to {:?}, which leads nowhere", shown(target)))
                    }
                    (None, Some(nearest)) => Some(format!("did you mean {:?}?", shown(nearest))),
                    (None, None) if ignored => Some(self.ignored_hint(copy)),
                    (None, None) => beyond_link
                        .then(|| "a symbolic link leads to it, and --parents follows none".to_owned()),
                };
                let message = match matched {
                    Some(link) => format!("{:?}, which {name:?} matches: not found", shown(link)),
                    None => format!("{name:?}: not found"),
                };
                Error::Step { message, span, hint }
            }
            other => Error::Step {
                message: other.to_string(),
                span: span_of_culprit(copy, &other),
                hint: is_denied(&other)
                    .then(|| "make it readable, or keep it out with .dockerignore or --exclude".to_owned()),
            },
        }
    }
}

/// Where the source stands to which the file that made selecting fail belongs.
fn span_of_culprit(copy: &Copy, error: &SelectError) -> Span {
    let index = match error {
        SelectError::NotFound { source_index, .. } | SelectError::BadPattern { source_index, .. } => {
            *source_index
        }
        SelectError::Layer(LayerError::Io { path, .. } | LayerError::Invalid { path, .. }) => {
            let holds = |source: &str| path.starts_with(source.trim_start_matches(['.', '/']));
            copy.sources.iter().position(|(source, _)| holds(source)).unwrap_or(0)
        }
        SelectError::Layer(_) => 0,
    };
    copy.sources.get(index).map_or_else(Span::default, |(_, span)| *span)
}

/// Whether a file may not be read by who builds.
fn is_denied(error: &SelectError) -> bool {
    matches!(error, SelectError::Layer(LayerError::Io { source, .. })
        if source.kind() == std::io::ErrorKind::PermissionDenied)
}
