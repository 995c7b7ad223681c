//! What the steps of a build brought, for its last lines: looked at once for each image, and remembered with it.
//!
//! It is an extra: whatever cannot be found out is not said. What is counted is in crate `inspect`.

use jettison_engine::BuiltImage;
use jettison_inspect::brought::{self, Brought, Levels};
use jettison_store::{SnapshotId, Store};
use rustix::fs::{Mode, OFlags};

/// Files that are there twice are worth a line from this part of the image on.
const WASTED_PART: u64 = 100;
/// And from so many bytes.
const WASTED_BYTES_MIN: u64 = 100_000;

/// What the steps behind `image` brought; `built` says which snapshot it was made of.
pub(super) fn of(
    store: &Store,
    image: &BuiltImage,
    built: impl FnOnce() -> Option<SnapshotId>,
) -> Option<Brought> {
    let steps = image.parts.iter().filter(|part| !part.is_base).count();
    if steps == 0 {
        return None;
    }
    // `why`: kept as long as what is known of the last builds.
    let key = format!("why brought {}", image.manifest.digest);
    let known = store.memo(&key).ok().flatten();
    if let Some(known) = known.and_then(|text| serde_json::from_str(&text).ok()) {
        return Some(known);
    }
    let levels = levels(store, &built()?, steps)?;
    let wasted_min = (image.uncompressed_bytes / WASTED_PART).max(WASTED_BYTES_MIN);
    let found = brought::brought(&levels, wasted_min).ok().flatten()?;
    let text = serde_json::to_string(&found).expect("names and numbers can always be written");
    let _ = store.record_memo(&key, &text);
    Some(found)
}

/// The directories of a snapshot: those of the last `steps` and those below.
fn levels(store: &Store, snapshot: &SnapshotId, steps: usize) -> Option<Levels> {
    let mut stack = store.stack(snapshot).ok()?;
    let base = stack.split_off(stack.len().min(steps));
    let open = |id: &SnapshotId| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(store.snapshot_directory(id), flags, Mode::empty()).ok()
    };
    Some(Levels {
        base: base.iter().filter(|info| !info.unchanged).filter_map(|info| open(&info.id)).collect(),
        steps: stack.iter().rev().map(|info| open(&info.id).filter(|_| !info.unchanged)).collect(),
    })
}
