//! What the steps of a build brought: by folder and by package, what a later step hides, and what is there twice.
//!
//! For the last lines of a build, so it looks at what the steps wrote and at nothing else (`levels.rs`): the directories of
//! their snapshots, as overlayfs keeps them, and below those only the names that the steps touched. `size.rs` counts
//! whole images.

mod levels;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use jettison_oci::{Digest, Hasher};
use rustix::fs::{FileType, OFlags};
use serde::{Deserialize, Serialize};

pub use self::levels::{Layer, Levels, Wrote};
use self::levels::{Linked, What, is_opaque, is_whiteout, open, size, stat_in};
use crate::sbom;
use crate::size::{COMPARED_BYTES_MIN, Duplicate, FileUsage};
use crate::tree::{join, split};

/// Most names that are looked at. What a build with more of them brought is not said.
const NAMES_MAX: usize = 300_000;
/// Most entries of each list that are kept.
const LONGEST: usize = 20;
/// Most bytes that are read to find out whether files of the same size are the same.
const COMPARED_BYTES_MAX: u64 = 256 << 20;
/// Bytes at both ends of a file that are compared before all of it is read.
const ENDS: usize = 4 << 10;

/// What steps brought. Lists are sorted, the largest first, and hold the largest only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brought {
    /// Folders of at most two components; what lies in the root stands for itself.
    pub folders: Vec<FileUsage>,
    /// Packages that what is below has not, or in another version.
    pub packages: Vec<FileUsage>,
    /// Bytes that are transferred and never seen.
    pub hidden: Vec<Hidden>,
    /// The same content several times.
    pub duplicates: Vec<Duplicate>,
    /// How many folders and packages are not in the lists, and their bytes.
    pub more: [(usize, u64); 2],
}

/// Bytes of one step that a later one overwrote or deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hidden {
    /// The step that brought them, counted from the base; `None`: what is below all steps.
    pub of: Option<usize>,
    /// The step that hides them.
    pub by: usize,
    /// How many.
    pub bytes: u64,
}

/// Looks at what steps wrote. Contents are compared only if at least `wasted_min` bytes could be saved. `None` if there is
/// too much to look at.
///
/// # Errors
/// If the directories cannot be read.
pub fn brought(levels: &Levels, wasted_min: u64) -> io::Result<Option<Brought>> {
    let mut count = Count::new(levels);
    for (number, step) in levels.steps.iter().enumerate() {
        if !count.step(number, step)? {
            return Ok(None);
        }
    }
    let mut by_path: BTreeMap<&[u8], u64> = BTreeMap::new();
    for (path, file) in &count.files {
        *by_path.entry(folder(path)).or_default() += file.bytes;
    }
    // Names that are no text may be shown alike.
    let mut folders: BTreeMap<String, u64> = BTreeMap::new();
    for (path, bytes) in by_path {
        *folders.entry(shown(path)).or_default() += bytes;
    }
    let (folders, more_folders) = largest(folders);
    let (packages, more_packages) = largest(count.packages()?);
    if levels.squashed {
        count.squash();
    }
    let mut hidden: Vec<Hidden> =
        count.hidden.iter().map(|((of, by), bytes)| Hidden { of: *of, by: *by, bytes: *bytes }).collect();
    hidden.sort_by_key(|hidden| std::cmp::Reverse(hidden.bytes));
    hidden.truncate(LONGEST);
    let duplicates = count.duplicates(wasted_min)?;
    Ok(Some(Brought { folders, packages, hidden, duplicates, more: [more_folders, more_packages] }))
}

/// A file that a step brought and that is still seen.
struct Brings {
    step: usize,
    /// Zero for further names of a file.
    bytes: u64,
}

struct Count<'a> {
    levels: &'a Levels,
    files: BTreeMap<Vec<u8>, Brings>,
    hidden: BTreeMap<(Option<usize>, usize), u64>,
    /// What is below all steps and is hidden by now, with everything in it.
    gone: BTreeSet<Vec<u8>>,
    seen: usize,
}

impl<'a> Count<'a> {
    fn new(levels: &'a Levels) -> Self {
        Self { levels, files: BTreeMap::new(), hidden: BTreeMap::new(), gone: BTreeSet::new(), seen: 0 }
    }

    /// Counts what a step wrote; `false` if that is too much.
    fn step(&mut self, number: usize, wrote: &Wrote) -> io::Result<bool> {
        let mut linked = Linked::new();
        // A directory, and the directories of the base that it lies on.
        let mut pending = vec![(Vec::new(), (0..self.levels.base.len()).collect::<Vec<_>>())];
        while let Some((path, mut lowers)) = pending.pop() {
            let Some(names) = wrote.names(&path, &mut linked)? else { continue };
            if names.is_opaque {
                self.hide_below(&path, &lowers, number)?;
                lowers.clear();
            }
            self.seen += names.entries.len();
            if self.seen > NAMES_MAX {
                return Ok(false);
            }
            let mut lower_directories = Vec::new();
            for lower in lowers {
                lower_directories
                    .extend(open(&self.levels.base[lower], &path, OFlags::DIRECTORY)?.map(|fd| (lower, fd)));
            }
            for (name, what) in names.entries {
                let below = join(&path, &name);
                match what {
                    What::Directory => {
                        let (lowers, is_file) = self.directories(&lower_directories, &below)?;
                        if is_file || self.files.contains_key(&below) {
                            self.hide(&below, &lower_directories, number)?;
                        }
                        pending.push((below, lowers));
                    }
                    What::Other => self.hide(&below, &lower_directories, number)?,
                    What::File(bytes) => {
                        self.hide(&below, &lower_directories, number)?;
                        self.files.insert(below, Brings { step: number, bytes });
                    }
                }
            }
        }
        Ok(true)
    }

    /// Which of the base's directories have a directory of this path that is seen, and whether something else lies there.
    fn directories(&self, lowers: &[(usize, OwnedFd)], path: &[u8]) -> io::Result<(Vec<usize>, bool)> {
        let mut found = Vec::new();
        if self.is_gone(path) {
            return Ok((found, false));
        }
        for (number, directory) in lowers {
            match stat_in(directory, split(path).1)? {
                None => {}
                Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                    found.push(*number);
                    if open(directory, split(path).1, OFlags::DIRECTORY)?.is_some_and(|fd| is_opaque(&fd)) {
                        break;
                    }
                }
                Some(stat) => return Ok((found, !is_whiteout(&stat))),
            }
        }
        Ok((found, false))
    }

    /// Notes that a step hides what lay at `path`. `lowers` are the directories of the base that it would lie in.
    fn hide(&mut self, path: &[u8], lowers: &[(usize, OwnedFd)], by: usize) -> io::Result<()> {
        self.hide_steps(path, by);
        if lowers.is_empty() || self.is_gone(path) {
            return Ok(());
        }
        let (directories, _) = self.directories(lowers, path)?;
        let mut bytes = 0;
        for directory in &directories {
            bytes += self.bytes_below(*directory, path)?;
        }
        if directories.is_empty() {
            for (_, directory) in lowers {
                if let Some(stat) = stat_in(directory, split(path).1)? {
                    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
                    bytes += if is_file { size(&stat) } else { 0 };
                    break;
                }
            }
        }
        self.add_hidden(None, by, bytes);
        self.gone.insert(path.to_vec());
        Ok(())
    }

    /// Notes that a step hides everything below `path`.
    fn hide_below(&mut self, path: &[u8], lowers: &[usize], by: usize) -> io::Result<()> {
        self.hide_steps(path, by);
        if !lowers.is_empty() && !self.is_gone(path) {
            for lower in lowers {
                let bytes = self.bytes_below(*lower, path)?;
                self.add_hidden(None, by, bytes);
            }
            self.gone.insert(path.to_vec());
        }
        Ok(())
    }

    /// The same for what earlier steps brought at `path` and below. What this very step brings is not hidden by it.
    fn hide_steps(&mut self, path: &[u8], by: usize) {
        // For every file of a large COPY, most often the first step and the only one.
        if by == 0 {
            return;
        }
        let inside = [path, b"/"].concat();
        let mut gone: Vec<Vec<u8>> =
            self.files.contains_key(path).then(|| path.to_vec()).into_iter().collect();
        let below = self.files.range(inside.clone()..).take_while(|(name, _)| name.starts_with(&inside));
        gone.extend(below.map(|(name, _)| name.clone()));
        for name in gone {
            if self.files[&name].step < by
                && let Some(file) = self.files.remove(&name)
            {
                self.add_hidden(Some(file.step), by, file.bytes);
            }
        }
    }

    fn add_hidden(&mut self, of: Option<usize>, by: usize, bytes: u64) {
        if bytes > 0 {
            *self.hidden.entry((of, by)).or_default() += bytes;
        }
    }

    /// Takes all steps as one layer.
    fn squash(&mut self) {
        let of_base = self.hidden.iter().filter(|((of, _), _)| of.is_none()).map(|(_, bytes)| bytes).sum();
        self.hidden.clear();
        self.add_hidden(None, 0, of_base);
    }

    fn is_gone(&self, path: &[u8]) -> bool {
        let mut path = path;
        while !path.is_empty() {
            if self.gone.contains(path) {
                return true;
            }
            path = split(path).0;
        }
        false
    }

    /// Bytes of the files of one directory of the base below `path` that nothing hid before.
    fn bytes_below(&mut self, lower: usize, path: &[u8]) -> io::Result<u64> {
        levels::bytes_below(&self.levels.base[lower], path, &self.gone, (&mut self.seen, NAMES_MAX))
    }

    /// Packages of the databases that steps wrote, without those of the same databases below.
    fn packages(&self) -> io::Result<BTreeMap<String, u64>> {
        let mut packages: BTreeMap<String, u64> = BTreeMap::new();
        for (path, file) in self.files.iter().filter(|(path, _)| sbom::is_database(path)) {
            let before =
                self.levels.base.iter().find_map(|root| open(root, path, OFlags::empty()).transpose());
            let before: BTreeSet<(String, String)> = match before.transpose()? {
                Some(file) => listed(path, file)?.into_iter().map(|p| (p.name, p.version)).collect(),
                None => BTreeSet::new(),
            };
            let Some(now) = self.open(path, file)? else { continue };
            for package in listed(path, now)? {
                if let Some(bytes) = package.bytes
                    && !before.contains(&(package.name.clone(), package.version))
                {
                    let sum = packages.entry(package.name).or_default();
                    *sum = sum.saturating_add(bytes);
                }
            }
        }
        Ok(packages)
    }

    /// Files with the same content that waste at least `wasted_min` bytes.
    fn duplicates(&self, wasted_min: u64) -> io::Result<Vec<Duplicate>> {
        let mut same_size: BTreeMap<u64, Vec<(&Vec<u8>, &Brings)>> = BTreeMap::new();
        for (path, file) in self.files.iter().filter(|(_, file)| file.bytes >= COMPARED_BYTES_MIN) {
            same_size.entry(file.bytes).or_default().push((path, file));
        }
        let mut left = COMPARED_BYTES_MAX;
        let mut duplicates = Vec::new();
        // The largest first, as long as there is something left to read.
        for (bytes, files) in same_size.into_iter().rev() {
            let others = files.len() as u64 - 1;
            if others == 0 || bytes.saturating_mul(others) < wasted_min {
                continue;
            }
            let mut same_ends: BTreeMap<Digest, Vec<(&Vec<u8>, &Brings)>> = BTreeMap::new();
            for (path, file) in files {
                if let Some(opened) = self.open(path, file)? {
                    same_ends.entry(ends(&opened, bytes)?).or_default().push((path, file));
                }
            }
            for files in same_ends.into_values().filter(|files| files.len() > 1) {
                let needed = bytes.saturating_mul(files.len() as u64);
                if needed > left {
                    continue;
                }
                left -= needed;
                duplicates.extend(self.of_same_content(bytes, files)?);
            }
        }
        duplicates.retain(|duplicate| duplicate.wasted_bytes >= wasted_min);
        duplicates.sort_by_key(|duplicate| std::cmp::Reverse(duplicate.wasted_bytes));
        duplicates.truncate(LONGEST);
        Ok(duplicates)
    }

    fn of_same_content(&self, bytes: u64, files: Vec<(&Vec<u8>, &Brings)>) -> io::Result<Vec<Duplicate>> {
        let mut same: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        for (path, file) in files {
            let Some(mut opened) = self.open(path, file)? else { continue };
            let mut hasher = Hasher::sha256();
            let mut buffer = vec![0; 64 << 10];
            loop {
                match io::Read::read(&mut opened, &mut buffer)? {
                    0 => break,
                    n => hasher.update(&buffer[..n]),
                }
            }
            same.entry(hasher.finish()).or_default().push(shown(path));
        }
        let duplicate =
            |paths: Vec<String>| Duplicate { wasted_bytes: bytes * (paths.len() as u64 - 1), paths, bytes };
        Ok(same.into_values().filter(|paths| paths.len() > 1).map(duplicate).collect())
    }

    fn open(&self, path: &[u8], file: &Brings) -> io::Result<Option<File>> {
        self.levels.steps[file.step].open(path)
    }
}

/// The packages in a database; none if it cannot be read: whoever wants to know asks `size` or `sbom`.
fn listed(path: &[u8], file: impl Into<File>) -> io::Result<Vec<sbom::Package>> {
    let mut file = file.into();
    let size = file.metadata()?.len();
    Ok(sbom::database(path, size, &mut file).and_then(Result::ok).unwrap_or_default())
}

/// The digest of a file's first and last bytes.
fn ends(file: &File, bytes: u64) -> io::Result<Digest> {
    let mut hasher = Hasher::sha256();
    let mut buffer = vec![0; ENDS];
    for offset in [0, bytes.saturating_sub(ENDS as u64)] {
        let n = file.read_at(&mut buffer, offset)?;
        hasher.update(&buffer[..n]);
    }
    Ok(hasher.finish())
}

fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}

/// The folder that a file counts for.
fn folder(path: &[u8]) -> &[u8] {
    let mut slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let first = slashes.next();
    &path[..slashes.next().or(first).unwrap_or(path.len())]
}

/// The largest entries, and how many others there are with how many bytes.
fn largest(map: BTreeMap<String, u64>) -> (Vec<FileUsage>, (usize, u64)) {
    let entries = map.into_iter().filter(|(_, bytes)| *bytes > 0);
    let mut list: Vec<FileUsage> = entries.map(|(path, bytes)| FileUsage { path, bytes }).collect();
    list.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
    let rest = list.split_off(list.len().min(LONGEST));
    (list, (rest.len(), rest.iter().map(|entry| entry.bytes).fold(0, u64::saturating_add)))
}
