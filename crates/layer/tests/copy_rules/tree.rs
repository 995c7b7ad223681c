//! Two trees, a source and a destination, described and shown as short texts.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use jettison_layer::copy::{CopyError, CopyOptions, copy};
use jettison_layer::select::{
    FileDigests, NothingKnown, PathFilter, SelectError, Selection, Selector, select,
};
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};
use tempfile::TempDir;

/// A filter by a closure; `true` in the second place: look below excluded directories too.
pub(crate) struct Filter(pub(crate) fn(&str) -> bool, pub(crate) bool);

impl PathFilter for Filter {
    fn excluded(&self, path: &[u8]) -> bool {
        (self.0)(std::str::from_utf8(path).unwrap())
    }

    fn may_reinclude(&self) -> bool {
        self.1
    }
}

pub(crate) const NOTHING: Filter = Filter(|_| false, false);

/// A source and a destination.
pub(crate) struct Trees {
    dir: TempDir,
}

impl Trees {
    /// Makes both from lines: `dir/`, `file`, `file=text`, `link -> target`.
    pub(crate) fn new(from: &[&str], to: &[&str]) -> Self {
        let trees = Self { dir: TempDir::new().unwrap() };
        for (root, lines) in [(trees.from(), from), (trees.to(), to)] {
            fs::create_dir(&root).unwrap();
            for line in lines {
                make(&root, line);
            }
            age(&root);
        }
        trees
    }

    pub(crate) fn from(&self) -> PathBuf {
        self.dir.path().join("from")
    }

    pub(crate) fn to(&self) -> PathBuf {
        self.dir.path().join("to")
    }

    pub(crate) fn select_with(&self, selector: &Selector<'_>) -> Result<Selection, SelectError> {
        select(open(&self.from()).as_fd(), selector)
    }

    pub(crate) fn select(&self, sources: &[&str]) -> Result<Selection, SelectError> {
        self.select_of(sources, false)
    }

    pub(crate) fn select_of(&self, sources: &[&str], parents: bool) -> Result<Selection, SelectError> {
        self.select_knowing(sources, parents, &NothingKnown)
    }

    pub(crate) fn select_knowing(
        &self,
        sources: &[&str],
        parents: bool,
        files: &dyn FileDigests,
    ) -> Result<Selection, SelectError> {
        let patterns: Vec<Vec<u8>> = sources.iter().map(|s| s.as_bytes().to_vec()).collect();
        self.select_with(&Selector {
            patterns: &patterns,
            excludes: &NOTHING,
            ignore: &NOTHING,
            parents,
            files,
        })
    }

    pub(crate) fn carry(&self, selection: &Selection, options: &CopyOptions) -> Result<(), CopyError> {
        copy(selection, open(&self.from()).as_fd(), open(&self.to()).as_fd(), options)
    }

    /// `COPY sources… destination`, with options; the owners stay those of the test.
    pub(crate) fn copy_with(&self, sources: &[&str], options: CopyOptions) -> Result<(), CopyError> {
        let selection = self.select_of(sources, options.parents).expect("every source is there");
        self.carry(&selection, &with_owner(options))
    }

    pub(crate) fn copy(&self, sources: &[&str], destination: &str) -> Result<(), CopyError> {
        self.copy_with(sources, to(destination))
    }

    /// The destination as lines, sorted.
    pub(crate) fn shown(&self) -> Vec<String> {
        let mut lines = Vec::new();
        show(&self.to(), &self.to(), &mut lines);
        lines.sort();
        lines
    }

    pub(crate) fn mode(&self, path: &str) -> u32 {
        fs::symlink_metadata(self.to().join(path)).unwrap().mode() & 0o7777
    }

    pub(crate) fn mtime(&self, path: &str) -> i64 {
        fs::symlink_metadata(self.to().join(path)).unwrap().mtime()
    }

    pub(crate) fn owner(&self, path: &str) -> (u32, u32) {
        let metadata = fs::symlink_metadata(self.to().join(path)).unwrap();
        (metadata.uid(), metadata.gid())
    }
}

pub(crate) fn to(destination: &str) -> CopyOptions {
    CopyOptions {
        destination: destination.as_bytes().to_vec(),
        created_mtime_s: 1_000_000,
        ..CopyOptions::default()
    }
}

/// Plain users cannot give files away: without a wish of the test, everything belongs to whoever runs it.
fn with_owner(mut options: CopyOptions) -> CopyOptions {
    if !is_root() && options.chown.is_none() {
        options.chown = Some((rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()));
    }
    options
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether to leave a test out because it has to give files away.
pub(crate) fn needs_root() -> bool {
    if !is_root() {
        eprintln!("skipped: only root can give files away");
    }
    !is_root()
}

pub(crate) fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

pub(crate) fn make(root: &Path, line: &str) {
    let path = |name: &str| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    if let Some((name, target)) = line.split_once(" -> ") {
        symlink(target, path(name)).unwrap();
    } else if let Some(name) = line.strip_suffix('/') {
        fs::create_dir_all(path(name)).unwrap();
    } else {
        let (name, text) = line.split_once('=').unwrap_or((line, line));
        fs::write(path(name), text).unwrap();
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
}

/// Gives everything an old time, so that what is new stands out.
fn age(path: &Path) {
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            age(&entry.unwrap().path());
        }
    }
    set_time(path, 500_000);
}

pub(crate) fn set_time(path: &Path, seconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: 7 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn show(root: &Path, path: &Path, lines: &mut Vec<String>) {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if path.is_symlink() {
            lines.push(format!("{name} -> {}", fs::read_link(&path).unwrap().display()));
        } else if path.is_dir() {
            lines.push(format!("{name}/"));
            show(root, &path, lines);
        } else if path.is_file() {
            let text = fs::read_to_string(&path).unwrap();
            let same = path.file_name().is_some_and(|n| text.ends_with(n.to_str().unwrap()));
            lines.push(if same { name } else { format!("{name}={text}") });
        } else {
            lines.push(format!("{name} (special)"));
        }
    }
}
