//! The digest of a selection: what COPY's result depends on, and nothing else.
//!
//! In it: type, mode, owner, size, link target, device numbers, extended attributes, data, names below a copied
//! directory, and the name that a wildcard matched (it may become the name of the copy; a name that stands in the
//! Dockerfile is part of the step's key anyway). Not in it: times that the image will not show, and the metadata of a
//! copied directory itself, which no copy keeps (a mount shows them: [`Mask::mount`]). What `--chmod` and `--chown` overwrite is left out too, so that another umask does not cause a miss.
//! Every field is framed by its length.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use jettison_oci::{Digest, Hasher};
use rustix::fs::OFlags;

use super::known::{FileDigests, FileStat, FsId, Moment, Seen};
use super::source::{Selected, Selection};
use crate::inside::{self, IN_ROOT};
use crate::{Entry, Error, Kind};

/// Bytes that are hashed at once.
const READ_BYTES: usize = 128 << 10;
/// Fewer files than this are hashed by one thread.
const PARALLEL_FILES_MIN: usize = 32;

/// What the copy overwrites, so what does not count; and what does for a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    /// Owner and group.
    pub owner: bool,
    /// Permission bits.
    pub mode: bool,
    /// Times before this, seconds since 1970, count; later ones become this in an image. `None`: no times count.
    pub times_before_s: Option<i64>,
    /// The files are mounted, not copied: what the selected directory itself is counts too.
    pub mount: bool,
}

/// The digest of what was selected below `root`. Files that nobody knew are hashed; `selection` knows them then.
pub fn content_digest(
    selection: &mut Selection,
    root: BorrowedFd<'_>,
    files: &dyn FileDigests,
    mask: Mask,
    threads: usize,
) -> Result<Digest, Error> {
    let unknown: Vec<Unknown> = selection.sources.iter().flat_map(unknown_files).collect();
    let mut hashed = hash_files(&unknown, root, files, threads)?.into_iter();
    for seen in selection.sources.iter_mut().flat_map(|source| &mut source.files) {
        if seen.digest.is_none() {
            *seen = hashed.next().expect("every file that was not known is hashed");
        }
    }
    let mut known = selection.sources.iter().flat_map(|source| &source.files);
    let mut hasher = Hasher::sha256();
    field(&mut hasher, b"selection v1");
    for source in &selection.sources {
        field(&mut hasher, if source.wildcard { &source.name } else { b"" });
        let is_directory = source.root.kind == Kind::Directory;
        hasher.update(&[u8::from(is_directory)]);
        hasher.update(&(source.entries.len() as u64).to_le_bytes());
        if is_directory && mask.mount {
            header(&mut hasher, &source.root, mask);
        } else if is_directory {
            time(&mut hasher, &source.root, mask);
        }
        let root = (!is_directory).then_some(&source.root);
        for entry in root.into_iter().chain(&source.entries) {
            field(&mut hasher, &entry.path);
            header(&mut hasher, entry, mask);
            if matches!(entry.kind, Kind::File { .. }) {
                let seen = known.next().expect("one for each file");
                let digest = seen.digest.as_ref().expect("it was known, or hashed above");
                field(&mut hasher, digest.hex().as_bytes());
            }
        }
    }
    Ok(hasher.finish())
}

/// A file that has to be hashed.
struct Unknown {
    path: Vec<u8>,
    /// Without extended attributes: then its digest says all that has to be known of it later.
    plain: bool,
}

fn unknown_files(source: &Selected) -> impl Iterator<Item = Unknown> + '_ {
    let all = std::iter::once(&source.root).chain(&source.entries);
    let files = all.filter(|e| matches!(e.kind, Kind::File { .. }));
    files.zip(&source.files).filter(|(_, seen)| seen.digest.is_none()).map(|(entry, _)| Unknown {
        path: if entry.path.is_empty() {
            source.real.clone()
        } else {
            inside::join(&source.real, &entry.path)
        },
        plain: entry.xattrs.is_empty(),
    })
}

fn field(hasher: &mut Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

fn header(hasher: &mut Hasher, entry: &Entry, mask: Mask) {
    let number = |hasher: &mut Hasher, n: u64| hasher.update(&n.to_le_bytes());
    match &entry.kind {
        Kind::File { size } => {
            field(hasher, b"file");
            number(hasher, *size);
        }
        // A socket of a context becomes an empty file; it must not hash like one that is there.
        Kind::Socket => field(hasher, b"socket"),
        Kind::Directory => field(hasher, b"directory"),
        Kind::Symlink { target } => {
            field(hasher, b"symlink");
            field(hasher, target);
        }
        Kind::Hardlink { target } => {
            field(hasher, b"hardlink");
            field(hasher, target);
        }
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            let char_device = matches!(entry.kind, Kind::CharDevice { .. });
            field(hasher, if char_device { b"char" } else { b"block" });
            number(hasher, u64::from(*major));
            number(hasher, u64::from(*minor));
        }
        Kind::Fifo => field(hasher, b"fifo"),
        Kind::Whiteout => field(hasher, b"whiteout"),
    }
    let is_link = matches!(entry.kind, Kind::Symlink { .. });
    number(hasher, if mask.mode || is_link { 0 } else { u64::from(entry.mode) + 1 });
    number(hasher, if mask.owner { 0 } else { u64::from(entry.uid) + 1 });
    number(hasher, if mask.owner { 0 } else { u64::from(entry.gid) + 1 });
    time(hasher, entry, mask);
    number(hasher, entry.xattrs.len() as u64);
    for (name, value) in &entry.xattrs {
        field(hasher, name);
        field(hasher, value);
    }
}

fn time(hasher: &mut Hasher, entry: &Entry, mask: Mask) {
    if let Some(before) = mask.times_before_s {
        hasher.update(&entry.mtime_s.min(before).to_le_bytes());
    }
}

fn hash_files(
    unknown: &[Unknown],
    root: BorrowedFd<'_>,
    files: &dyn FileDigests,
    threads: usize,
) -> Result<Vec<Seen>, Error> {
    if threads <= 1 || unknown.len() < PARALLEL_FILES_MIN {
        return unknown.iter().map(|file| hash_file(root, file, files)).collect();
    }
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<Seen, Error>>>> =
        Mutex::new((0..unknown.len()).map(|_| None).collect());
    let work = || {
        let mut mine = Vec::new();
        loop {
            // A few at a time: one lock for many small files.
            let start = next.fetch_add(16, Ordering::Relaxed);
            if start >= unknown.len() {
                break;
            }
            for (offset, file) in unknown[start..unknown.len().min(start + 16)].iter().enumerate() {
                mine.push((start + offset, hash_file(root, file, files)));
            }
        }
        let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, result) in mine {
            results[index] = Some(result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // One that cannot be started is not missed: this thread works too.
            let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_iter().map(|r| r.expect("every file was hashed")).collect()
}

fn hash_file(root: BorrowedFd<'_>, unknown: &Unknown, files: &dyn FileDigests) -> Result<Seen, Error> {
    let path = &unknown.path[..];
    let failed = |action| Error::io(action, path);
    // Read before the stat: what is written later than this gets a later time than a settled file has.
    let now = Moment::now();
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = inside::open(root, path, flags, IN_ROOT).map_err(failed("open"))?;
    let before = rustix::fs::fstat(&file).map_err(failed("look at"))?;
    let mut file = File::from(file);
    let mut hasher = Hasher::sha256();
    let mut buffer = vec![0; READ_BYTES.min(before.st_size.unsigned_abs() as usize + 1)];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => hasher.update(&buffer[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => {
                let path = String::from_utf8_lossy(path).into_owned();
                return Err(Error::Io { action: "read", path, source });
            }
        }
    }
    let digest = hasher.finish();
    let after = rustix::fs::fstat(&file).map_err(failed("look at"))?;
    let (before, after) = (FileStat::from(&before), FileStat::from(&after));
    let settled = FsId::of(file.as_fd()).filter(|_| before == after && now.is_after(&after));
    // An attribute may have come after the selection looked for some.
    let plain = || unknown.plain && inside::xattrs(file.as_fd()).is_ok_and(|found| found.is_empty());
    if let Some(fs) = settled.filter(|_| plain()) {
        files.put(&after.on(fs), &digest);
    }
    Ok(Seen { stat: after, digest: Some(digest), settled: settled.is_some() })
}
