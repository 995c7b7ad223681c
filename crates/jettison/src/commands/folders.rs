//! How many bytes lie in which folder of a mounted tree: for the report of a build and for stages that stay behind.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;

use jettison_inspect::tree::join;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// How many components of a path make a folder.
const DEPTH: usize = 2;
/// More entries are not counted.
const ENTRIES_MAX: usize = 2_000_000;

/// Bytes of the folders below `root`, two levels deep, the largest first; behind `longest` of them all others as one. A
/// file with several names counts once.
pub(super) fn folders(root: &OwnedFd, longest: usize) -> std::io::Result<Vec<(String, u64)>> {
    let mut sizes: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    let mut linked = BTreeSet::new();
    // Paths and no descriptors: a folder may have more folders in it than a process may have files open.
    let mut pending = vec![Vec::new()];
    let mut seen = 0;
    while let Some(path) = pending.pop() {
        let Some(folder) = open(root, &path)? else { continue };
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            seen += 1;
            let path = join(&path, name.to_bytes());
            let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => pending.push(path),
                FileType::RegularFile if stat.st_nlink < 2 || linked.insert((stat.st_dev, stat.st_ino)) => {
                    *sizes.entry(group(&path)).or_default() += stat.st_size.unsigned_abs();
                }
                _ => {}
            }
        }
        if seen > ENTRIES_MAX {
            break;
        }
    }
    let mut sizes: Vec<(String, u64)> = sizes
        .into_iter()
        .filter(|(_, bytes)| *bytes > 0)
        .map(|(path, bytes)| (format!("/{}", String::from_utf8_lossy(&path)), bytes))
        .collect();
    sizes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    if sizes.len() > longest {
        let rest = sizes.drain(longest..).map(|(_, bytes)| bytes).sum();
        sizes.push(("everything else".to_owned(), rest));
        sizes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    }
    Ok(sizes)
}

/// Opens a folder below `root`; `None` if it is gone, or its path is longer than the kernel takes.
fn open(root: &OwnedFd, path: &[u8]) -> std::io::Result<Option<OwnedFd>> {
    let path: &[u8] = if path.is_empty() { b"." } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(root, path, flags, Mode::empty(), inside) {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// The folder that a file counts for; a file that lies higher stands for itself.
fn group(path: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    parts[..parts.len().min(DEPTH)].join(&b'/')
}
