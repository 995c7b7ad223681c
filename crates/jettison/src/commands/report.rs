//! `jettison report` and `build --report`: the report of a build as one HTML page.
//!
//! The page itself is made in crate `ui`; here the folders of the image and of the stages that stay behind are measured,
//! while the build has them at hand.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use jettison_engine::{BuildRequest, Candidate, Error, Inspection, Inspector, write_atomically};
use jettison_inspect::tree::join;
use jettison_inspect::{Directory, NodeKind, Tree};
use jettison_ui as ui;
use jettison_ui::record::{Area, Record};

use super::{last_build, print};
use crate::args::ReportPage;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::proof;

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
        let tree = proof::tree(candidate.store(), candidate.files()?)?;
        let mut areas =
            vec![Area { name: String::new(), is_image: true, folders: folders(&*tree).map_err(failed)? }];
        for (name, root) in candidate.left_behind()? {
            let folders = folders(&Directory::new(root)).map_err(failed)?;
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

/// Bytes of the folders of a tree, two levels deep, the largest first.
fn folders(tree: &dyn Tree) -> std::io::Result<Vec<(String, u64)>> {
    let mut sizes: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    let mut pending = vec![Vec::new()];
    let mut seen = 0;
    while let Some(folder) = pending.pop() {
        for name in tree.names(&folder)? {
            seen += 1;
            let path = join(&folder, &name);
            match tree.node(&path)?.map(|node| node.kind) {
                Some(NodeKind::Directory) => pending.push(path),
                Some(NodeKind::File { size }) => *sizes.entry(group(&path)).or_default() += size,
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
