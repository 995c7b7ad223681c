//! Carrying a selection over into a tree, by the rules of COPY and ADD.
//!
//! The tree is usually an overlay mount, so what is changed is copied up by the kernel. Source of the rules: BuildKit
//! `solver/llbsolver/file/backend.go` and fsutil `copy/copy.go`; the messages are BuildKit's.

mod destination;
mod file;
pub mod mode;

use std::io::{BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{OFlags, Timestamps};
use rustix::io::Errno;

use crate::apply::times;
use crate::inside::{self, IN_ROOT};
use crate::select::{Selected, Selection};
use crate::{Error, Kind, Limits, decompress_archive, detect, unpack_archive};
use destination::{NewDirectory, lossy};
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
    let mut copier = Copier { from, to, options, times: Vec::new() };
    if options.parents {
        copier.make_directory(&options.destination)?;
    }
    for source in &selection.sources {
        copier.source(source)?;
    }
    for (name, content) in &options.inline {
        copier.inline(name, content)?;
    }
    // Deepest last noted, first set: making entries changes the time of what holds them.
    for (directory, times) in copier.times.iter().rev() {
        rustix::fs::futimens(directory, times)
            .map_err(|errno| CopyError::io("set the time of", &options.destination, errno))?;
    }
    Ok(())
}

/// Makes the directory `path` and its missing parents, links followed inside the root; what exists is not touched.
pub fn make_directories(
    root: BorrowedFd<'_>,
    path: &[u8],
    owner: (u32, u32),
    mode: u32,
    mtime_s: i64,
) -> Result<(), CopyError> {
    destination::make_all(root, path, &NewDirectory { owner, mode, mtime_s }).map(drop)
}

struct Copier<'a> {
    from: BorrowedFd<'a>,
    to: BorrowedFd<'a>,
    options: &'a CopyOptions,
    times: Vec<(OwnedFd, Timestamps)>,
}

impl Copier<'_> {
    /// Directories made on the way: `--chown`'s owner and an octal `--chmod`'s mode; symbolic ones do not apply.
    fn new_directory(&self) -> NewDirectory {
        NewDirectory {
            owner: self.options.chown.unwrap_or((0, 0)),
            mode: match &self.options.chmod {
                Some(Chmod::Octal(mode)) => *mode,
                _ => 0o755,
            },
            mtime_s: self.options.created_mtime_s,
        }
    }

    fn attributes(&self) -> Attributes<'_> {
        Attributes {
            owner: self.options.chown.or(self.options.force_owner),
            chmod: self.options.chmod.as_ref(),
        }
    }

    fn make_directory(&self, path: &[u8]) -> Result<(OwnedFd, bool), CopyError> {
        destination::make_all(self.to, path, &self.new_directory())
    }

    /// Whether the destination is written as a directory.
    fn wants_directory(&self) -> bool {
        let path = &self.options.destination[..];
        path.is_empty() || path == b"." || path.ends_with(b"/") || path.ends_with(b"/.")
    }

    fn source(&mut self, source: &Selected) -> Result<(), CopyError> {
        if self.options.unpack && matches!(source.root.kind, Kind::File { .. }) && self.unpack(source)? {
            return Ok(());
        }
        if self.options.parents {
            return self.with_parents(source);
        }
        let destination = &self.options.destination;
        if source.root.kind == Kind::Directory {
            if self.is_file(destination) {
                return Err(CopyError::NonDirectory(lossy(destination)));
            }
            let (directory, _) = self.make_directory(destination)?;
            return self.contents(source, directory);
        }
        let inside = self.wants_directory() || destination::is_directory(self.to, destination);
        let target = if inside {
            inside::join(destination, &[b"/", &source.name[..]].concat())
        } else {
            cleaned(destination)
        };
        if inside {
            self.make_directory(destination)?;
        }
        let (parent, name) = destination::place(self.to, &target, &self.new_directory())?;
        file::copy_file(
            self.from,
            &source.real,
            parent.as_fd(),
            &name,
            &source.root,
            self.attributes(),
            &target,
        )
    }

    fn is_file(&self, path: &[u8]) -> bool {
        let relative: Vec<u8> = path.iter().copied().skip_while(|b| *b == b'/').collect();
        inside::open(self.to, &relative, OFlags::PATH, IN_ROOT).is_ok()
            && !destination::is_directory(self.to, path)
    }

    /// What is in a source directory, into `directory`, whose own owner and mode stay; its time becomes the source's.
    fn contents(&mut self, source: &Selected, directory: OwnedFd) -> Result<(), CopyError> {
        let shown = &self.options.destination;
        self.times.push((directory.try_clone().map_err(|e| clone_failed(&e, shown))?, times(&source.root)));
        let mut open: Option<(Vec<u8>, OwnedFd)> = None;
        for entry in &source.entries {
            let (above, name) = inside::split(&entry.path);
            if open.as_ref().is_none_or(|(path, _)| path != above) {
                let opened = inside::open_dir(directory.as_fd(), above, inside::NO_LINKS);
                let opened = opened.map_err(|errno| CopyError::io("open", &entry.path, errno))?;
                open = Some((above.to_vec(), opened));
            }
            let (_, parent) = open.as_ref().expect("it was just opened");
            let from = inside::join(&source.real, &entry.path);
            match &entry.kind {
                Kind::Directory => {
                    let made = file::copy_directory(parent.as_fd(), name, entry, self.attributes())?;
                    self.times.push((made, times(entry)));
                }
                Kind::Hardlink { target } => {
                    file::hard_link(directory.as_fd(), target, parent.as_fd(), name, &entry.path)?;
                }
                _ => file::copy_file(
                    self.from,
                    &from,
                    parent.as_fd(),
                    name,
                    entry,
                    self.attributes(),
                    &entry.path,
                )?,
            }
        }
        Ok(())
    }

    /// `--parents`: the directories above the source come along, with their metadata.
    fn with_parents(&mut self, source: &Selected) -> Result<(), CopyError> {
        let kept: Vec<&[u8]> = source.kept_path.split(|b| *b == b'/').filter(|c| !c.is_empty()).collect();
        let real: Vec<&[u8]> = source.real.split(|b| *b == b'/').filter(|c| !c.is_empty()).collect();
        let (mut here, _) = self.make_directory(&self.options.destination)?;
        let directories =
            if source.root.kind == Kind::Directory { kept.len() } else { kept.len().saturating_sub(1) };
        for (index, name) in kept[..directories].iter().enumerate() {
            // Where links were followed the two paths differ in length; what they share counts from the end.
            let above = (real.len() + index + 1).saturating_sub(kept.len()).min(real.len());
            let path = real[..above].join(&b'/');
            let (parent, last) = inside::split(&path);
            let entry = inside::open_dir(self.from, parent, IN_ROOT)
                .map_err(|errno| CopyError::io("open", &path, errno))
                .and_then(|d| Ok(crate::walk::read_entry(d.as_fd(), last, path.clone())?.0))?;
            here = file::copy_directory(here.as_fd(), name, &entry, self.attributes())?;
            let noted = here.try_clone().map_err(|e| clone_failed(&e, &path))?;
            self.times.push((noted, times(&entry)));
        }
        if source.root.kind == Kind::Directory {
            return self.contents(source, here);
        }
        let name = kept.last().copied().unwrap_or(&source.name);
        file::copy_file(
            self.from,
            &source.real,
            here.as_fd(),
            name,
            &source.root,
            self.attributes(),
            &source.kept_path,
        )
    }

    /// Unpacks `source` if it is an archive with at least one member.
    fn unpack(&self, source: &Selected) -> Result<bool, CopyError> {
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
        let (directory, _) = destination::make_all(
            self.to,
            &self.options.destination,
            &NewDirectory { mode: 0o755, ..self.new_directory() },
        )?;
        let mut tar = decompress_archive(kind, BufReader::new(open()?)).map_err(Error::Read)?;
        unpack_archive(&mut tar, directory.as_fd(), self.options.chown, &Limits::default())?;
        Ok(true)
    }

    fn inline(&self, name: &[u8], content: &[u8]) -> Result<(), CopyError> {
        let destination = &self.options.destination;
        let inside = self.wants_directory() || destination::is_directory(self.to, destination);
        let target = if inside { [&destination[..], b"/", name].concat() } else { cleaned(destination) };
        let (parent, name) = destination::place(self.to, &target, &self.new_directory())?;
        let owner = self.options.chown.unwrap_or((0, 0));
        let attributes = Attributes { owner: Some(owner), chmod: self.options.chmod.as_ref() };
        file::write_inline(parent.as_fd(), &name, content, attributes, self.options.created_mtime_s, &target)
    }
}

fn clone_failed(error: &std::io::Error, path: &[u8]) -> CopyError {
    CopyError::io("open", path, Errno::from_io_error(error).unwrap_or(Errno::IO))
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
