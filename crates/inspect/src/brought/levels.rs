//! What a step wrote, in the two forms in which a build leaves it: a directory as overlayfs keeps it, or the names of a
//! layer that was made without one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use jettison_layer::Kind;
use jettison_layer::copy::Listing;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::tree::{join, split};

/// How overlayfs marks a directory that hides what is below it.
const OPAQUE: &str = "user.overlay.opaque";

/// The layers of an image.
#[derive(Debug)]
pub struct Levels {
    /// The directories of what the steps stand on, top first.
    pub base: Vec<OwnedFd>,
    /// What each step wrote, base first.
    pub steps: Vec<Wrote>,
    /// Whether the steps are one layer: what one of them wrote and a later one hid is in none then.
    pub squashed: bool,
}

/// What a step wrote.
#[derive(Debug)]
pub enum Wrote {
    /// Nothing.
    Nothing,
    /// A directory.
    Directory(OwnedFd),
    /// A layer, of which nobody made files.
    Layer(Layer),
}

/// The names of a layer, by directory.
#[derive(Debug)]
pub struct Layer {
    listing: Arc<Listing>,
    /// Last components of names, and which of the listing's names each is; `None`: a directory that it only implies.
    directories: HashMap<Vec<u8>, BTreeMap<Vec<u8>, Option<usize>>>,
}

impl Layer {
    /// The names of `listing`.
    pub fn new(listing: Arc<Listing>) -> Self {
        let mut directories: HashMap<Vec<u8>, BTreeMap<Vec<u8>, Option<usize>>> = HashMap::new();
        for (number, listed) in listing.names.iter().enumerate() {
            let (mut path, mut number) = (&listed.path[..], Some(number));
            while !path.is_empty() {
                let (directory, name) = split(path);
                let note = |names: &mut BTreeMap<Vec<u8>, Option<usize>>| {
                    let place = names.entry(name.to_vec());
                    place.and_modify(|known| *known = number.or(*known)).or_insert(number);
                };
                if let Some(names) = directories.get_mut(directory) {
                    note(names);
                    break;
                }
                note(directories.entry(directory.to_vec()).or_default());
                (path, number) = (directory, None);
            }
        }
        Self { listing, directories }
    }
}

/// What a step has in one directory.
pub(super) struct Names {
    /// Whether it hides what is below.
    pub(super) is_opaque: bool,
    /// Last components, and what they are.
    pub(super) entries: Vec<(Vec<u8>, What)>,
}

/// What a name is.
pub(super) enum What {
    Directory,
    /// A file of so many bytes; a further name of a file has none.
    File(u64),
    /// A link, a device, or the mark that there is nothing any more.
    Other,
}

/// The files with several names that were seen.
pub(super) type Linked = BTreeSet<(u64, u64)>;

impl Wrote {
    /// What it has in the directory at `path`; `None` if it has none there.
    pub(super) fn names(&self, path: &[u8], linked: &mut Linked) -> io::Result<Option<Names>> {
        match self {
            Self::Nothing => Ok(None),
            Self::Directory(root) => {
                let Some(directory) = open(root, path, OFlags::DIRECTORY)? else { return Ok(None) };
                let entries = names_of(&directory, linked)?;
                Ok(Some(Names { is_opaque: is_opaque(&directory), entries }))
            }
            Self::Layer(layer) => {
                let what = |number: &Option<usize>| match number.map(|n| &layer.listing.names[n].kind) {
                    None | Some(Kind::Directory) => What::Directory,
                    Some(Kind::File { size }) => What::File(*size),
                    Some(Kind::Hardlink { .. }) => What::File(0),
                    Some(_) => What::Other,
                };
                Ok(layer.directories.get(path).map(|names| Names {
                    is_opaque: false,
                    entries: names.iter().map(|(name, number)| (name.clone(), what(number))).collect(),
                }))
            }
        }
    }

    /// Opens a file of it.
    pub(super) fn open(&self, path: &[u8]) -> io::Result<Option<File>> {
        match self {
            Self::Nothing => Ok(None),
            Self::Directory(root) => open(root, path, OFlags::NONBLOCK).map(|file| file.map(File::from)),
            Self::Layer(layer) => {
                let (directory, name) = split(path);
                let number = layer.directories.get(directory).and_then(|names| *names.get(name)?);
                Ok(number.and_then(|number| layer.listing.open(&layer.listing.names[number])))
            }
        }
    }
}

/// The names of a directory of overlayfs.
fn names_of(directory: &OwnedFd, linked: &mut Linked) -> io::Result<Vec<(Vec<u8>, What)>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let what = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => What::Directory,
            FileType::RegularFile => {
                let is_first = stat.st_nlink < 2 || linked.insert((stat.st_dev, stat.st_ino));
                What::File(if is_first { size(&stat) } else { 0 })
            }
            _ => What::Other,
        };
        names.push((name.to_bytes().to_vec(), what));
    }
    Ok(names)
}

/// Bytes of the files of a directory of the base below `path` but for `gone`; each name is counted with `seen`, and
/// no more of them than `names_max` are looked at.
pub(super) fn bytes_below(
    base: &OwnedFd,
    path: &[u8],
    gone: &BTreeSet<Vec<u8>>,
    (seen, names_max): (&mut usize, usize),
) -> io::Result<u64> {
    let (mut bytes, mut linked, mut pending) = (0, Linked::new(), vec![path.to_vec()]);
    while let Some(path) = pending.pop() {
        let Some(directory) = open(base, &path, OFlags::DIRECTORY)? else { continue };
        for (name, what) in names_of(&directory, &mut linked)? {
            let below = join(&path, &name);
            if gone.contains(&below) {
                continue;
            }
            *seen += 1;
            if *seen > names_max {
                return Ok(bytes);
            }
            match what {
                What::Directory => pending.push(below),
                What::File(size) => bytes += size,
                What::Other => {}
            }
        }
    }
    Ok(bytes)
}

/// Opens what lies at a path and is no link; `None` if nothing of that kind does.
pub(super) fn open(root: &OwnedFd, path: &[u8], flags: OFlags) -> io::Result<Option<OwnedFd>> {
    let path: &[u8] = if path.is_empty() { b"." } else { path };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | flags;
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(root.as_fd(), path, flags, Mode::empty(), inside) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// What a name in a directory is; `None` if there is none.
pub(super) fn stat_in(directory: &OwnedFd, name: &[u8]) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether overlayfs means that there is nothing any more.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Whether a directory hides what is below it.
pub(super) fn is_opaque(directory: &OwnedFd) -> bool {
    let mut value = [0; 4];
    matches!(rustix::fs::fgetxattr(directory, OPAQUE, &mut value), Ok(1) if value[0] == b'y')
}

/// The size of a file, bytes.
pub(super) fn size(stat: &Stat) -> u64 {
    stat.st_size.unsigned_abs()
}
