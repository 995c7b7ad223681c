//! What an image was made of, and which stages stayed behind: sizes that a build knows without looking at a file.
//!
//! Kept beside the image for `jettison size`; a rebuild that never looks at a stage does not forget it. Folders are
//! measured by whoever asks, as long as the snapshot of the stage is there.

use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError};

use jettison_layer::copy::Listing;
use jettison_oci::{Digest, ImageConfig};
use jettison_plan::Fs;
use jettison_store::{SnapshotId, Store};
use serde::{Deserialize, Serialize};

use crate::build::Build;
use crate::error::Error;
use crate::filesystem;

/// Most stages of one image that are remembered.
const STAGES_MAX: usize = 100;
/// Longer listings of a layer are not kept until the end of the build, names.
const LISTED_MAX: usize = 300_000;

/// A part of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The base image as FROM names it, or the instruction that made the layer, as the history has it.
    pub what: String,
    /// Its files, bytes.
    pub bytes: u64,
    /// Whether it is the base image.
    pub is_base: bool,
}

/// The steps behind an image's own layers, as the store has them.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// What the last of them left; `None` if there are none.
    pub top: Option<SnapshotId>,
    /// How many there are.
    pub length: usize,
    /// Whether they are one layer.
    pub squashed: bool,
    /// What the last one wrote, if this very build made a layer of it and no files.
    pub listing: Option<Arc<Listing>>,
}

/// A build stage that is not in the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftBehind {
    /// Its name, or `stage 0`.
    pub name: String,
    /// Its files with those of its base, bytes.
    pub bytes: u64,
    /// The name of its snapshot in the store.
    pub snapshot: Option<String>,
}

impl LeftBehind {
    /// Its files, as long as they are in the store.
    ///
    /// # Errors
    /// If they are, and cannot be mounted.
    pub fn files(&self, store: &Store) -> Result<Option<OwnedFd>, Error> {
        let Some(name) = &self.snapshot else { return Ok(None) };
        match store.snapshot_named(name)? {
            Some(info) => filesystem::open(store, Some(&info.id)).map(Some),
            None => Ok(None),
        }
    }
}

/// The stages that an image of this digest left behind when it was built, the largest first; none if nobody knows.
///
/// # Errors
/// The store cannot be read.
pub fn left_behind(store: &Store, image: &Digest) -> Result<Vec<LeftBehind>, Error> {
    let text = store.memo(&key(image))?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

fn key(image: &Digest) -> String {
    format!("why stages {image}")
}

impl Build<'_> {
    /// The base image and the new layers, base first. `layers` are the bytes of those; all steps are one of them if they are
    /// squashed.
    pub(crate) fn image_parts(&self, config: &ImageConfig, layers: &[u64]) -> Result<Vec<Part>, Error> {
        let (base, _) = self.target_chain();
        let mut parts = Vec::new();
        if let Fs::Image(image) = base {
            let what = self.plan.images[image].reference.familiar();
            parts.push(Part { what, bytes: self.fs_bytes(base)?.unwrap_or(0), is_base: true });
        }
        if let (true, [bytes]) = (self.request.squash, layers) {
            let steps = self.target_chain().1.len();
            let what = if steps == 1 { "1 step".to_owned() } else { format!("{steps} steps") };
            parts.push(Part { what: format!("{what}, squashed"), bytes: *bytes, is_base: false });
            return Ok(parts);
        }
        let made = config.history.iter().filter(|entry| !entry.empty_layer);
        let made: Vec<&str> = made.map(|entry| entry.created_by.as_deref().unwrap_or_default()).collect();
        let own = made[made.len().saturating_sub(layers.len())..].iter();
        let part =
            |(what, bytes): (&&str, &u64)| Part { what: (*what).to_owned(), bytes: *bytes, is_base: false };
        parts.extend(own.zip(layers).map(part));
        Ok(parts)
    }

    /// Keeps what a layer has in it that was made without a snapshot.
    pub(crate) fn note_listing(&self, layer: SnapshotId, listing: Listing) {
        if listing.names.len() <= LISTED_MAX {
            *self.written.lock().unwrap_or_else(PoisonError::into_inner) = Some((layer, Arc::new(listing)));
        }
    }

    /// The steps of the result; `snapshots` are what they left.
    pub(crate) fn chain_of(&self, snapshots: &[SnapshotId]) -> Chain {
        let top = snapshots.last().cloned();
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let listing = written.iter().find(|(layer, _)| top.as_ref() == Some(layer));
        let listing = listing.map(|(_, listing)| Arc::clone(listing));
        Chain { top, length: snapshots.len(), squashed: self.request.squash, listing }
    }

    /// The other stages of the plan as far as their sizes are known, the largest first. What is known of all of them is
    /// remembered for this image.
    pub(crate) fn stages_left(&self, image: &Digest) -> Result<Vec<LeftBehind>, Error> {
        let (base, steps) = self.target_chain();
        let is_below = |fs: Fs| fs == base || matches!(fs, Fs::Step(step) if steps.contains(&step));
        let mut left = Vec::new();
        let mut is_all = true;
        for stage in self.plan.stages.iter().filter(|stage| !is_below(stage.result)).take(STAGES_MAX) {
            let name = stage.name.clone().unwrap_or_else(|| format!("stage {}", stage.index));
            let (Some(snapshot), Some(bytes)) =
                (self.fs_snapshot(stage.result)?, self.fs_bytes(stage.result)?)
            else {
                is_all = false;
                continue;
            };
            left.push(LeftBehind { name, bytes, snapshot: snapshot.map(|id| id.to_string()) });
        }
        left.sort_by_key(|stage| std::cmp::Reverse(stage.bytes));
        let store = self.images.store;
        if is_all && !left.is_empty() && left_behind(store, image)? != left {
            let text = serde_json::to_string(&left).expect("names and numbers can always be written");
            store.record_memo(&key(image), &text)?;
        }
        Ok(left)
    }

    /// Sum of the sizes of the snapshots below `fs`, bytes; `None` if they are not there.
    pub(crate) fn fs_bytes(&self, fs: Fs) -> Result<Option<u64>, Error> {
        let mut next = match self.fs_snapshot(fs)? {
            None => return Ok(None),
            Some(snapshot) => snapshot,
        };
        let mut bytes = 0;
        while let Some(id) = next {
            let Some(info) = self.images.store.snapshot(&id)? else { return Ok(None) };
            bytes += info.size;
            next = info.parent;
        }
        Ok(Some(bytes))
    }
}
