//! From a Dockerfile whose image is also the place where it was built, to one with a separate build stage.
//!
//! [`propose`] is a pure decision over what a build gave (files, config, which instruction brought which file) and the
//! Dockerfile itself. It answers with the text of a new Dockerfile, or with the reason why there is none. What it keeps
//! is proved: the files that it names make a tree on which the start-proof finds nothing that it did not find before.
//!
//! `program.rs` finds what is started; `libraries.rs` what that loads; `data.rs` what it may read; `kept.rs` is the
//! image to be, for the proof; `source.rs` and `stage.rs` write the two stages; `health.rs` is HEALTHCHECK; `go.rs` knows about
//! cgo.

mod data;
mod go;
mod health;
mod kept;
mod libraries;
mod packages;
mod program;
mod source;
mod stage;

use std::collections::BTreeMap;
use std::io;

use jettison_dockerfile::{Dockerfile, Span};
use jettison_inspect::{Image, Severity, Tree, View, prove};
use jettison_oci::{ContainerConfig, Platform};

pub use go::without_cgo;
pub use source::check;

/// How often the proof may ask for more files.
const ROUNDS_MAX: usize = 8;

/// A build as it was written, and what came of it.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The Dockerfile's text.
    pub source: &'a str,
    /// The same, read.
    pub dockerfile: &'a Dockerfile,
    /// The files of the image.
    pub tree: &'a dyn Tree,
    /// Its config.
    pub config: &'a ContainerConfig,
    /// What it is for.
    pub platform: &'a Platform,
    /// Paths that instructions of the Dockerfile brought, each with the last one that did.
    pub brought: &'a BTreeMap<Vec<u8>, Span>,
    /// Paths that are to be kept whatever the program says of them, absolute.
    pub keep: &'a [String],
}

/// A Dockerfile to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Its text.
    pub dockerfile: String,
    /// What is started, in a few words: `/myserver (static)`.
    pub program: String,
    /// Files of the context that stay behind although they are no sources: nothing in the program names them.
    pub left_behind: Vec<String>,
    /// A Go program that needs the C library for nothing but the standard library's sake: it can do without cgo.
    pub can_do_without_cgo: bool,
}

/// Why there is no proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One sentence.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The instruction that stands against it.
    pub span: Option<Span>,
}

impl Refusal {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: None, span: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }
}

/// What keeps [`propose`] from an answer.
#[derive(Debug)]
pub enum Error {
    /// There is none.
    Refused(Refusal),
    /// Files could not be read.
    Read(io::Error),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// A file or folder that goes into the image, and why. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    source: Vec<u8>,
    destination: Vec<u8>,
    why: String,
    /// Owner and group, if they are not root's.
    owner: Option<(u32, u32)>,
}

impl Item {
    /// Something that stays where it was.
    fn same(path: &[u8], why: impl Into<String>) -> Self {
        let path = [b"/", &jettison_inspect::proof::cleaned(path)[..]].concat();
        Self { source: path.clone(), destination: path, why: why.into(), owner: None }
    }
}

/// Decides what the image needs, and writes the Dockerfile that makes it.
///
/// # Errors
/// If it is not proved that the smaller image starts as the larger one does, or files cannot be read.
pub fn propose(subject: &Subject<'_>) -> Result<Proposal, Error> {
    check(subject.dockerfile)?;
    let view = View::new(subject.tree);
    let original = prove(&Image {
        tree: subject.tree,
        config: subject.config,
        platform: subject.platform,
        provenance: None,
    })?;
    let started = program::find(subject, &view, &original)?;
    let loaded = libraries::of(subject, &view, &started)?;
    let mut items = vec![started.item()];
    items.extend(loaded.items);
    let mut config = stage::config(subject, &started);
    config.healthcheck = health::check(subject, &view, &started)?;
    let makes_temporary_files = data::add_named(subject, &view, &started, &mut items)?;
    let mut report = None;
    for _ in 0..ROUNDS_MAX {
        let tree = kept::Kept::new(subject.tree, &view, &items)?;
        let found =
            prove(&Image { tree: &tree, config: &config, platform: subject.platform, provenance: None })?;
        let more = data::wanted(&view, &found, &loaded.default_directories, &items)?;
        let is_enough = more.is_empty();
        items.extend(more);
        report = Some(found);
        if is_enough {
            break;
        }
    }
    let report = report.expect("there is at least one round");
    let known =
        |rule: &str| original.findings.iter().any(|f| f.rule == rule && f.severity >= Severity::Warning);
    let new = report.findings.iter().find(|f| f.severity >= Severity::Warning && !known(f.rule));
    if let Some(finding) = new.or_else(|| report.findings.iter().find(|f| f.severity == Severity::Error)) {
        let reason = format!("the smaller image would not be sure to start: {}", finding.message);
        return Err(Refusal::new(reason).hint("keep what it needs with --keep PATH").into());
    }
    let left_behind = data::left_behind(subject, &items);
    Ok(Proposal {
        dockerfile: source::write(subject, &view, &started, &items, &config, makes_temporary_files)?,
        program: match (&report.program, &report.kind) {
            (Some(program), Some(kind)) => format!("{program} ({kind})"),
            _ => report.command.join(" "),
        },
        left_behind,
        can_do_without_cgo: go::can_do_without_cgo(&view, &started)?,
    })
}

/// A path as people write it.
fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
