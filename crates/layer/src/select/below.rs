//! Looking at what lies below a directory, on every core: for many small files that is most of what a COPY costs.
//!
//! Directories are looked at in any order, and taken in the order of a walk (`source.rs`): the result, and the first
//! error, are what one thread would give.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use rayon::{Scope, ThreadPool, ThreadPoolBuilder};
use rustix::fs::Stat;
use rustix::io::Errno;

use super::known::{FileStat, FsIds, Moment, Seen};
use super::pattern::{Include, Reached};
use super::source::Selector;
use crate::inside::{self, NO_LINKS};
use crate::walk::{Descend, read_entry, read_xattrs};
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

/// What a name is.
pub(super) struct Looked {
    pub(super) entry: Entry,
    pub(super) stat: Stat,
    /// Of a regular file only.
    pub(super) seen: Option<Seen>,
}

impl Look<'_> {
    /// The entry at `name`. A regular file whose digest is known has no extended attributes, and need not be opened.
    pub(super) fn at(&self, parent: impl AsFd, name: &[u8], path: Vec<u8>) -> Result<Looked, Error> {
        let parent = parent.as_fd();
        let (mut entry, stat) = read_entry(parent, name, path)?;
        let mut seen = None;
        if matches!(entry.kind, Kind::File { .. }) {
            let known_as = FileStat::from(&stat);
            let fs = self.file_systems.of(parent, name, &stat).filter(|_| self.now.is_after(&known_as));
            let digest = fs.and_then(|fs| self.selector.files.get(&known_as.on(fs)));
            seen = Some(Seen { stat: known_as, digest, settled: fs.is_some() });
        }
        if seen.as_ref().is_none_or(|seen| seen.digest.is_none()) {
            entry.xattrs = read_xattrs(parent, name, &entry.kind);
        }
        Ok(Looked { entry, stat, seen })
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

/// What is in a directory.
#[derive(Clone, Default)]
pub(super) struct Below(Arc<OnceLock<Result<Vec<Found>, Error>>>);

impl Below {
    /// What was found, in the order of names.
    pub(super) fn take(self) -> Result<Vec<Found>, Error> {
        let found = Arc::into_inner(self.0).and_then(OnceLock::into_inner);
        found.expect("a directory has been looked at when the search for what is below it is over")
    }
}

/// What counts below a directory.
pub(super) struct Search<'a> {
    pub(super) look: &'a Look<'a>,
    /// The directory.
    pub(super) real: &'a [u8],
    /// What `--parents` takes out of it.
    pub(super) include: Option<&'a Include>,
}

/// A directory to look at.
struct Place {
    opened: Arc<OwnedFd>,
    /// Relative to the directory that is searched.
    path: Vec<u8>,
    /// How far the patterns of `--parents` are matched by the path; `None` if everything counts.
    reached: Option<Reached>,
}

impl Search<'_> {
    /// Looks at everything that counts below `directory`.
    ///
    /// # Errors
    /// If no threads can be had. What goes wrong with a file is found where it belongs.
    pub(super) fn run(&self, directory: OwnedFd) -> Result<Below, Error> {
        let top = Below::default();
        let place = Place {
            opened: Arc::new(directory),
            path: Vec::new(),
            reached: self.include.map(Include::start),
        };
        threads()?.scope(|scope| self.directory(scope, place, &top));
        Ok(top)
    }

    fn directory<'s>(&'s self, scope: &Scope<'s>, place: Place, below: &Below) {
        // Each directory has one place and is looked at once.
        let _ = below.0.set(self.names(scope, &place));
    }

    fn names<'s>(&'s self, scope: &Scope<'s>, place: &Place) -> Result<Vec<Found>, Error> {
        let listed = inside::listed(place.opened.as_fd()).map_err(Error::io("read", &place.path))?;
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
            let looked = match self.look.at(&*place.opened, name, path) {
                Err(error) if listed.is_whiteout(&error) => continue,
                other => other?,
            };
            let counts = whole && !excluded;
            let mut found = Found { looked, counts, below: None };
            if found.looked.entry.kind == Kind::Directory {
                let reached = next.filter(|_| !whole);
                found.below = Some(self.descend(scope, place, &listed.name, &found.looked.entry, reached));
            }
            if counts || found.below.is_some() {
                all.push(found);
            }
        }
        Ok(all)
    }

    /// Has whoever is free look at the directory `entry`.
    fn descend<'s>(
        &'s self,
        scope: &Scope<'s>,
        parent: &Place,
        name: &CStr,
        entry: &Entry,
        reached: Option<Reached>,
    ) -> Below {
        let below = Below::default();
        let (place, parent, name) = (below.clone(), Arc::clone(&parent.opened), name.to_owned());
        let path = entry.path.clone();
        scope.spawn(move |scope| {
            let opened = match path.len() {
                0..PATH_BYTES => inside::open_dir(parent.as_fd(), name.as_bytes(), NO_LINKS),
                _ => Err(Errno::NAMETOOLONG),
            };
            match opened {
                Ok(opened) => {
                    drop(parent);
                    self.directory(scope, Place { opened: Arc::new(opened), path, reached }, &place);
                }
                Err(errno) => {
                    let _ = place.0.set(Err(Error::io("open", &path)(errno)));
                }
            }
        });
        below
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
