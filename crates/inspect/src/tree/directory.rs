//! A tree on disk: an overlay that is mounted, an unpacked root, or this machine's own `/`.
//!
//! Every path is opened below the root's descriptor and follows no link.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Content, Node, NodeKind, Tree, join};

/// Never leave the root, and follow no link.
const NO_LINKS: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// A directory whose content is the tree.
#[derive(Debug)]
pub struct Directory {
    root: OwnedFd,
}

impl Directory {
    /// The tree below `root`.
    pub fn new(root: OwnedFd) -> Self {
        Self { root }
    }

    fn open_at(&self, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let path: &[u8] = if path.is_empty() { b"." } else { path };
        loop {
            match rustix::fs::openat2(
                self.root.as_fd(),
                path,
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                NO_LINKS,
            ) {
                // The kernel asks for another try when a rename went on meanwhile.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }
}

impl Directory {
    fn listed(&self, path: &[u8]) -> io::Result<Vec<(Vec<u8>, FileType)>> {
        let directory = self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut listed = Vec::new();
        // Not `read_from`, which opens the directory again: a search through a whole Debian opens two thousand.
        for entry in rustix::fs::Dir::new(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                listed.push((name.to_vec(), entry.file_type()));
            }
        }
        Ok(listed)
    }
}

impl Tree for Directory {
    fn node(&self, path: &[u8]) -> io::Result<Option<Node>> {
        let handle = match self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(handle) => handle,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::INVAL | Errno::LOOP) => {
                return Ok(None);
            }
            Err(errno) => return Err(errno.into()),
        };
        let stat = rustix::fs::fstat(&handle)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => NodeKind::File { size: stat.st_size.unsigned_abs() },
            FileType::Directory => NodeKind::Directory,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&handle, c"", Vec::new())?;
                NodeKind::Symlink { target: target.into_bytes() }
            }
            _ => NodeKind::Other,
        };
        Ok(Some(Node { kind, mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid }))
    }

    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        Ok(self.listed(path)?.into_iter().map(|(name, _)| name).collect())
    }

    fn entries(&self, path: &[u8]) -> io::Result<Vec<(Vec<u8>, bool)>> {
        let mut entries = Vec::new();
        for (name, kind) in self.listed(path)? {
            let is_directory = match kind {
                // Some file systems do not say it in a list.
                FileType::Unknown => {
                    self.node(&join(path, &name))?.is_some_and(|node| node.kind == NodeKind::Directory)
                }
                kind => kind == FileType::Directory,
            };
            entries.push((name, is_directory));
        }
        Ok(entries)
    }

    fn open(&self, path: &[u8]) -> io::Result<Box<dyn Content + '_>> {
        let file = File::from(self.open_at(path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK)?);
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Box::new(Opened { size: metadata.len(), file }))
    }
}

#[derive(Debug)]
struct Opened {
    file: File,
    size: u64,
}

impl Content for Opened {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(out, offset)
    }
}
