//! Every entry below a directory, sorted by path bytes, hard links found.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, OFlags, Stat};

use crate::inside::{self, NO_LINKS};
use crate::names::{Inode, Names, shared_inode};
use crate::{Entry, Error, Kind};

/// Lists the tree below `root`, the root itself left out. The first name of a file in sort order is the file, later
/// ones are hard links to it.
pub fn walk(root: BorrowedFd<'_>) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    let mut names = Names::default();
    let mut visit = |entry: Entry, stat: &Stat| {
        names.see(&entry, shared_inode(stat));
        entries.push(entry);
        Ok(Descend::Yes)
    };
    visit_tree(root, b"", &mut visit)?;
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    names.link(&mut entries);
    Ok(entries)
}

/// What of two paths a walk comes to first: it goes through a directory before its later neighbours, so `/` stands before
/// everything.
pub(crate) fn order(a: &[u8], b: &[u8]) -> Ordering {
    let walked = |byte: u8| if byte == b'/' { 0 } else { byte };
    match a.iter().zip(b).find(|(a, b)| a != b) {
        Some((a, b)) => walked(*a).cmp(&walked(*b)),
        None => a.len().cmp(&b.len()),
    }
}

/// Whether to look into a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Descend {
    Yes,
    No,
}

type Visit<'v> = dyn FnMut(Entry, &Stat) -> Result<Descend, Error> + 'v;

/// Calls `visit` for every entry below `path`, parents first, names in order.
pub(crate) fn visit_tree(root: BorrowedFd<'_>, path: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
    let directory = inside::open_dir(root, path, NO_LINKS).map_err(Error::io("open", path))?;
    visit_directory(directory.as_fd(), path, visit)
}

fn visit_directory(directory: BorrowedFd<'_>, path: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
    for listed in inside::listed(directory).map_err(Error::io("read", path))? {
        let name = &listed.name;
        let path = inside::join(path, name.as_bytes());
        let (mut entry, stat) = match read_entry(directory, name.as_bytes(), path) {
            Err(error) if listed.is_whiteout(&error) => continue,
            other => other?,
        };
        entry.xattrs = read_xattrs(directory, name.as_bytes(), &entry.kind);
        let is_directory = entry.kind == Kind::Directory;
        let path = if is_directory { entry.path.clone() } else { Vec::new() };
        if visit(entry, &stat)? == Descend::Yes && is_directory {
            let below =
                inside::open_dir(directory, name.as_bytes(), NO_LINKS).map_err(Error::io("open", &path))?;
            visit_directory(below.as_fd(), &path, visit)?;
        }
    }
    Ok(())
}

/// The entry at `name`, which is called `path` from now on, without its extended attributes.
pub(crate) fn read_entry(parent: BorrowedFd<'_>, name: &[u8], path: Vec<u8>) -> Result<(Entry, Stat), Error> {
    let failed = |errno| Error::io("read", &path)(errno);
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File { size: stat.st_size.unsigned_abs() },
        FileType::Directory => Kind::Directory,
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(parent, name, Vec::new()).map_err(failed)?;
            Kind::Symlink { target: target.into_bytes() }
        }
        FileType::CharacterDevice if stat.st_rdev == 0 => Kind::Whiteout,
        FileType::CharacterDevice => Kind::CharDevice {
            major: rustix::fs::major(stat.st_rdev),
            minor: rustix::fs::minor(stat.st_rdev),
        },
        FileType::BlockDevice => Kind::BlockDevice {
            major: rustix::fs::major(stat.st_rdev),
            minor: rustix::fs::minor(stat.st_rdev),
        },
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::Unknown => return Err(Error::invalid(&path, "a file of unknown type")),
    };
    let entry = Entry {
        path,
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime_s: stat.st_mtime,
        mtime_ns: stat.st_mtime_nsec as u32,
        xattrs: Vec::new(),
    };
    Ok((entry, stat))
}

/// The extended attributes of the file or directory at `name`; nothing else can have any that belong into images.
pub(crate) fn read_xattrs(parent: BorrowedFd<'_>, name: &[u8], kind: &Kind) -> Vec<(Vec<u8>, Vec<u8>)> {
    let flags = match kind {
        Kind::File { .. } => OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK,
        Kind::Directory => OFlags::RDONLY | OFlags::DIRECTORY,
        _ => return Vec::new(),
    };
    let opened = inside::open(parent, name, flags, NO_LINKS);
    opened.and_then(|file| inside::xattrs(file.as_fd())).unwrap_or_default()
}

/// Turns the second and later names of one inode into hard links; `inode` is that of the entry, if it has several names.
pub(crate) fn with_hard_link(
    mut entry: Entry,
    inode: Option<Inode>,
    linked: &mut HashMap<Inode, Vec<u8>>,
) -> Entry {
    let can_link = matches!(
        entry.kind,
        Kind::File { .. }
            | Kind::Symlink { .. }
            | Kind::CharDevice { .. }
            | Kind::BlockDevice { .. }
            | Kind::Fifo
    );
    if let Some(inode) = inode.filter(|_| can_link) {
        match linked.get(&inode) {
            Some(first) => entry.kind = Kind::Hardlink { target: first.clone() },
            None => drop(linked.insert(inode, entry.path.clone())),
        }
    }
    entry
}
