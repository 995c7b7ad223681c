//! What a step changed: the overlay's upper directory, read against the directories below it.
//!
//! Only the upper directory is walked. Source of the rules: BuildKit `util/overlay/overlay_linux.go`: a whiteout
//! counts only if something is hidden by it; an opaque directory becomes one whiteout for each name that it hides; a
//! directory that was copied up and not changed appears only as the parent of something that did change.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use crate::apply::{OPAQUE_XATTR, WHITEOUT};
use crate::inside::{self, NO_LINKS};
use crate::names::{Inode, Names, inode, shared_inode};
use crate::walk::{Descend, read_entry, visit_tree};
use crate::{Entry, Error, Kind};

/// What lies on top: an upper directory, or the plan of one.
pub(crate) trait Upper {
    /// How many entries there are at most, if that is known.
    fn count(&self) -> usize {
        0
    }
    /// Calls `visit` for every entry as [`visit_tree`] would: with its inode if that has several names.
    fn visit(&self, visit: &mut Visit<'_>) -> Result<(), Error>;
    /// Whether a directory hides what is below it.
    fn is_opaque(&self, path: &[u8]) -> Result<bool, Error>;
    /// What is at `path`: whether it is a directory; `None` for nothing.
    fn has_directory(&self, path: &[u8]) -> Option<bool>;
    /// The content of the file at `path`.
    fn read(&self, path: &[u8]) -> Result<Box<dyn Read + '_>, Error>;
}

/// See [`Upper::visit`].
pub(crate) type Visit<'v> = dyn FnMut(Entry, Option<Inode>) -> Result<Descend, Error> + 'v;

impl Upper for BorrowedFd<'_> {
    fn visit(&self, visit: &mut Visit<'_>) -> Result<(), Error> {
        visit_tree(*self, b"", &mut |entry, stat| visit(entry, shared_inode(stat)))
    }

    fn is_opaque(&self, path: &[u8]) -> Result<bool, Error> {
        let directory = inside::open_dir(*self, path, NO_LINKS).map_err(Error::io("open", path))?;
        Ok(has_opaque_mark(&directory))
    }

    fn has_directory(&self, path: &[u8]) -> Option<bool> {
        let stat = inside::lstat(*self, path, NO_LINKS).ok()?;
        Some(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
    }

    fn read(&self, path: &[u8]) -> Result<Box<dyn Read + '_>, Error> {
        Ok(Box::new(open_file(*self, path)?))
    }
}

/// The entries of the layer that leads from `lowers` (top first) to `lowers` with `upper` on top; sorted so that each
/// directory stands before what is in it, and a whiteout by its own name.
///
/// `clamp_mtime_s` is the newest time that the layer will show. What differs from the layers below in nothing but
/// times that are clamped to it is no change: when it was made must not decide what a layer holds.
pub fn diff(
    upper: BorrowedFd<'_>,
    lowers: &[BorrowedFd<'_>],
    clamp_mtime_s: Option<i64>,
) -> Result<Vec<Entry>, Error> {
    diff_of(&upper, lowers, clamp_mtime_s)
}

/// [`diff`] of whatever lies on top.
pub(crate) fn diff_of(
    upper: &dyn Upper,
    lowers: &[BorrowedFd<'_>],
    clamp_mtime_s: Option<i64>,
) -> Result<Vec<Entry>, Error> {
    let mut changes = changes(upper, lowers, clamp_mtime_s, &|_| true)?;
    let mut deleted = Vec::new();
    for directory in &changes.hidden {
        missing_below(upper, lowers, directory, &mut deleted)?;
    }
    changes.delete(deleted);
    Ok(changes.in_order())
}

/// What is not the same below.
pub(crate) struct Changes {
    /// The entries, not in order yet.
    found: Vec<Entry>,
    /// The names of their files.
    names: Names,
    /// Directories that hide all that is below them.
    hidden: Vec<Vec<u8>>,
    /// Directories that are the same below.
    same: BTreeMap<Vec<u8>, Entry>,
}

impl Changes {
    /// Adds whiteouts, each with the directories that it is in: readers of layers would make their own otherwise.
    pub(crate) fn delete(&mut self, whiteouts: Vec<Entry>) {
        for whiteout in whiteouts {
            let mut directory = inside::split(&whiteout.path).0;
            while !directory.is_empty() {
                self.found.extend(self.same.remove(directory));
                directory = inside::split(directory).0;
            }
            self.found.push(whiteout);
        }
    }

    /// The entries as a layer has them: in order, each once, hard links found.
    pub(crate) fn in_order(mut self) -> Vec<Entry> {
        self.found.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
        self.found.dedup_by(|a, b| a.path == b.path);
        self.names.link(&mut self.found);
        self.found
    }
}

/// What of `upper` is not the same in `lowers`, as far as it is `wanted`.
pub(crate) fn changes(
    upper: &dyn Upper,
    lowers: &[BorrowedFd<'_>],
    clamp_mtime_s: Option<i64>,
    wanted: &dyn Fn(&[u8]) -> bool,
) -> Result<Changes, Error> {
    let mut found = Vec::with_capacity(upper.count());
    let mut same = BTreeMap::new();
    // Directories on the way down that are unchanged themselves: written only if something below is.
    let mut unchanged: Vec<Entry> = Vec::new();
    let mut names = Names::default();
    let mut hidden = Vec::new();
    let mut visit = |entry: Entry, inode: Option<Inode>| {
        if !wanted(&entry.path) {
            return Ok(Descend::No);
        }
        while unchanged.last().is_some_and(|parent| !is_below(&entry.path, &parent.path)) {
            unchanged.pop();
        }
        match &entry.kind {
            Kind::Socket => return Ok(Descend::No),
            Kind::Whiteout if look_up(lowers, &entry.path)?.is_none() => return Ok(Descend::No),
            Kind::Directory => {
                if upper.is_opaque(&entry.path)? {
                    hidden.push(entry.path.clone());
                }
                match look_up(lowers, &entry.path)? {
                    Some(below) if same_directory(&entry, &below) => {
                        same.insert(entry.path.clone(), entry.clone());
                        unchanged.push(entry);
                        return Ok(Descend::Yes);
                    }
                    _ => {}
                }
            }
            _ => {
                if let Some(below) = same_as_below(upper, lowers, &entry, clamp_mtime_s)? {
                    names.keep_back(entry, inode, below, &unchanged);
                    return Ok(Descend::No);
                }
            }
        }
        refuse_marker(&entry)?;
        names.see(&entry, inode);
        found.append(&mut unchanged);
        found.push(entry);
        Ok(Descend::Yes)
    };
    upper.visit(&mut visit)?;
    names.bring_along(&mut found);
    Ok(Changes { found, names, hidden, same })
}

/// A file of this name would remove another wherever the layer is unpacked.
fn refuse_marker(entry: &Entry) -> Result<(), Error> {
    let name = inside::split(&entry.path).1;
    if entry.kind == Kind::Whiteout || !name.starts_with(WHITEOUT) {
        return Ok(());
    }
    Err(Error::Marker { path: String::from_utf8_lossy(&entry.path).into_owned() })
}

/// Entries sort by path; a whiteout sorts by the name that it has in the tar.
fn sort_key(entry: &Entry) -> Cow<'_, [u8]> {
    match entry.kind {
        Kind::Whiteout => Cow::Owned(whiteout_path(&entry.path)),
        _ => Cow::Borrowed(&entry.path),
    }
}

/// `a/.wh.b` for `a/b`.
pub(crate) fn whiteout_path(path: &[u8]) -> Vec<u8> {
    let (parent, name) = inside::split(path);
    inside::join(parent, &[WHITEOUT, name].concat())
}

fn is_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"))
}

fn has_opaque_mark(directory: &OwnedFd) -> bool {
    let mut value = [0; 4];
    matches!(rustix::fs::fgetxattr(directory, OPAQUE_XATTR, &mut value), Ok(1) if value[0] == b'y')
}

/// Whiteouts for what the lower `directory` has and the upper one, which hides all of it, has not again.
pub(crate) fn missing_below(
    upper: &dyn Upper,
    lowers: &[BorrowedFd<'_>],
    directory: &[u8],
    deleted: &mut Vec<Entry>,
) -> Result<(), Error> {
    let mut names = std::collections::BTreeSet::new();
    for lower in lowers {
        if let Ok(opened) = inside::open_dir(*lower, directory, NO_LINKS) {
            names.extend(inside::names(opened.as_fd()).map_err(Error::io("read", directory))?);
        }
    }
    for name in names {
        missing_at(upper, lowers, &inside::join(directory, name.as_bytes()), deleted)?;
    }
    Ok(())
}

/// The same for one name, if the lower directories have it.
pub(crate) fn missing_at(
    upper: &dyn Upper,
    lowers: &[BorrowedFd<'_>],
    path: &[u8],
    deleted: &mut Vec<Entry>,
) -> Result<(), Error> {
    let Some(below) = look_up(lowers, path)? else { return Ok(()) };
    match upper.has_directory(path) {
        None => deleted.push(whiteout(path.to_vec())),
        Some(true) if below.kind == Kind::Directory => missing_below(upper, lowers, path, deleted)?,
        Some(_) => {}
    }
    Ok(())
}

fn whiteout(path: Vec<u8>) -> Entry {
    Entry { path, kind: Kind::Whiteout, mode: 0, uid: 0, gid: 0, mtime_s: 0, mtime_ns: 0, xattrs: Vec::new() }
}

/// What `path` is in the merged view of `lowers`: the topmost layer that says something decides.
pub(crate) fn look_up(lowers: &[BorrowedFd<'_>], path: &[u8]) -> Result<Option<Entry>, Error> {
    let components: Vec<&[u8]> = path.split(|b| *b == b'/').collect();
    for lower in lowers {
        match look_up_in(*lower, &components, path)? {
            Found::Entry(entry) => return Ok(Some(entry)),
            Found::Hidden => return Ok(None),
            Found::Nothing => {}
        }
    }
    Ok(None)
}

enum Found {
    Entry(Entry),
    /// The layer says that there is nothing, whatever is below.
    Hidden,
    Nothing,
}

fn look_up_in(root: BorrowedFd<'_>, components: &[&[u8]], path: &[u8]) -> Result<Found, Error> {
    let mut directory = root.try_clone_to_owned().map_err(|source| Error::Io {
        action: "open",
        path: String::from_utf8_lossy(path).into_owned(),
        source,
    })?;
    let (last, parents) = components.split_last().expect("a path has at least one component");
    let mut opaque = false;
    for name in parents {
        match rustix::fs::statat(&directory, *name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
            Ok(_) => return Ok(Found::Hidden),
            Err(Errno::NOENT) => return Ok(if opaque { Found::Hidden } else { Found::Nothing }),
            Err(errno) => return Err(Error::io("look at", path)(errno)),
        }
        directory = inside::open_dir(directory.as_fd(), name, NO_LINKS).map_err(Error::io("open", path))?;
        opaque = opaque || has_opaque_mark(&directory);
    }
    match rustix::fs::statat(&directory, *last, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(if opaque { Found::Hidden } else { Found::Nothing }),
        Err(errno) => Err(Error::io("look at", path)(errno)),
        Ok(_) => match read_entry(directory.as_fd(), last, path.to_vec())?.0 {
            Entry { kind: Kind::Whiteout, .. } => Ok(Found::Hidden),
            entry => Ok(Found::Entry(entry)),
        },
    }
}

/// Time alone is no change of a directory: making and removing a file in it moves it.
fn same_directory(a: &Entry, b: &Entry) -> bool {
    a.kind == b.kind && (a.mode, a.uid, a.gid) == (b.mode, b.uid, b.gid) && a.xattrs == b.xattrs
}

/// Something that was copied up, or made again as it was: same metadata, same time as far as it will be seen, and the
/// same content. Returns what inode it is below.
fn same_as_below(
    upper: &dyn Upper,
    lowers: &[BorrowedFd<'_>],
    entry: &Entry,
    clamp_mtime_s: Option<i64>,
) -> Result<Option<Inode>, Error> {
    if matches!(entry.kind, Kind::Whiteout) {
        return Ok(None);
    }
    let Some(below) = look_up(lowers, &entry.path)? else { return Ok(None) };
    if as_seen(&below, clamp_mtime_s) != as_seen(entry, clamp_mtime_s) {
        return Ok(None);
    }
    for lower in lowers {
        let Ok(stat) = inside::lstat(*lower, &entry.path, NO_LINKS) else { continue };
        let is_file = matches!(entry.kind, Kind::File { .. });
        let same = !is_file || same_content(upper, *lower, &entry.path)?;
        return Ok(same.then(|| inode(&stat)));
    }
    Ok(None)
}

/// The entry as a layer shows it: whole seconds, none of them newer than the newest.
fn as_seen(entry: &Entry, clamp_mtime_s: Option<i64>) -> Entry {
    let mtime_s = clamp_mtime_s.map_or(entry.mtime_s, |newest| entry.mtime_s.min(newest));
    Entry { mtime_s, mtime_ns: 0, ..entry.clone() }
}

fn open_file(root: BorrowedFd<'_>, path: &[u8]) -> Result<File, Error> {
    inside::open(root, path, rustix::fs::OFlags::RDONLY, NO_LINKS)
        .map(File::from)
        .map_err(Error::io("open", path))
}

fn same_content(a: &dyn Upper, b: BorrowedFd<'_>, path: &[u8]) -> Result<bool, Error> {
    let (mut a, mut b) = (a.read(path)?, open_file(b, path)?);
    let (mut left, mut right) = (vec![0; 128 << 10], vec![0; 128 << 10]);
    loop {
        let n = a.read(&mut left).map_err(Error::Read)?;
        if n == 0 {
            return Ok(b.read(&mut right).map_err(Error::Read)? == 0);
        }
        if b.read_exact(&mut right[..n]).is_err() || left[..n] != right[..n] {
            return Ok(false);
        }
    }
}
