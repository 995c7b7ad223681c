//! `jettison report` and `build --report`: the report of a build as one HTML page.
//!
//! The page itself is made in crate `ui`; here the folders of the image and of the stages that stay behind are measured,
//! while the build has them at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use jettison_engine::{BuildRequest, Candidate, Error, Files, Inspection, Inspector, write_atomically};
use jettison_inspect::tree::join;
use jettison_ui as ui;
use jettison_ui::record::{Area, Record};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

use super::{last_build, print};
use crate::args::ReportPage;
use crate::environment::Environment;
use crate::failure::Failure;

/// Folders that are shown of each image or stage; the rest is one piece.
const FOLDERS_MAX: usize = 40;
/// How many components of a path make a folder.
const DEPTH: usize = 2;
/// More entries are not counted.
const ENTRIES_MAX: usize = 2_000_000;

pub(crate) fn run(args: &ReportPage, environment: &Environment) -> Result<ExitCode, Failure> {
    let record = last_build::load(&environment.store()?)?;
    match &args.output {
        Some(path) => write(path, &record).map(|()| ExitCode::SUCCESS),
        None => print(&ui::page(&record)),
    }
}

/// Writes the page.
pub(super) fn write(path: &Path, record: &Record) -> Result<(), Failure> {
    Ok(write_atomically(path, ui::page(record).as_bytes())?)
}

/// Where the bytes are, measured by whoever looks at the image.
#[derive(Clone, Debug, Default)]
pub(super) struct Areas(Arc<Mutex<Vec<Area>>>);

impl Areas {
    /// Has the images of `request` measured.
    pub(super) fn measure(&self, request: &mut BuildRequest) {
        if let Some(inner) = request.inspector.take() {
            request.inspector = Some(Arc::new(Measurer { inner, areas: self.clone() }));
        }
    }

    /// What was measured.
    pub(super) fn take(&self) -> Vec<Area> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, areas: Vec<Area>) {
        // Of several platforms the first one stands for all.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_empty() {
            *known = areas;
        }
    }
}

/// Measures, then lets another inspector judge.
#[derive(Debug)]
struct Measurer {
    inner: Arc<dyn Inspector>,
    areas: Areas,
}

impl Inspector for Measurer {
    fn inspect(&self, candidate: &Candidate<'_>) -> Result<Inspection, Error> {
        let failed = |error: std::io::Error| Error::Inspection(error.to_string());
        let mut areas = Vec::new();
        // An image that is nothing but its base may not be unpacked; then its size alone is shown.
        if let Files::Merged(root) = candidate.files()? {
            areas.push(Area { name: String::new(), is_image: true, folders: folders(root).map_err(failed)? });
        }
        for (name, root) in candidate.left_behind()? {
            let folders = folders(root).map_err(failed)?;
            areas.push(Area { name, is_image: false, folders });
        }
        areas.retain(|area| !area.folders.is_empty());
        self.areas.put(areas);
        self.inner.inspect(candidate)
    }

    fn task(&self) -> Option<String> {
        self.inner.task()
    }
}

/// Bytes of the folders below `root`, two levels deep, the largest first. A file with several names counts once.
fn folders(root: OwnedFd) -> std::io::Result<Vec<(String, u64)>> {
    let mut sizes: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    let mut linked = BTreeSet::new();
    let mut pending = vec![(root, Vec::new())];
    let mut seen = 0;
    while let Some((folder, path)) = pending.pop() {
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
                FileType::Directory => {
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    pending.push((rustix::fs::openat(&folder, name, flags, Mode::empty())?, path));
                }
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
    if sizes.len() > FOLDERS_MAX {
        let rest = sizes.drain(FOLDERS_MAX..).map(|(_, bytes)| bytes).sum();
        sizes.push(("everything else".to_owned(), rest));
        sizes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    }
    Ok(sizes)
}

/// The folder that a file counts for; a file that lies higher stands for itself.
fn group(path: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    parts[..parts.len().min(DEPTH)].join(&b'/')
}
