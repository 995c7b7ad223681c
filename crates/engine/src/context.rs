//! The folders that COPY, ADD and bind mounts read from: the build context and the named ones, read where they lie (or
//! where `fetch.rs` has put them).
//!
//! Each has its own ignore file. Which files a step selects is decided by `layer::select`; the patterns come from
//! `dockerfile::ignore`. Source of the look-up order: BuildKit `dockerui/config.go`.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use jettison_dockerfile::ignore::Patterns;
use jettison_layer::select::PathFilter;
use jettison_plan::Source;

use crate::error::Error;
use crate::filesystem;
use crate::regular_file;
use crate::request::{BuildRequest, ContextSource};

/// Largest ignore file that is read, bytes.
const IGNORE_BYTES_MAX: u64 = 1 << 20;

/// One folder with its ignore patterns.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) root: OwnedFd,
    pub(crate) ignore: Ignore,
    /// Owners of its files are kept; those of a folder are whoever checked it out, and become root.
    pub(crate) has_owners: bool,
}

impl Context {
    /// The owner that files get.
    pub(crate) fn force_owner(&self) -> Option<(u32, u32)> {
        (!self.has_owners).then_some((0, 0))
    }

    /// Opens `source`; `ignore_files` says where the ignore file of a folder may lie.
    fn open(
        source: &ContextSource,
        ignore_files: impl Fn(&Path) -> Vec<PathBuf>,
    ) -> Result<Option<Self>, Error> {
        Ok(match source {
            ContextSource::Empty => None,
            ContextSource::Folder(path) => {
                let ignore = read_first(ignore_files(path).into_iter())?;
                Some(Self { root: filesystem::open_directory(path)?, ignore, has_owners: false })
            }
            ContextSource::Fetched(fetched) => Some(Self {
                root: fetched.root().map_err(Error::io("open", "the context"))?,
                ignore: Ignore::none(),
                has_owners: fetched.has_owners,
            }),
        })
    }
}

/// Ignore patterns as a path filter.
#[derive(Debug)]
pub(crate) struct Ignore {
    patterns: Patterns,
    /// The file that they came from, for hints.
    pub(crate) file: Option<PathBuf>,
}

impl Ignore {
    pub(crate) fn none() -> Self {
        Self { patterns: Patterns::default(), file: None }
    }

    /// Patterns of `--exclude`.
    pub(crate) fn from_patterns(patterns: Patterns) -> Self {
        Self { patterns, file: None }
    }
}

impl PathFilter for Ignore {
    fn excluded(&self, path: &[u8]) -> bool {
        !self.patterns.is_empty() && self.patterns.excludes(path)
    }

    fn may_reinclude(&self) -> bool {
        self.patterns.has_negations()
    }
}

/// All contexts of a build.
#[derive(Debug)]
pub(crate) struct Contexts {
    main: Option<Context>,
    named: BTreeMap<String, Context>,
}

impl Contexts {
    /// Opens the folders of `request` and reads their ignore files.
    pub(crate) fn open(request: &BuildRequest) -> Result<Self, Error> {
        let main = Context::open(&request.context, |folder| ignore_files(request, folder).collect())?;
        let mut named = BTreeMap::new();
        for (name, source) in &request.named_contexts {
            let ignore = |folder: &Path| vec![folder.join(".dockerignore")];
            if let Some(context) = Context::open(source, ignore)? {
                named.insert(name.clone(), context);
            }
        }
        Ok(Self { main, named })
    }

    /// The patterns of the build context's ignore file; `None` if it has none.
    pub(crate) fn ignore_patterns(&self) -> Option<&Patterns> {
        self.main.as_ref().map(|context| &context.ignore.patterns).filter(|patterns| !patterns.is_empty())
    }

    /// The folder behind `source`; `None` if it is no folder, or the context is empty.
    pub(crate) fn get(&self, source: &Source) -> Option<&Context> {
        match source {
            Source::Context => self.main.as_ref(),
            Source::NamedContext(name) => self.named.get(name),
            Source::Fs(_) => None,
        }
    }
}

/// The patterns of the build context's ignore file, without opening the context.
pub(crate) fn ignore_file(request: &BuildRequest) -> Result<Option<Patterns>, Error> {
    match &request.context {
        ContextSource::Empty | ContextSource::Fetched(_) => Ok(None),
        ContextSource::Folder(path) => {
            let patterns = read_first(ignore_files(request, path))?.patterns;
            Ok(Some(patterns).filter(|patterns| !patterns.is_empty()))
        }
    }
}

/// Where the ignore file of the build context may lie, the first that exists counting.
fn ignore_files<'a>(request: &'a BuildRequest, folder: &Path) -> impl Iterator<Item = PathBuf> + use<'a> {
    let beside = request.dockerfile.path.as_deref().map(ignore_file_beside);
    beside.into_iter().chain([folder.join(".dockerignore")])
}

fn ignore_file_beside(dockerfile: &Path) -> PathBuf {
    let mut name = dockerfile.as_os_str().to_owned();
    name.push(".dockerignore");
    PathBuf::from(name)
}

/// The first of `candidates` that exists.
fn read_first(candidates: impl Iterator<Item = PathBuf>) -> Result<Ignore, Error> {
    for path in candidates {
        let text = match regular_file::read(&path, IGNORE_BYTES_MAX) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                continue;
            }
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        let patterns =
            Patterns::parse(&text).map_err(|source| Error::IgnoreFile { path: path.clone(), source })?;
        return Ok(Ignore { patterns, file: Some(path) });
    }
    Ok(Ignore::none())
}
