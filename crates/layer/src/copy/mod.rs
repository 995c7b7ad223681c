//! Carrying a selection over into a tree, by the rules of COPY and ADD.
//!
//! First everything is worked out (`plan.rs`, over the values of `tree.rs`), then it is carried out: written into a tree
//! (`write.rs`, with the primitives of `file.rs`), or encoded as a layer straight from the source (`layer.rs`). Both do
//! the same plan, so they cannot differ. Source of the rules: BuildKit `solver/llbsolver/file/backend.go` and fsutil
//! `copy/copy.go`; the messages are BuildKit's.

mod file;
mod layer;
pub mod mode;
mod plan;
mod tree;
mod write;

use std::io::BufReader;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::inside::{self, NO_LINKS};
use crate::select::{Selected, Selection};
use crate::{Error, Limits, decompress_archive, unpack_archive};
use plan::{Planner, archive_kind};
use tree::{NewDirectory, Tree};

pub use layer::{Listed, Listing, PlannedLayer};
pub use plan::Plan;

/// How to copy.
#[derive(Clone, Debug, Default)]
pub struct CopyOptions {
    /// Absolute path; a trailing `/` or `/.` says that it is a directory.
    pub destination: Vec<u8>,
    /// `--chown`.
    pub chown: Option<(u32, u32)>,
    /// `--chmod`.
    pub chmod: Option<Chmod>,
    /// `--parents`.
    pub parents: bool,
    /// Owner of everything that `--chown` does not say, for sources whose owners mean nothing (a build context).
    pub force_owner: Option<(u32, u32)>,
    /// Unpack sources that are archives.
    pub unpack: bool,
    /// Files to write after the sources: name and content.
    pub inline: Vec<(Vec<u8>, Vec<u8>)>,
    /// Time of what the copy makes by itself, seconds since 1970.
    pub created_mtime_s: i64,
}

/// A mode to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chmod {
    /// These bits.
    Octal(u32),
    /// By clauses.
    Symbolic(mode::Clauses),
}

/// Why a copy failed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A directory was to be copied where something else is.
    #[error("cannot copy to non-directory: {0}")]
    NonDirectory(String),
    /// A file was to be copied where a directory is.
    #[error("cannot replace to directory {0} with file")]
    ReplaceDirectory(String),
    /// Something on the way to the destination is no directory.
    #[error("mkdir {0}: not a directory")]
    NotADirectory(String),
    /// The kernel refused.
    #[error("cannot {action} {path}: {errno}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which path.
        path: String,
        /// Why it failed.
        #[source]
        errno: Errno,
    },
    /// An archive could not be unpacked, or a source not be read.
    #[error(transparent)]
    Layer(#[from] Error),
}

impl CopyError {
    fn io(action: &'static str, path: &[u8], errno: Errno) -> Self {
        Self::Io { action, path: crate::error::shown(path), errno }
    }
}

/// Copies `selection` from below `from` into the tree `to`, which is usually an overlay mount, so that what is changed is
/// copied up by the kernel.
///
/// # Errors
/// [`Error::Changed`] among others, if a file is not any more what it was when it was hashed.
pub fn copy(
    selection: &Selection,
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    options: &CopyOptions,
) -> Result<(), CopyError> {
    // Unpacking an archive moves the times of directories that were set before it.
    let mut late = Vec::new();
    let mut planner = Planner::new(from, Some(to), options)?;
    for source in &selection.sources {
        let kind = if options.unpack { archive_kind(from, source)? } else { None };
        let Some(kind) = kind else {
            planner.source(source)?;
            continue;
        };
        let directory = planner.archive_directory()?;
        let plan = planner.finish();
        plan.write(to)?;
        late.extend(plan.late);
        let opened = inside::open_dir(to, &directory, NO_LINKS)
            .map_err(|errno| CopyError::io("open", &directory, errno))?;
        let file = open(from, source)?;
        let again = file.try_clone().map_err(Error::Read)?;
        let mut tar = decompress_archive(kind, BufReader::new(again)).map_err(Error::Read)?;
        unpack_archive(&mut tar, opened.as_fd(), options.chown, &Limits::default())?;
        source.files.first().map_or(Ok(()), |seen| seen.is(&file, &source.real))?;
        planner = Planner::new(from, Some(to), options)?;
    }
    planner.inlines()?;
    let plan = planner.finish();
    plan.write(to)?;
    late.iter()
        .chain(plan.late.iter().filter(|_| !late.is_empty()))
        .try_for_each(|(path, time)| write::set_time(to, path, *time))
}

/// Works out what [`copy`] would do in a tree that holds what `base` does (`None`: nothing), without writing anything.
/// `None` if an archive is to be unpacked: what is in it shows only then.
pub fn plan<'a>(
    selection: &'a Selection,
    from: BorrowedFd<'a>,
    base: Option<BorrowedFd<'_>>,
    options: &'a CopyOptions,
) -> Result<Option<Plan<'a>>, CopyError> {
    let mut planner = Planner::new(from, base, options)?;
    for source in &selection.sources {
        if options.unpack && archive_kind(from, source)?.is_some() {
            return Ok(None);
        }
        planner.source(source)?;
    }
    planner.inlines()?;
    Ok(Some(planner.finish()))
}

/// Makes the directory `path` and its missing parents, links followed inside the root; what exists is not touched.
pub fn make_directories(
    root: BorrowedFd<'_>,
    path: &[u8],
    owner: (u32, u32),
    mode: u32,
    mtime_s: i64,
) -> Result<(), CopyError> {
    let mut tree = Tree::new(Some(root));
    tree.make_all(&cleaned(path), &NewDirectory { owner, mode })?;
    Plan::of(tree, root, mtime_s).write(root)
}

fn open(from: BorrowedFd<'_>, source: &Selected) -> Result<std::fs::File, CopyError> {
    // A pipe may have taken its place since it was selected.
    inside::open(from, &source.real, OFlags::RDONLY | OFlags::NONBLOCK, inside::IN_ROOT)
        .map(std::fs::File::from)
        .map_err(|errno| CopyError::io("open", &source.real, errno))
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// `/i/j/..` is `/i`, as Go's `filepath.Clean` has it, before links are looked at.
fn cleaned(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<&[u8]> = Vec::new();
    for component in path.split(|b| *b == b'/').filter(|c| !c.is_empty() && *c != b".") {
        if component == b".." {
            out.pop();
        } else {
            out.push(component);
        }
    }
    [b"/", &out.join(&b'/')[..]].concat()
}
