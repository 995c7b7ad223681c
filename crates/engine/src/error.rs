//! Why a build, a pull or a push failed. Data until the program prints it: cause, place, hint.

use std::io;
use std::path::PathBuf;

use jettison_dockerfile::ignore::PatternError;
use jettison_dockerfile::suggest::nearest;
use jettison_dockerfile::{Diagnostic, Span, Stage};
use jettison_layer as layer;
use jettison_oci::{Platform, Reference};
use jettison_plan::remote::Remote;
use jettison_registry as registry;
use jettison_sandbox as sandbox;
use jettison_store as store;

use crate::event::Verdict;

/// Everything that can go wrong here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Dockerfile has errors; nothing ran.
    #[error("{}", first_message(.0))]
    Dockerfile(Vec<Diagnostic>),
    /// A RUN step ended with an exit code or a signal.
    #[error("process {command:?} did not complete successfully: {exit}")]
    RunFailed {
        /// Name of the step.
        step: Box<str>,
        /// Place of the instruction.
        span: Span,
        /// What was executed.
        command: String,
        /// `exit code: 2` or `killed by signal 9`.
        exit: Box<str>,
        /// Exit code as a shell would report it.
        code: i32,
        /// The end of its output.
        tail: Vec<u8>,
        /// The name under which its files were kept, for [`crate::kept`].
        kept: Option<Box<str>>,
    },
    /// The sandbox of a RUN step could not be made.
    #[error("{step}: {source}")]
    Sandbox {
        /// Name of the step.
        step: String,
        /// Place of the instruction.
        span: Span,
        /// Why.
        source: sandbox::Error,
    },
    /// A step could not be carried out for a reason in the Dockerfile or context.
    #[error("{message}")]
    Step {
        /// What is wrong.
        message: String,
        /// Place of the word or instruction.
        span: Span,
        /// What may help.
        hint: Option<String>,
    },
    /// Somebody wrote to files of a context while a step took them over.
    #[error("files of the context changed while they were copied")]
    ContextChanged {
        /// Place of the instruction.
        span: Span,
    },
    /// An ignore file has a pattern that is none.
    #[error("{}:{}: {source}", path.display(), source.line)]
    IgnoreFile {
        /// The file.
        path: PathBuf,
        /// Which line, and what is wrong.
        source: PatternError,
    },
    /// Files could not be copied.
    #[error("{source}")]
    Copy {
        /// Place of the instruction.
        span: Span,
        /// Why.
        source: layer::copy::CopyError,
    },
    /// A step's programs are for another architecture, and nothing here runs them.
    #[error("{message}")]
    Foreign {
        /// Which, and why not.
        message: String,
        /// Place of the instruction.
        span: Span,
    },
    /// A feature of the language that jettison does not have yet.
    #[error("{feature} is not supported yet")]
    Unsupported {
        /// Its name.
        feature: String,
        /// Place of its use.
        span: Option<Span>,
    },
    /// An image that the Dockerfile names cannot be had.
    #[error("cannot get image {reference}: {source}")]
    BaseImage {
        /// Its name.
        reference: String,
        /// Place of the FROM, COPY or mount.
        span: Span,
        /// A stage whose name is so close that it may be meant.
        stage: Option<String>,
        /// Why.
        source: Box<Error>,
    },
    /// An image of this name is in the store, but for other platforms, and the registry does not have it either.
    #[error("it is here for {} and not for {wanted}, and elsewhere: {source}", listed(found))]
    OtherPlatform {
        /// The platforms that are here.
        found: Box<[Platform]>,
        /// The one that is wanted.
        wanted: Box<Platform>,
        /// Why it cannot be had for that.
        source: Box<Error>,
    },
    /// A policy denies a source, or puts something in its place that cannot be there.
    #[error("{0}")]
    Policy(String),
    /// A URL or Git repository cannot be had.
    #[error("cannot get {what}: {source}")]
    Remote {
        /// Its address, without credentials.
        what: String,
        /// Place of the source or its checksum; `None` for a context.
        span: Option<Span>,
        /// Why.
        source: Box<Error>,
    },
    /// What was fetched is not what a checksum says.
    #[error("checksum mismatch: it is {found}, expected {expected}")]
    WrongContent {
        /// What the user wrote.
        expected: String,
        /// What came.
        found: String,
    },
    /// The program git did not do what it should.
    #[error("{reason}")]
    Git {
        /// In its own words.
        reason: String,
        /// What may help.
        hint: Option<String>,
    },
    /// An image is not what it should be.
    #[error("image {reference}: {reason}")]
    InvalidImage {
        /// Its name or digest.
        reference: String,
        /// What is wrong.
        reason: String,
    },
    /// No such image here.
    #[error("no image {0} in the store")]
    NoSuchImage(String),
    /// A registry said no, or did not answer.
    #[error("{0}")]
    Registry(#[from] registry::Error),
    /// The store failed.
    #[error("{0}")]
    Store(store::Error),
    /// A layer could not be read or written.
    #[error("{what}: {source}")]
    Layer {
        /// Which layer or file.
        what: String,
        /// Why.
        source: layer::Error,
    },
    /// A mount or another privileged operation failed.
    #[error("{what}: {source}")]
    Mount {
        /// What was tried.
        what: String,
        /// Why.
        source: sandbox::Error,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `read`, `write`, `open`.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The inspector refused the image. Nothing was named, written or pushed.
    #[error("the image cannot start; nothing was named, written or pushed")]
    Refused(Box<Verdict>),
    /// The image could not be inspected.
    #[error("cannot inspect the image: {0}")]
    Inspection(String),
    /// The user gave up, or another step failed first.
    #[error("canceled")]
    Canceled,
}

fn first_message(diagnostics: &[Diagnostic]) -> String {
    match diagnostics {
        [] => "the Dockerfile has errors".to_owned(),
        [one] => one.message.clone(),
        [first, rest @ ..] => format!("{} (and {} more errors)", first.message, rest.len()),
    }
}

fn listed(platforms: &[Platform]) -> String {
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            // Nobody gives up but a build that is canceled.
            store::Error::GivenUp => Self::Canceled,
            other => Self::Store(other),
        }
    }
}

impl Error {
    /// An I/O error with its path.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// An error about an image that is broken.
    pub(crate) fn invalid_image(reference: impl ToString, reason: impl ToString) -> Self {
        Self::InvalidImage { reference: reference.to_string(), reason: reason.to_string() }
    }

    /// Places this error at the word that asked for `reference`.
    pub(crate) fn for_image(self, reference: &Reference, span: Span) -> Self {
        match self {
            Self::Canceled => Self::Canceled,
            other => Self::BaseImage {
                reference: reference.familiar(),
                span,
                stage: None,
                source: Box::new(other),
            },
        }
    }

    /// Names the stage of `stages` that may have been meant by a word that was taken for an image.
    pub(crate) fn with_nearest_stage(mut self, stages: &[Stage]) -> Self {
        if let Self::BaseImage { reference, stage, .. } = &mut self {
            let names = stages.iter().filter_map(|stage| Some(stage.from.name.as_ref()?.value.as_str()));
            let word = reference.strip_suffix(":latest").unwrap_or(reference);
            *stage = nearest(word, names).map(str::to_owned);
        }
        self
    }

    /// Whether the cause, however deep, is a disk without space or a user without quota.
    pub fn is_disk_full(&self) -> bool {
        self.has_cause(&[io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded])
    }

    /// Whether the cause, however deep, is a file that would be larger than this process or file system may have one.
    pub fn is_file_too_large(&self) -> bool {
        self.has_cause(&[io::ErrorKind::FileTooLarge])
    }

    fn has_cause(&self, kinds: &[io::ErrorKind]) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            let of_sandbox = || error.downcast_ref::<sandbox::Error>().and_then(sandbox::Error::errno);
            let kind = match (error.downcast_ref::<io::Error>(), error.downcast_ref::<rustix::io::Errno>()) {
                (Some(error), _) => Some(error.kind()),
                (None, Some(errno)) => Some(errno.kind()),
                (None, None) => of_sandbox().map(|errno| io::Error::from_raw_os_error(errno.0).kind()),
            };
            if kind.is_some_and(|kind| kinds.contains(&kind)) {
                return true;
            }
            cause = error.source();
        }
        false
    }

    /// Says which source this error is about.
    pub(crate) fn for_remote(self, remote: &Remote) -> Self {
        match self {
            Self::Canceled | Self::Registry(registry::Error::Canceled) => Self::Canceled,
            Self::Remote { .. } => self,
            other => Self::Remote { what: remote.shown(), span: None, source: Box::new(other) },
        }
    }

    /// Place in the Dockerfile, if the error has one.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Dockerfile(diagnostics) => diagnostics.first().map(|d| d.span),
            Self::RunFailed { span, .. }
            | Self::Sandbox { span, .. }
            | Self::Step { span, .. }
            | Self::ContextChanged { span }
            | Self::Foreign { span, .. }
            | Self::Copy { span, .. }
            | Self::BaseImage { span, .. } => Some(*span),
            Self::Unsupported { span, .. } | Self::Remote { span, .. } => *span,
            _ => None,
        }
    }
}
