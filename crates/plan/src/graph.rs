//! The graph of steps: what has to happen to file systems, and what the image's config will say.
//!
//! A plan is made of values only. Instructions that change no file (ENV, CMD, …) are already folded into the config
//! of their stage; what is left are steps, each of which turns one file system into the next.

use std::collections::BTreeMap;

use jettison_dockerfile::Span;
use jettison_oci::{ImageConfig, Platform, Reference};
use serde::{Deserialize, Serialize};

use crate::remote::Remote;

/// Index into [`Plan::steps`]. Steps stand after everything that they need.
pub type StepId = usize;
/// Index into [`Plan::images`].
pub type ImageId = usize;
/// Index into [`Plan::stages`].
pub type StageId = usize;

/// Everything that has to be done for one target on one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The platform of the result.
    pub platform: Platform,
    /// Steps in an order in which each stands after what it needs.
    pub steps: Vec<Step>,
    /// The stages that the target needs, in Dockerfile order. The last is the target.
    pub stages: Vec<Stage>,
    /// Images that are needed: as a base, or as a source of COPY or a mount.
    pub images: Vec<Image>,
}

impl Plan {
    /// The stage that becomes the image.
    pub fn target(&self) -> &Stage {
        self.stages.last().expect("a plan has at least its target stage")
    }
}

/// An image that the plan needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Image {
    /// Its name.
    pub reference: Reference,
    /// For which platform.
    pub platform: Platform,
    /// Where the Dockerfile asks for it.
    pub span: Span,
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Position among the FROM lines of the Dockerfile, from 0.
    pub index: usize,
    /// The name behind AS.
    pub name: Option<String>,
    /// Place of the FROM line.
    pub span: Span,
    /// What the stage starts from.
    pub base: Fs,
    /// The file system at the end of the stage.
    pub result: Fs,
    /// The steps of the stage, in order.
    pub steps: Vec<StepId>,
    /// The config at the end of the stage. `rootfs` and `created` are left to the engine; `history` holds the base
    /// image's entries only (new ones are in [`Stage::history`]). Of a plan with very many stages only the target's
    /// config, history and places are kept.
    pub config: ImageConfig,
    /// New history entries, in order.
    pub history: Vec<HistoryEntry>,
    /// The instructions that the config comes from.
    pub places: Places,
}

/// Where each part of a config was said; `None` for what the base image brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// ENTRYPOINT.
    pub entrypoint: Option<Span>,
    /// CMD.
    pub cmd: Option<Span>,
    /// USER.
    pub user: Option<Span>,
    /// WORKDIR.
    pub working_directory: Option<Span>,
    /// HEALTHCHECK.
    pub healthcheck: Option<Span>,
    /// ENV, by the name as written.
    pub variables: BTreeMap<String, Span>,
}

impl Places {
    /// Notes an instruction that was folded into the config.
    pub(crate) fn note(&mut self, kind: &jettison_dockerfile::Kind, span: Span) {
        use jettison_dockerfile::Kind;
        match kind {
            Kind::Entrypoint(_) => self.entrypoint = Some(span),
            Kind::Cmd(_) => self.cmd = Some(span),
            Kind::User(_) => self.user = Some(span),
            Kind::Workdir(_) => self.working_directory = Some(span),
            Kind::Healthcheck(_) => self.healthcheck = Some(span),
            Kind::Env(pairs) => {
                self.variables.extend(pairs.iter().map(|pair| (pair.key.value.clone(), span)));
            }
            _ => {}
        }
    }
}

/// A history entry to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// BuildKit's text, such as `COPY a /b # buildkit`.
    pub created_by: String,
    /// The step whose layer this is; `None` for `empty_layer`.
    pub step: Option<StepId>,
}

/// A file system: the input of a step, or the source of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fs {
    /// Nothing.
    Scratch,
    /// An image as it is.
    Image(ImageId),
    /// What a step left.
    Step(StepId),
}

/// Where COPY, ADD and bind mounts read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The build context.
    Context,
    /// A context given by `--build-context NAME=folder`.
    NamedContext(String),
    /// A stage or image.
    Fs(Fs),
}

/// One step: `input` becomes the next file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The stage that it belongs to (index into [`Plan::stages`]).
    pub stage: StageId,
    /// Place of the instruction (of the base's FROM for ONBUILD triggers).
    pub span: Span,
    /// What people see: `[build 2/4] RUN go build -o /myserver .`
    pub name: String,
    /// The platform of its stage: what a process of it runs on.
    pub platform: Platform,
    /// The file system before.
    pub input: Fs,
    /// What to do.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run a process.
    Run(Run),
    /// Copy files (COPY, and ADD of files).
    Copy(Copy),
    /// Make the working directory.
    Workdir(Workdir),
}

impl Action {
    /// Whether it has to be done again, whatever the cache has.
    pub fn no_cache(&self) -> bool {
        match self {
            Self::Run(run) => run.no_cache,
            Self::Copy(copy) => copy.no_cache,
            Self::Workdir(workdir) => workdir.no_cache,
        }
    }
}

/// RUN, fully expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What to execute, SHELL already in front of shell forms.
    pub argv: Vec<String>,
    /// A script for `/dev/pipes/NAME` (name, text).
    pub script: Option<(String, String)>,
    /// Environment in order, PATH included, proxies excluded.
    pub env: Vec<String>,
    /// Proxy variables: in the environment of the step, not in its key.
    pub proxy_env: Vec<String>,
    /// Absolute working directory.
    pub cwd: String,
    /// USER as written; empty means root.
    pub user: String,
    /// Mounts in order.
    pub mounts: Vec<Mount>,
    /// Network of the step.
    pub network: Network,
    /// Name of the host, if the build argument `BUILDKIT_SANDBOX_HOSTNAME` gives one.
    pub host_name: Option<String>,
    /// Sandbox or insecure.
    pub security: Security,
    /// Whether the result may come from the cache.
    pub no_cache: bool,
}

/// Network of a RUN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the words of the language")]
pub enum Network {
    #[default]
    Default,
    None,
    Host,
}

/// Security mode of a RUN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the words of the language")]
pub enum Security {
    #[default]
    Sandbox,
    Insecure,
}

/// A mount of a RUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Absolute target.
    pub target: String,
    /// What is mounted.
    pub kind: MountKind,
    /// Place of the flag.
    pub span: Span,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// Files of a context, stage or image.
    Bind {
        /// From where.
        from: Source,
        /// Path inside it.
        path: String,
        /// A writable view; writes are discarded.
        writable: bool,
    },
    /// A directory that survives the build.
    Cache {
        /// Its identity.
        id: String,
        /// Base content.
        from: Option<Fs>,
        /// Path inside the base content.
        path: String,
        /// How concurrent steps share it.
        sharing: Sharing,
        /// Mode of the directory.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Mounted read-only.
        read_only: bool,
    },
    /// Memory.
    Tmpfs {
        /// Limit, bytes.
        size: Option<u64>,
    },
    /// A secret as a file, a variable, or both.
    Secret {
        /// Its id.
        id: String,
        /// Whether there is a file at `target`.
        file: bool,
        /// Variable name.
        env: Option<String>,
        /// Fail if it is not given.
        required: bool,
        /// Mode of the file.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// An SSH agent socket.
    Ssh {
        /// Agent id.
        id: String,
        /// Fail if it is not given.
        required: bool,
        /// Mode of the socket.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
}

/// How concurrent steps share a cache mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words of the language")]
pub enum Sharing {
    #[default]
    Shared,
    Private,
    Locked,
}

/// COPY or ADD, fully expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// From where.
    pub from: Source,
    /// Paths and patterns as expanded, with the place of each.
    pub sources: Vec<(String, Span)>,
    /// ADD: what has to be fetched, in order.
    pub remotes: Vec<RemoteSource>,
    /// Files written in the Dockerfile: name and text.
    pub inline: Vec<(String, String)>,
    /// Absolute destination; a trailing `/` is kept, it means "a directory".
    pub destination: String,
    /// `--chown` as expanded.
    pub chown: Option<String>,
    /// `--chmod`.
    pub chmod: Option<Chmod>,
    /// `--exclude` patterns.
    pub excludes: Vec<String>,
    /// `--parents`.
    pub parents: bool,
    /// `--link`.
    pub link: bool,
    /// ADD: unpack local archives.
    pub unpack: bool,
    /// Whether the result may come from the cache.
    pub no_cache: bool,
}

impl Copy {
    /// A plain copy of `sources` to `destination`.
    pub fn plain(from: Source, sources: Vec<(String, Span)>, destination: &str) -> Self {
        Self {
            from,
            sources,
            remotes: Vec::new(),
            inline: Vec::new(),
            destination: destination.to_owned(),
            chown: None,
            chmod: None,
            excludes: Vec::new(),
            parents: false,
            link: false,
            unpack: false,
            no_cache: false,
        }
    }

    /// Whether it copies files of one place and nothing else from elsewhere.
    pub fn is_local(&self) -> bool {
        self.remotes.is_empty() && !self.sources.is_empty()
    }

    /// A plain copy of what is at `path`, whatever characters are in it.
    pub fn of_path(from: Source, path: &str, span: Span, destination: &str) -> Self {
        let mut literal = String::with_capacity(path.len());
        for c in path.chars() {
            literal.extend(matches!(c, '*' | '?' | '[' | '\\').then_some('\\'));
            literal.push(c);
        }
        Self::plain(from, vec![(literal, span)], destination)
    }

    /// Positions of local and remote sources in the order in which they were written.
    pub fn in_order(&self) -> Vec<Position> {
        let mut order = Vec::with_capacity(self.sources.len() + self.remotes.len());
        let mut remotes = self.remotes.iter().enumerate().peekable();
        for local in 0..=self.sources.len() {
            while let Some((remote, _)) = remotes.next_if(|(_, r)| r.locals_before <= local) {
                order.push(Position::Remote(remote));
            }
            if local < self.sources.len() {
                order.push(Position::Local(local));
            }
        }
        order
    }
}

/// One source of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Index into [`Copy::sources`].
    Local(usize),
    /// Index into [`Copy::remotes`].
    Remote(usize),
}

/// A source of ADD that has to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteSource {
    /// What to fetch.
    pub remote: Remote,
    /// How many of [`Copy::sources`] stand before it.
    pub locals_before: usize,
    /// Unpack it if it is an archive.
    pub unpack: bool,
    /// Place of the source.
    pub span: Span,
    /// Place of `--checksum`, or of the source.
    pub checksum_span: Span,
}

/// A mode to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chmod {
    /// An octal mode, 0 to 07777.
    Octal(u32),
    /// chmod(1) clauses, already checked.
    Symbolic(String),
}

/// WORKDIR: make a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workdir {
    /// Absolute, cleaned path.
    pub path: String,
    /// USER as written; owns what is made.
    pub user: String,
    /// Whether the result may come from the cache.
    pub no_cache: bool,
}

/// What the planner is told from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--target`.
    pub target: Option<String>,
    /// `--build-arg`, in order, last wins.
    pub build_args: Vec<(String, String)>,
    /// `--platform`; `None` = the host's.
    pub platform: Option<Platform>,
    /// The platform that the build runs on; `None` = the host's.
    pub build_platform: Option<Platform>,
    /// `--label`.
    pub labels: Vec<(String, String)>,
    /// `--network`.
    pub network: Network,
    /// `--no-cache`.
    pub no_cache: bool,
    /// `--no-cache-filter`: names of stages, in any case.
    pub no_cache_filter: Vec<String>,
    /// Names of `--build-context`, each with what it stands for.
    pub contexts: BTreeMap<String, NamedContext>,
}

/// What a `--build-context` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedContext {
    /// Files: a folder, a repository, a file from a URL.
    Folder,
    /// `docker-image://REF`
    Image(Reference),
    /// `docker-image://scratch`
    Scratch,
    /// `target:STAGE`, a stage of the same Dockerfile.
    Stage(String),
}
