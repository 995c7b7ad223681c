//! Errors as people see them: one line of cause, the place with its snippet, a hint that works, an exit code per kind.
//!
//! Every error of the libraries is turned into a [`Failure`] here and nowhere else.

use std::fmt;

use annotate_snippets::{Level, Renderer};
use jettison_dockerfile::{Diagnostic, Severity, Span};
use jettison_engine as engine;
use jettison_oci::Platform;
use jettison_registry as registry;
use jettison_sandbox as sandbox;
use jettison_store as store;

use crate::snippet::{Remark, Source};

/// What kind of failure; each has its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A step, or anything else, failed.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The Dockerfile or the context has an error.
    Dockerfile = 3,
    /// An image or a registry.
    Image = 4,
    /// The store or a disk.
    Store = 5,
    /// This machine does not permit what is needed.
    Environment = 6,
    /// The image cannot start, and this was asked to be an error.
    CannotStart = 7,
}

/// A failure, ready to be printed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    message: String,
    hint: Option<String>,
    diagnostics: Vec<Diagnostic>,
    /// The end of a failed command's output.
    tail: Vec<u8>,
    /// Set when the user or a signal ended the command: nothing is printed but one word.
    pub(crate) canceled: bool,
    /// See [`Failure::container_code`].
    container_code: Option<u8>,
    /// The name under which the files of a failed step were kept.
    pub(crate) kept: Option<Box<str>>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
            hint: None,
            diagnostics: Vec::new(),
            tail: Vec::new(),
            canceled: false,
            container_code: None,
            kept: None,
        }
    }

    /// Errors of a Dockerfile.
    pub(crate) fn of_dockerfile(diagnostics: Vec<Diagnostic>) -> Self {
        Self::from(engine::Error::Dockerfile(diagnostics))
    }

    /// Something about one instruction.
    pub(crate) fn at(kind: Kind, message: impl fmt::Display, span: Span, hint: Option<String>) -> Self {
        let message = message.to_string();
        let diagnostic =
            Diagnostic { severity: Severity::Error, code: "build", message: message.clone(), span, hint };
        Self { diagnostics: vec![diagnostic], ..Self::new(kind, message) }
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Kind::Usage, message)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The exit code of `jettison run` when the container did not start, as docker has it: 127 not found, 126 not
    /// executable, 125 anything else.
    pub(crate) fn container_code(&self) -> u8 {
        self.container_code.unwrap_or(125)
    }

    /// A file that cannot be read or written.
    pub(crate) fn io(action: &str, path: impl fmt::Display, error: &std::io::Error) -> Self {
        let failure = Self::new(Kind::Failed, format!("cannot {action} {path}: {error}"));
        match error.kind() {
            std::io::ErrorKind::StorageFull => failure.hint(DISK_FULL),
            std::io::ErrorKind::FileTooLarge => failure.hint(FILE_TOO_LARGE),
            _ => failure,
        }
    }

    /// Prints to standard error. `source` is the Dockerfile's name and text, for places in it.
    pub(crate) fn print(&self, source: Option<(&str, &str)>, colour: bool) {
        let mut out = anstream::stderr().lock();
        // Nobody is left to tell if standard error is gone.
        let _ = std::io::Write::write_all(&mut out, self.render(source, colour).as_bytes());
    }

    fn render(&self, source: Option<(&str, &str)>, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        if !self.tail.is_empty() {
            text.push_str("--- last lines of its output ---\n");
            text.push_str(&String::from_utf8_lossy(&self.tail));
            text.push_str("\n---\n");
        }
        if let (Some((name, dockerfile)), false) = (source, self.diagnostics.is_empty()) {
            let source = Source::new(name, dockerfile);
            for diagnostic in &self.diagnostics {
                text.push_str(&render_diagnostic(&renderer, &source, diagnostic));
            }
        } else {
            text.push_str(if colour { "\u{1b}[1m\u{1b}[91merror\u{1b}[0m: " } else { "error: " });
            text.push_str(&self.message);
            text.push('\n');
        }
        if let Some(hint) = &self.hint {
            text.push_str("hint: ");
            text.push_str(hint);
            text.push('\n');
        }
        text
    }
}

const FOREIGN: &str = "install qemu-user-static (Debian registers it with the kernel), or run tonistiigi/binfmt once; or \
                       cross-compile in a stage FROM --platform=$BUILDPLATFORM";

const CHANGED: &str =
    "build again when nothing writes to them, or let the ignore file name what does not belong";

const FILE_TOO_LARGE: &str = "`ulimit -f` says how large a file may be";
const DISK_FULL: &str = "free some space; `jettison prune` removes build cache that no image needs";

/// One diagnostic with `file:line:column`, snippet and caret.
fn render_diagnostic(renderer: &Renderer, source: &Source<'_>, diagnostic: &Diagnostic) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let notes = diagnostic.hint.iter().map(|hint| (Level::HELP, hint.as_str())).collect();
    let remark = Remark { level, rule: None, message: &diagnostic.message, notes };
    source.draw(renderer, diagnostic.span, remark)
}

/// A Dockerfile as text to be shown: what is no UTF-8 becomes as many question marks as it has bytes, so that places
/// stay where they are.
pub(crate) fn text_with_places(source: &[u8]) -> String {
    let mut text = String::with_capacity(source.len());
    for chunk in source.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(std::iter::repeat_n('?', chunk.invalid().len()));
    }
    text
}

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Self {
        use engine::Error as E;
        let message = error.to_string();
        let span = error.span();
        let at = |kind: Kind, message: String, hint: Option<String>| {
            let mut failure = Self::new(kind, &message);
            match span {
                Some(span) => {
                    let code = "build";
                    failure.diagnostics =
                        vec![Diagnostic { severity: Severity::Error, code, message, span, hint }];
                }
                None => failure.hint = hint,
            }
            failure
        };
        if let Some(hint) = room(&error) {
            return at(Kind::Store, message, Some(hint.to_owned()));
        }
        match error {
            E::Dockerfile(diagnostics) => Self { diagnostics, ..Self::new(Kind::Dockerfile, message) },
            E::RunFailed { tail, kept, .. } => {
                let hint = kept.as_deref().map(look_at);
                Self { tail, kept, ..at(Kind::Failed, message, hint) }
            }
            E::Sandbox { source, .. } => {
                let inner = Self::from(source);
                at(inner.kind, message, inner.hint)
            }
            E::Step { hint, .. } => at(Kind::Dockerfile, message, hint),
            E::ContextChanged { .. } => at(Kind::Dockerfile, message, Some(CHANGED.to_owned())),
            E::Copy { .. } | E::Unsupported { .. } | E::WrongContent { .. } => {
                at(Kind::Dockerfile, message, None)
            }
            E::Foreign { .. } => at(Kind::Environment, message, Some(FOREIGN.to_owned())),
            E::IgnoreFile { .. } => Self::new(Kind::Dockerfile, message),
            E::BaseImage { source, stage, .. } => {
                let inner = Self::from(*source);
                let stage = stage.map(|stage| format!("did you mean the stage {stage}?"));
                at(Kind::Image, message, stage.or(inner.hint))
            }
            E::OtherPlatform { found, source, .. } => at(Self::from(*source).kind, message, take(&found)),
            E::Remote { source, .. } => {
                let hint = match &*source {
                    E::Registry(error) => remote_hint(error),
                    _ => None,
                };
                let inner = Self::from(*source);
                at(inner.kind, message, hint.or(inner.hint))
            }
            E::Git { hint, .. } => at(Kind::Image, message, hint),
            E::InvalidImage { .. } | E::Policy(_) => Self::new(Kind::Image, message),
            E::NoSuchImage(_) => Self::new(Kind::Image, message)
                .hint("`jettison images` lists what is there; `jettison pull` fetches"),
            E::Registry(source) => Self::from(source),
            E::Store(source) => Self::from(source),
            E::Mount { source, .. } => {
                let inner = Self::from(source);
                Self {
                    kind: Kind::Environment,
                    message,
                    hint: inner.hint,
                    ..Self::new(Kind::Environment, "")
                }
            }
            E::Io { .. } | E::Layer { .. } => Self::new(Kind::Failed, message),
            E::Refused(_) => Self::new(Kind::CannotStart, message)
                .hint("--verify=warn says so and goes on, for a base image or a program in a volume"),
            E::Inspection(_) => Self::new(Kind::Failed, message),
            E::Canceled => Self { canceled: true, ..Self::new(Kind::Failed, "canceled") },
        }
    }
}

/// What helps where there is no room for what was to be written.
fn room(error: &engine::Error) -> Option<&'static str> {
    if error.is_disk_full() {
        return Some(DISK_FULL);
    }
    error.is_file_too_large().then_some(FILE_TOO_LARGE)
}

/// What helps where the server is no registry.
fn remote_hint(error: &registry::Error) -> Option<String> {
    match error.kind() {
        registry::Kind::Unauthorized | registry::Kind::Denied => {
            let host = error.host().unwrap_or("HOST");
            Some(format!("give a token with --secret id=HTTP_AUTH_TOKEN_{host},src=FILE (or env=NAME)"))
        }
        registry::Kind::NotFound => Some("check the address".to_owned()),
        _ => None,
    }
}

impl From<registry::Error> for Failure {
    fn from(error: registry::Error) -> Self {
        let failure = Self::new(Kind::Image, &error);
        match error.kind() {
            registry::Kind::Unauthorized => {
                failure.hint("`jettison login REGISTRY` stores a user name and password")
            }
            registry::Kind::NotFound => {
                failure.hint("check the name and the tag, and whether you may read it")
            }
            registry::Kind::Unreachable => {
                failure.hint("check the name, the network and the proxy variables")
            }
            _ => failure,
        }
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        let failure = Self::new(Kind::Store, &error);
        if matches!(error, store::Error::ImageRow(_)) {
            return failure
                .hint("use the newer jettison; or let `jettison fsck --repair` take the name away");
        }
        if matches!(error, store::Error::DamagedBlob { .. }) {
            return failure.hint("let `jettison fsck --repair` remove it; then pull or build it again");
        }
        match error.kind() {
            store::ErrorKind::NoSpace => failure.hint(DISK_FULL),
            store::ErrorKind::NotWritable => {
                failure.hint("set JETTISON_ROOT to a folder that you may write to")
            }
            _ => failure,
        }
    }
}

/// How to see what a failed step left.
fn look_at(name: &str) -> String {
    format!("its files are kept: `jettison run step:{name}` opens a shell where it ran")
}

/// How to build upon an image of another platform.
fn take(found: &[Platform]) -> Option<String> {
    found.first().map(|platform| format!("to take that one: --platform={platform}"))
}

impl From<sandbox::Error> for Failure {
    fn from(error: sandbox::Error) -> Self {
        let kind = match &error {
            sandbox::Error::NoNamespaces { .. }
            | sandbox::Error::Mount { .. }
            | sandbox::Error::System { .. } => Kind::Environment,
            _ => Kind::Failed,
        };
        let mut failure = Self::new(kind, &error);
        failure.container_code = match &error {
            sandbox::Error::ProgramNotFound { .. } | sandbox::Error::InterpreterNotFound { .. } => Some(127),
            sandbox::Error::ProgramNotExecutable { .. } | sandbox::Error::ProgramFormat { .. } => Some(126),
            _ => None,
        };
        match kind {
            Kind::Environment => {
                failure.hint("`jettison version` says what this machine permits, and how to change it")
            }
            _ => failure,
        }
    }
}
