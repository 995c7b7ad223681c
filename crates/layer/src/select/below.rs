//! Looking at what lies below a directory, on every core: for many small files that is most of what a COPY costs.
//!
//! Directories are looked at in about the order of a walk, and taken in exactly that (`source.rs`): the result, and the
//! first error, are what one thread would give. They are taken meanwhile, so that what was found lies in memory once.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use jettison_oci::Digest;
use rayon::{Scope, ThreadPool, ThreadPoolBuilder};
use rustix::io::Errno;

use super::known::{FileStat, FsIds, Moment, Seen};
use super::pattern::{Include, Reached};
use super::source::Selector;
use crate::inside::{self, NO_LINKS};
use crate::names::{Inode, shared_inode};
use crate::walk::{self, Descend, read_entry, read_xattrs};
use crate::{Entry, Error, Kind};

/// The kernel takes no longer paths, and whoever reads the files opens them by theirs (`PATH_MAX` of `linux/limits.h`).
const PATH_BYTES: usize = 4096;

/// Looks at single names.
pub(super) struct Look<'a> {
    pub(super) selector: &'a Selector<'a>,
    /// Before the first look.
    pub(super) now: Moment,
    pub(super) file_systems: &'a FsIds,
}

/// What a name is. A directory of a million files is looked at as a whole, so no more is kept than is needed.
pub(super) struct Looked {
    pub(super) entry: Entry,
    pub(super) stat: FileStat,
    /// Whether the inode has several names.
    pub(super) shared: bool,
    /// What is known of a regular file; see [`Seen`].
    pub(super) digest: Option<Digest>,
    pub(super) settled: bool,
}

impl Looked {
    /// The inode, if it has several names.
    pub(super) fn shared_inode(&self) -> Option<Inode> {
        self.shared.then_some((self.stat.dev, self.stat.ino))
    }

    /// What is known of it, if it is a regular file.
    pub(super) fn seen(&mut self) -> Option<Seen> {
        let is_file = matches!(self.entry.kind, Kind::File { .. });
        is_file.then(|| Seen { stat: self.stat, digest: self.digest.take(), settled: self.settled })
    }
}

impl Look<'_> {
    /// The entry at `name`. A regular file whose digest is known has no extended attributes, and need not be opened.
    pub(super) fn at(&self, parent: impl AsFd, name: &[u8], path: Vec<u8>) -> Result<Looked, Error> {
        let parent = parent.as_fd();
        let (entry, stat) = read_entry(parent, name, path)?;
        let is_file = matches!(entry.kind, Kind::File { .. });
        let file_system = if is_file { self.file_systems.of(parent, name, &stat) } else { None };
        let shared = shared_inode(&stat).is_some();
        let stat = FileStat::from(&stat);
        let settled = file_system.filter(|_| self.now.is_after(&stat));
        let digest = settled.and_then(|fs| self.selector.files.get(&stat.on(fs)));
        let mut looked = Looked { entry, stat, shared, digest, settled: settled.is_some() };
        if looked.digest.is_none() {
            looked.entry.xattrs = read_xattrs(parent, name, &looked.entry.kind);
        }
        Ok(looked)
    }
}

/// A name below a directory that counts, or may have something below it that does.
pub(super) struct Found {
    pub(super) looked: Looked,
    /// Whether it counts itself.
    pub(super) counts: bool,
    /// What is in it, if it is a directory.
    pub(super) below: Option<Below>,
}

/// What is in a directory, as soon as somebody has looked.
#[derive(Clone, Default)]
pub(super) struct Below(Arc<Answer>);

#[derive(Default)]
struct Answer {
    found: Mutex<Option<Result<Vec<Found>, Error>>>,
    is_there: Condvar,
}

impl Below {
    /// What was found, in the order of names; waits for it. Each directory is taken once.
    pub(super) fn take(self) -> Result<Vec<Found>, Error> {
        let mut found = self.0.found.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match found.take() {
                Some(found) => return found,
                None => found = self.0.is_there.wait(found).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn set(&self, found: Result<Vec<Found>, Error>) {
        *self.0.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        self.0.is_there.notify_one();
    }
}

/// What counts below a directory.
pub(super) struct Search<'a> {
    look: &'a Look<'a>,
    directory: OwnedFd,
    /// Its path.
    real: &'a [u8],
    include: Option<&'a Include>,
    /// Directories that nobody has looked at yet, the first of a walk on top.
    waiting: Mutex<BinaryHeap<Reverse<Place>>>,
}

/// A directory to look at.
struct Place {
    /// Relative to the directory that is searched.
    path: Vec<u8>,
    /// How far the patterns of `--parents` are matched by the path; `None` if everything counts.
    reached: Option<Reached>,
    /// Where the answer goes.
    below: Below,
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        walk::order(&self.path, &other.path)
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}

impl<'a> Search<'a> {
    /// Of `directory`, whose path is `real`; `include` is what `--parents` takes out of it.
    pub(super) fn new(
        look: &'a Look<'a>,
        directory: OwnedFd,
        real: &'a [u8],
        include: Option<&'a Include>,
    ) -> Self {
        Self { look, directory, real, include, waiting: Mutex::default() }
    }

    /// Looks at everything that counts below the directory, while `taken` takes it.
    ///
    /// # Errors
    /// Those of `taken`, which gets what goes wrong with a file where it belongs; and if no threads can be had.
    pub(super) fn run<E: From<Error>>(&self, taken: impl FnOnce(Below) -> Result<(), E>) -> Result<(), E> {
        threads()?.in_place_scope(|scope| {
            let reached = self.include.map(Include::start);
            taken(self.have_looked_at(scope, Vec::new(), reached))
        })
    }

    /// Has whoever is free look at the directory at `path`. All go for what is taken first.
    fn have_looked_at<'s>(&'s self, scope: &Scope<'s>, path: Vec<u8>, reached: Option<Reached>) -> Below {
        let below = Below::default();
        let place = Place { path, reached, below: below.clone() };
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(Reverse(place));
        scope.spawn(|scope| {
            let first = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Reverse(place) = first.expect("there is a directory for each who was told to look at one");
            place.below.set(self.names(scope, &place));
        });
        below
    }

    fn names<'s>(&'s self, scope: &Scope<'s>, place: &Place) -> Result<Vec<Found>, Error> {
        let opened = match place.path.len() {
            0 => None,
            1..PATH_BYTES => Some(inside::open_dir(self.directory.as_fd(), &place.path, NO_LINKS)),
            _ => Some(Err(Errno::NAMETOOLONG)),
        };
        let opened = opened.transpose().map_err(Error::io("open", &place.path))?;
        let directory = opened.as_ref().unwrap_or(&self.directory);
        let listed = inside::listed(directory.as_fd()).map_err(Error::io("read", &place.path))?;
        let mut all = Vec::with_capacity(listed.len());
        for listed in listed {
            let name = listed.name.as_bytes();
            let path = inside::join(&place.path, name);
            let next = match (self.include, &place.reached) {
                (Some(include), Some(reached)) => Some(include.step(reached, name)),
                _ => None,
            };
            let whole = next.as_ref().is_none_or(Reached::whole);
            let (excluded, descend) = self.judge(&path);
            let hopeless = next.as_ref().is_some_and(Reached::hopeless);
            if hopeless || (excluded && descend == Descend::No) {
                continue;
            }
            let looked = match self.look.at(directory, name, path) {
                Err(error) if listed.is_whiteout(&error) => continue,
                other => other?,
            };
            let counts = whole && !excluded;
            let mut found = Found { looked, counts, below: None };
            if found.looked.entry.kind == Kind::Directory {
                let reached = next.filter(|_| !whole);
                let path = found.looked.entry.path.clone();
                found.below = Some(self.have_looked_at(scope, path, reached));
            }
            if counts || found.below.is_some() {
                all.push(found);
            }
        }
        Ok(all)
    }

    /// Whether `path` is left out, and whether it is worth looking below it all the same.
    fn judge(&self, path: &[u8]) -> (bool, Descend) {
        let selector = self.look.selector;
        let ignored = selector.ignore.excluded(&inside::join(self.real, path));
        let excluded = selector.excludes.excluded(path);
        let hopeless =
            (ignored && !selector.ignore.may_reinclude()) || (excluded && !selector.excludes.may_reinclude());
        (ignored || excluded, if hopeless { Descend::No } else { Descend::Yes })
    }
}

/// Threads that look, at most: starting many more would cost a build without work more than they save.
const THREADS_MAX: usize = 8;

/// As many threads as there are cores. They are started for the first who asks and stay; rayon's own ones would panic where a
/// limit on processes or memory is reached.
fn threads() -> Result<&'static ThreadPool, Error> {
    static THREADS: OnceLock<ThreadPool> = OnceLock::new();
    if let Some(threads) = THREADS.get() {
        return Ok(threads);
    }
    let failed = |error| Error::io("start", b"threads")(std::io::Error::other(error));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let started = ThreadPoolBuilder::new().num_threads(cores.min(THREADS_MAX)).build().map_err(failed)?;
    Ok(THREADS.get_or_init(|| started))
}
