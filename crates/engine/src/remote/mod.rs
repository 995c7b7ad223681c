//! What is fetched from elsewhere: files over HTTP, commits of Git repositories. For ADD, and for contexts.
//!
//! Two stages: *resolving* finds out what a source holds now (the digest of a body, a commit) and is done in every build,
//! because only that may decide a cache hit; *checking out* a commit is done when a step needs its files. Read next:
//! `http.rs`, `git.rs`; `git_program.rs` and `submodules.rs` for how the program `git` is kept
//! in check.

mod git;
mod git_program;
mod http;
mod ls_remote;
mod settle;
mod submodules;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use jettison_dockerfile::Span;
use jettison_layer::select::{Selected, Selection};
use jettison_layer::{Entry, Kind};
use jettison_oci::Digest;
use jettison_plan::key;
use jettison_plan::remote::{Git, Http, Remote};
use jettison_plan::{Action, Plan, RemoteSource};
use jettison_store::SnapshotId;

use crate::error::Error;
use crate::images::Images;
use crate::pull::each_at_once;
use crate::request::Secret;
use crate::tasks::{Done, Tasks};
use crate::{event::Event, filesystem};

/// Sources that are resolved at the same time.
const AT_ONCE_MAX: usize = 4;
/// Mode of a file from a URL, unless `--chmod` says otherwise. Source: BuildKit `source/http`.
const FILE_MODE: u32 = 0o600;

/// What a source holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// A file, its bytes in the store.
    File {
        /// Their digest.
        body: Digest,
        /// Their number.
        size: u64,
        /// `Last-Modified`, else 0; seconds since 1970.
        mtime_s: i64,
    },
    /// A commit; its files may not be here yet.
    Commit(String),
}

impl Resolved {
    /// What a copy of it depends on.
    pub(crate) fn digest(&self, remote: &Remote) -> Digest {
        match (self, remote) {
            (Self::File { body, mtime_s, .. }, Remote::Http(http)) => {
                key::file_digest(body, &http.name, *mtime_s)
            }
            (Self::Commit(commit), Remote::Git(git)) => key::commit_digest(git, commit),
            _ => unreachable!("a URL resolves to a file and a repository to a commit"),
        }
    }
}

/// Fetches, and remembers for one build what each source turned out to hold: all its steps must see the same.
#[derive(Debug)]
pub(crate) struct Remotes<'a> {
    pub(crate) images: Images<'a>,
    secrets: &'a BTreeMap<String, Secret>,
    agents: &'a BTreeMap<String, PathBuf>,
    known: Mutex<BTreeMap<Remote, Resolved>>,
}

impl<'a> Remotes<'a> {
    pub(crate) fn new(
        images: Images<'a>,
        secrets: &'a BTreeMap<String, Secret>,
        agents: &'a BTreeMap<String, PathBuf>,
    ) -> Self {
        Self { images, secrets, agents, known: Mutex::default() }
    }

    /// Resolves every source of `plan`, several at a time.
    pub(crate) fn resolve_all(&self, plan: &Plan, tasks: &Tasks<'_>) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        let copies = plan.steps.iter().filter_map(|step| match &step.action {
            Action::Copy(copy) => Some(copy),
            _ => None,
        });
        let sources: Vec<&RemoteSource> =
            copies.flat_map(|copy| &copy.remotes).filter(|source| seen.insert(&source.remote)).collect();
        each_at_once(&sources, AT_ONCE_MAX, |source| {
            let shown = source.remote.shown();
            let task = tasks.add(format!("resolve {shown}"));
            let id = Digest::sha256(shown.as_bytes());
            tasks.run(task, || {
                let progress = |done_bytes, total_bytes| {
                    tasks.sink.emit(Event::Transfer { task, digest: id.clone(), done_bytes, total_bytes });
                };
                let (_, done) = self.resolve(&source.remote, &progress).map_err(|e| e.at_source(source))?;
                Ok(((), done))
            })
        })
    }

    /// What `remote` holds now.
    pub(crate) fn resolve(
        &self,
        remote: &Remote,
        progress: &dyn Fn(u64, Option<u64>),
    ) -> Result<(Resolved, Done), Error> {
        if let Some(known) = self.known(remote) {
            return Ok((known, Done::Cached));
        }
        let (resolved, done) = match &self.permitted(remote)? {
            Remote::Http(http) => self.resolve_http(http, progress),
            Remote::Git(git) => self.resolve_git(git).map(|commit| (Resolved::Commit(commit), Done::Ran)),
        }
        .map_err(|error| error.for_remote(remote))?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(remote.clone(), resolved.clone());
        Ok((resolved, done))
    }

    /// What `remote` was found to hold.
    pub(crate) fn known(&self, remote: &Remote) -> Option<Resolved> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(remote).cloned()
    }

    /// The files of a commit.
    pub(crate) fn checkout(&self, git: &Git, commit: &str) -> Result<SnapshotId, Error> {
        let remote = Remote::Git(git.clone());
        let Remote::Git(git) = self.permitted(&remote)? else {
            unreachable!("a repository stays a repository")
        };
        self.check_out(&git, commit).map_err(|error| error.for_remote(&remote))
    }

    /// What the policy puts in the place of `remote`.
    fn permitted(&self, remote: &Remote) -> Result<Remote, Error> {
        let Some(policy) = self.images.policy else { return Ok(remote.clone()) };
        policy.remote(remote).map_err(|reason| Error::Policy(reason).for_remote(remote))
    }

    /// The value of a secret as text of one line.
    fn secret(&self, id: &str) -> Option<String> {
        let value = self.secrets.get(id)?;
        let text = std::str::from_utf8(&value.0).ok()?.trim();
        (!text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
    }

    /// A file as the only thing that is selected, and the directory that it is read from.
    pub(crate) fn file(
        &self,
        http: &Http,
        body: &Digest,
        size: u64,
        mtime_s: i64,
    ) -> Result<(OwnedFd, Selection), Error> {
        let path = self.images.store.blob_path(body);
        let folder = filesystem::open_directory(path.parent().expect("blobs lie in a folder"))?;
        let root = Entry {
            path: Vec::new(),
            kind: Kind::File { size },
            mode: FILE_MODE,
            uid: 0,
            gid: 0,
            mtime_s,
            mtime_ns: 0,
            xattrs: Vec::new(),
        };
        let selected = Selected {
            real: body.hex().as_bytes().to_vec(),
            name: http.name.clone().into_bytes(),
            root,
            entries: Vec::new(),
            // It lies under its digest already; nobody hashes it again.
            files: Vec::new(),
            wildcard: false,
        };
        Ok((folder, Selection { sources: vec![selected], stamp: 0 }))
    }
}

impl Error {
    /// This error at the word of the Dockerfile that it is about.
    pub(crate) fn at_source(self, source: &RemoteSource) -> Self {
        match self {
            Self::Remote { what, span: None, source: inner } => {
                let span: Span = match *inner {
                    Self::WrongContent { .. } => source.checksum_span,
                    _ => source.span,
                };
                Self::Remote { what, span: Some(span), source: inner }
            }
            other => other,
        }
    }
}
