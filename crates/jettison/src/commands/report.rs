//! `jettison report` and `build --report`: the report of a build as one HTML page.
//!
//! The page itself is made in crate `ui`; here the folders of the image and of the stages that stay behind are measured,
//! while the build has them at hand.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use jettison_engine::{BuildRequest, Candidate, Error, Files, Inspection, Inspector, write_atomically};
use jettison_ui as ui;
use jettison_ui::record::{Area, Record};

use super::folders::folders;
use super::{last_build, print};
use crate::args::ReportPage;
use crate::environment::Environment;
use crate::failure::Failure;

/// Folders that are shown of each image or stage; the rest is one piece.
const FOLDERS_MAX: usize = 40;

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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(areas);
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
            areas.push(Area {
                name: String::new(),
                is_image: true,
                platform: candidate.platform().to_string(),
                folders: folders(&root, FOLDERS_MAX).map_err(failed)?,
            });
        }
        for (name, root) in candidate.left_behind()? {
            let folders = folders(&root, FOLDERS_MAX).map_err(failed)?;
            let platform = candidate.platform().to_string();
            areas.push(Area { name, is_image: false, platform, folders });
        }
        areas.retain(|area| !area.folders.is_empty());
        self.areas.put(areas);
        self.inner.inspect(candidate)
    }

    fn task(&self) -> Option<String> {
        self.inner.task()
    }
}
