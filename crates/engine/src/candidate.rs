//! The image of a build before it has a name: what an inspector may ask of it.
//!
//! The engine does not know how images are judged (crate `inspect` does, and stands beside it); whoever makes the
//! request hands in an [`Inspector`]. It is called when the image is put together and nothing has left the store yet.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::os::fd::OwnedFd;

use jettison_dockerfile::Span;
use jettison_oci::{Descriptor, Digest, ImageConfig, Platform, Reference};
use jettison_plan::Fs;
use jettison_store::{SnapshotId, Store};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};

use crate::assemble::Documents;
use crate::build::Build;
use crate::cancel::Cancel;
use crate::error::Error;
use crate::event::{Event, Verdict};
use crate::filesystem;
use crate::tasks::Done;

/// Most paths of which it is said who brought them.
const BROUGHT_MAX: usize = 1_000_000;

/// Judges images.
pub trait Inspector: Debug + Send + Sync {
    /// Says what to think of an image that was just put together.
    fn inspect(&self, candidate: &Candidate<'_>) -> Result<Inspection, Error>;

    /// Whether it will ask for the files of an image with this config. If not, they need not be made.
    fn looks_into_files(&self, config: &ImageConfig) -> bool {
        let _ = config;
        true
    }

    /// What people see while it takes its time; `None`: it does not.
    fn task(&self) -> Option<String> {
        None
    }
}

/// The answer of an inspector.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// What it thinks.
    pub verdict: Verdict,
    /// Whether the build is to fail now.
    pub refuse: bool,
}

/// An image that is about to be named.
#[derive(Debug)]
pub struct Candidate<'a> {
    pub(crate) build: &'a Build<'a>,
    documents: &'a Documents,
}

/// The files of an image, in the form in which they are at hand.
#[derive(Debug)]
pub enum Files {
    /// Merged, below this descriptor.
    Merged(OwnedFd),
    /// As layers, base first, each with the digest of its tar; nobody has unpacked them.
    Layers(Vec<(Descriptor, Digest)>),
}

/// A part of the config that an instruction sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// ENTRYPOINT, or CMD if there is none.
    Command,
    /// USER.
    User,
    /// WORKDIR.
    Workdir,
    /// HEALTHCHECK.
    Healthcheck,
    /// ENV of this name.
    Env(String),
}

impl<'a> Candidate<'a> {
    pub(crate) fn new(build: &'a Build<'a>, documents: &'a Documents) -> Self {
        Self { build, documents }
    }

    /// Digest of its manifest.
    pub fn digest(&self) -> &'a Digest {
        &self.documents.manifest_descriptor.digest
    }

    /// The names that it is to get.
    pub fn names(&self) -> Vec<Reference> {
        self.build.request.names()
    }

    /// Its config.
    pub fn config(&self) -> &'a ImageConfig {
        &self.documents.parsed_config
    }

    /// Its platform.
    pub fn platform(&self) -> &'a Platform {
        &self.build.plan.platform
    }

    /// The store that it lies in.
    pub fn store(&self) -> &'a Store {
        self.build.images.store
    }

    /// Raised when the build is given up.
    pub fn cancel(&self) -> &'a Cancel {
        self.build.images.cancel
    }

    /// Its files.
    pub fn files(&self) -> Result<Files, Error> {
        let (base, steps) = self.build.target_chain();
        let fs = steps.last().map_or(base, |step| Fs::Step(*step));
        match self.build.fs_snapshot(fs)? {
            Some(snapshot) => Ok(Files::Merged(filesystem::open(self.store(), snapshot.as_ref())?)),
            None => {
                let manifest: jettison_oci::Manifest =
                    serde_json::from_slice(&self.documents.manifest).expect("we have just written it");
                let diff_ids = self.config().rootfs.diff_ids.clone();
                Ok(Files::Layers(manifest.layers.into_iter().zip(diff_ids).collect()))
            }
        }
    }

    /// The snapshot of its files: `Some(None)` for an image without any, `None` if it is not unpacked.
    pub fn snapshot(&self) -> Result<Option<Option<SnapshotId>>, Error> {
        let (base, steps) = self.build.target_chain();
        self.build.fs_snapshot(steps.last().map_or(base, |step| Fs::Step(*step)))
    }

    /// Where a part of the config was said; the FROM line for what the base brought.
    pub fn place(&self, instruction: &Instruction) -> Span {
        let stage = self.build.plan.target();
        let places = &stage.places;
        let has_entrypoint =
            self.config().config.entrypoint.as_ref().is_some_and(|entrypoint| !entrypoint.is_empty());
        let said = match instruction {
            Instruction::Command if has_entrypoint => places.entrypoint,
            Instruction::Command => places.cmd,
            Instruction::User => places.user,
            Instruction::Workdir => places.working_directory,
            Instruction::Healthcheck => places.healthcheck,
            Instruction::Env(name) => places.variables.get(name).copied(),
        };
        said.unwrap_or(stage.span)
    }

    /// The place of the FROM line of the image.
    pub fn from_place(&self) -> Span {
        self.build.plan.target().span
    }

    /// The stages that stay behind, each with its merged files, as far as those are at hand.
    pub fn left_behind(&self) -> Result<Vec<(String, OwnedFd)>, Error> {
        let plan = &self.build.plan;
        let (base, steps) = self.build.target_chain();
        let is_below = |fs: Fs| fs == base || matches!(fs, Fs::Step(step) if steps.contains(&step));
        let mut left = Vec::new();
        for stage in plan.stages.iter().filter(|stage| !is_below(stage.result)) {
            if let Some(snapshot) = self.build.fs_snapshot(stage.result)? {
                let name = stage.name.clone().unwrap_or_else(|| stage.index.to_string());
                left.push((name, filesystem::open(self.store(), snapshot.as_ref())?));
            }
        }
        Ok(left)
    }

    /// Every path that the Dockerfile's own steps brought, with the last instruction that did; what the base image has
    /// is not among them. A path may have been removed since.
    pub fn brought(&self) -> Result<BTreeMap<Vec<u8>, Span>, Error> {
        let (_, steps) = self.build.target_chain();
        let mut brought = BTreeMap::new();
        let Some(last) = steps.last() else { return Ok(brought) };
        let Some(Some(snapshot)) = self.build.fs_snapshot(Fs::Step(*last))? else { return Ok(brought) };
        let stack = self.store().stack(&snapshot)?;
        for (step, info) in steps.iter().rev().zip(&stack) {
            let span = self.build.plan.steps[*step].span;
            let directory = &self.store().snapshot_directory(&info.id);
            let root = filesystem::open_directory(directory)?;
            add_paths(&root, span, &mut brought).map_err(|e| Error::io("read", directory)(e))?;
        }
        Ok(brought)
    }
}

/// Notes every path below a snapshot's own directory that no later step brought again.
fn add_paths(root: &OwnedFd, span: Span, brought: &mut BTreeMap<Vec<u8>, Span>) -> std::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    // Paths and no descriptors: a folder may have more folders in it than a process may have files open.
    let mut pending = vec![Vec::new()];
    while let Some(path) = pending.pop() {
        let place: &[u8] = if path.is_empty() { b"." } else { &path };
        // A path that is longer than the kernel takes is nobody's.
        let Ok(directory) = rustix::fs::openat2(root, place, flags, Mode::empty(), inside) else { continue };
        for (name, kind) in filesystem::entries(&directory)? {
            if brought.len() >= BROUGHT_MAX {
                return Ok(());
            }
            let mut path: Vec<u8> = path.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.to_bytes());
            if kind == FileType::Directory {
                pending.push(path.clone());
            }
            if kind != FileType::CharacterDevice {
                brought.entry(path).or_insert(span);
            }
        }
    }
    Ok(())
}

impl Build<'_> {
    /// Asks the inspector of the request.
    ///
    /// # Errors
    /// [`Error::Refused`] if it refuses the image.
    pub(crate) fn inspect(&self, documents: &Documents) -> Result<Option<Verdict>, Error> {
        let Some(inspector) = &self.request.inspector else { return Ok(None) };
        let candidate = Candidate::new(self, documents);
        let inspection = match inspector.task() {
            Some(name) => {
                let task = self.tasks.add(name);
                self.tasks.run(task, || Ok((inspector.inspect(&candidate)?, Done::Ran)))?
            }
            None => inspector.inspect(&candidate)?,
        };
        self.tasks.sink.emit(Event::Verdict {
            platform: self.plan.platform.clone(),
            verdict: inspection.verdict.clone(),
        });
        if inspection.refuse {
            return Err(Error::Refused(Box::new(inspection.verdict)));
        }
        Ok(Some(inspection.verdict))
    }
}
