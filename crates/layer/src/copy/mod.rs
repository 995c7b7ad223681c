//! Carrying a selection over into a tree, by the rules of COPY and ADD.
//!
//! The tree is usually an overlay mount, so what is changed is copied up by the kernel. Source of the rules: BuildKit
//! `solver/llbsolver/file/backend.go` and fsutil `copy/copy.go`; the messages are BuildKit's.

mod destination;
mod file;
pub mod mode;

use std::io::{BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, OFlags, Timestamps};
use rustix::io::Errno;

use crate::apply::times;
use crate::inside::{self, IN_ROOT};
use crate::select::{Selected, Selection};
use crate::{Error, Kind, Limits, decompress_archive, detect, unpack_archive};
use destination::{Destination, NewDirectory, lossy};
use file::Attributes;

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
        Self::Io { action, path: lossy(path), errno }
    }
}

/// Copies `selection` from below `from` into the tree `to`.
pub fn copy(
    selection: &Selection,
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    options: &CopyOptions,
) -> Result<(), CopyError> {
    let copier = Copier::new(from, to, options);
    copier.run(selection)
}

/// Makes the directory `path` and its missing parents, links followed inside the root; what exists is not touched.
pub fn make_directories(
    root: BorrowedFd<'_>,
    path: &[u8],
    owner: (u32, u32),
    mode: u32,
    mtime_s: i64,
) -> Result<(), CopyError> {
    let mut destination = Destination::new(root);
    let path = cleaned(path);
    destination.make_all(&path, &NewDirectory { owner, mode })?;
    destination.finish(mtime_s).map_err(|errno| CopyError::io("set the time of", &path, errno))
}

struct Copier<'a> {
    from: BorrowedFd<'a>,
    options: &'a CopyOptions,
    to: Destination<'a>,
    /// The destination, clean and absolute.
    path: Vec<u8>,
    /// Whether it is written as a directory.
    wants_directory: bool,
    /// The directory that contents were copied into last, and the time that it gets in the end.
    top: Option<(OwnedFd, Timestamps)>,
}

impl<'a> Copier<'a> {
    fn new(from: BorrowedFd<'a>, to: BorrowedFd<'a>, options: &'a CopyOptions) -> Self {
        let path = &options.destination[..];
        let wants_directory =
            path.is_empty() || path == b"." || path.ends_with(b"/") || path.ends_with(b"/.");
        let path = cleaned(path);
        Self { from, options, to: Destination::new(to), path, wants_directory, top: None }
    }

    fn run(mut self, selection: &Selection) -> Result<(), CopyError> {
        if self.options.parents {
            self.to.make_all(&self.path, &self.new_directory())?;
        }
        for source in &selection.sources {
            self.source(source)?;
        }
        for (name, content) in &self.options.inline {
            self.inline(name, content)?;
        }
        let failed = |errno| CopyError::io("set the time of", &self.path, errno);
        self.to.finish(self.options.created_mtime_s).map_err(failed)?;
        match &self.top {
            Some((directory, times)) => rustix::fs::futimens(directory, times).map_err(failed),
            None => Ok(()),
        }
    }

    /// Directories made on the way: `--chown`'s owner and an octal `--chmod`'s mode; symbolic ones do not apply.
    fn new_directory(&self) -> NewDirectory {
        NewDirectory {
            owner: self.options.chown.unwrap_or((0, 0)),
            mode: match &self.options.chmod {
                Some(Chmod::Octal(mode)) => *mode,
                _ => 0o755,
            },
        }
    }

    fn attributes(&self) -> Attributes<'a> {
        Attributes {
            owner: self.options.chown.or(self.options.force_owner),
            chmod: self.options.chmod.as_ref(),
        }
    }

    fn source(&mut self, source: &Selected) -> Result<(), CopyError> {
        let is_file = matches!(source.root.kind, Kind::File { .. });
        if self.options.unpack && is_file && self.unpack(source)? {
            return Ok(());
        }
        if source.root.kind == Kind::Directory {
            let there = self.to.kind(&self.path);
            if !self.wants_directory && there.is_some_and(|kind| kind != FileType::Directory) {
                return Err(CopyError::NonDirectory(lossy(&self.path)));
            }
            let directory = self.to.make_all(&self.path, &self.new_directory())?;
            return self.contents(source, directory);
        }
        let (parent, name, shown) = self.place(&source.name)?;
        let attributes = self.attributes();
        file::copy_file(self.from, &source.real, parent.as_fd(), &name, &source.root, attributes, &shown)
    }

    /// Where a file goes: into the destination, if that is a directory, under its own name (a link of that name is
    /// replaced); else to the destination itself (a link there is followed).
    fn place(&mut self, name: &[u8]) -> Result<(OwnedFd, Vec<u8>, Vec<u8>), CopyError> {
        let new = self.new_directory();
        if self.wants_directory || self.to.kind(&self.path) == Some(FileType::Directory) {
            let directory = self.to.make_all(&self.path, &new)?;
            return Ok((directory, name.to_vec(), self.shown(name)));
        }
        let (directory, name) = self.to.place(&self.path, &new)?;
        Ok((directory, name, self.path.clone()))
    }

    /// The path of `below`, a path in the destination, for messages.
    fn shown(&self, below: &[u8]) -> Vec<u8> {
        let parent = if self.path == b"/" { &b""[..] } else { &self.path };
        [parent, b"/", below].concat()
    }

    /// What is in a source directory, into `directory`, whose own owner and mode stay; its time becomes the source's.
    fn contents(&mut self, source: &Selected, directory: OwnedFd) -> Result<(), CopyError> {
        let mut open: Option<(&[u8], OwnedFd)> = None;
        let attributes = self.attributes();
        for entry in &source.entries {
            let (above, name) = inside::split(&entry.path);
            let shown = self.shown(&entry.path);
            if open.as_ref().is_none_or(|(path, _)| *path != above) {
                let opened = inside::open_dir(directory.as_fd(), above, inside::NO_LINKS);
                open = Some((above, opened.map_err(|errno| CopyError::io("open", &shown, errno))?));
            }
            let (_, parent) = open.as_ref().expect("it was just opened");
            let parent = parent.as_fd();
            match &entry.kind {
                Kind::Directory => file::copy_directory(parent, name, entry, attributes, &shown)?,
                Kind::Hardlink { target } => {
                    file::hard_link(directory.as_fd(), target, parent, name, &shown)?;
                }
                _ => {
                    let from = inside::join(&source.real, &entry.path);
                    file::copy_file(self.from, &from, parent, name, entry, attributes, &shown)?;
                }
            }
        }
        // Only now: making entries changes the time of what holds them. By path, for there may be more directories
        // than a process may have files open.
        let directories = source.entries.iter().filter(|e| e.kind == Kind::Directory);
        for entry in directories {
            inside::open_dir(directory.as_fd(), &entry.path, inside::NO_LINKS)
                .and_then(|made| rustix::fs::futimens(&made, &times(entry)))
                .map_err(|errno| CopyError::io("set the time of", &self.shown(&entry.path), errno))?;
        }
        // With --parents the source is whatever stands left of the pivot, often the whole context: not what is copied.
        if !self.options.parents {
            self.top = Some((directory, times(&source.root)));
        }
        Ok(())
    }

    /// Unpacks `source` if it is an archive with at least one member.
    fn unpack(&mut self, source: &Selected) -> Result<bool, CopyError> {
        let open = || {
            inside::open(self.from, &source.real, OFlags::RDONLY, IN_ROOT)
                .map(std::fs::File::from)
                .map_err(|errno| CopyError::io("open", &source.real, errno))
        };
        let mut prefix = Vec::new();
        open()?.take(512).read_to_end(&mut prefix).map_err(Error::Read)?;
        let Some(kind) = detect(&prefix) else { return Ok(false) };
        // A compressed file that holds no tar is an ordinary file.
        let mut plain = Vec::new();
        let peek = decompress_archive(kind, open()?).and_then(|r| r.take(512).read_to_end(&mut plain));
        if peek.is_err() || detect(&plain) != Some(crate::Archive::Tar) {
            return Ok(false);
        }
        let new = NewDirectory { mode: 0o755, ..self.new_directory() };
        let directory = self.to.make_all(&self.path, &new)?;
        let mut tar = decompress_archive(kind, BufReader::new(open()?)).map_err(Error::Read)?;
        unpack_archive(&mut tar, directory.as_fd(), self.options.chown, &Limits::default())?;
        Ok(true)
    }

    fn inline(&mut self, name: &[u8], content: &[u8]) -> Result<(), CopyError> {
        // A name is a name, not a path.
        let (_, name) = inside::split(name);
        let (parent, name, shown) = self.place(name)?;
        let owner = self.options.chown.unwrap_or((0, 0));
        let attributes = Attributes { owner: Some(owner), chmod: self.options.chmod.as_ref() };
        let mtime_s = self.options.created_mtime_s;
        file::write_inline(parent.as_fd(), &name, content, attributes, mtime_s, &shown)
    }
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
