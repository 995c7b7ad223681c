//! What the steps of a build brought, for its last lines: looked at once for each chain of steps, and remembered with it.
//!
//! It is an extra: whatever cannot be found out is not said. What is counted is in crate `inspect`.

use jettison_engine::{BuiltImage, Chain};
use jettison_inspect::brought::{self, Brought, Layer, Levels, Wrote};
use jettison_store::{SnapshotId, SnapshotInfo, Store};
use rustix::fs::{Mode, OFlags};

/// Files that are there twice are worth a line from this part of the image on.
const WASTED_PART: u64 = 100;
/// And from so many bytes.
const WASTED_BYTES_MIN: u64 = 100_000;

/// What the steps behind `image` brought.
pub(super) fn of(store: &Store, image: &BuiltImage) -> Option<Brought> {
    let chain = &image.chain;
    // `why`: kept as long as what is known of the last builds.
    let squashed = if chain.squashed { " squashed" } else { "" };
    let key = format!("why brought {} {}{squashed}", chain.top.as_ref()?, chain.length);
    let known = store.memo(&key).ok().flatten();
    if let Some(known) = known.and_then(|text| serde_json::from_str(&text).ok()) {
        return Some(known);
    }
    let wasted_min = (image.uncompressed_bytes / WASTED_PART).max(WASTED_BYTES_MIN);
    let found = brought::brought(&levels(store, chain)?, wasted_min).ok().flatten()?;
    let text = serde_json::to_string(&found).expect("names and numbers can always be written");
    let _ = store.record_memo(&key, &text);
    Some(found)
}

/// What the steps wrote, and what is below those.
fn levels(store: &Store, chain: &Chain) -> Option<Levels> {
    let top = chain.top.as_ref()?;
    let stack = |id: &SnapshotId| store.stack(id).ok();
    let (mut stack, last) = match (stack(top), &chain.listing) {
        (Some(stack), _) => (stack, None),
        (None, Some(listing)) => {
            let below = store.lineage(top).ok()??.parent;
            let stack = below.map_or(Some(Vec::new()), |id| stack(&id))?;
            (stack, Some(Wrote::Layer(Layer::new(listing.clone()))))
        }
        (None, None) => return None,
    };
    let of_steps = chain.length - usize::from(last.is_some());
    let base = stack.split_off(stack.len().min(of_steps));
    let open = |info: &SnapshotInfo| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(store.snapshot_directory(&info.id), flags, Mode::empty());
        directory.ok().filter(|_| !info.unchanged)
    };
    let wrote = |info: &SnapshotInfo| open(info).map_or(Wrote::Nothing, Wrote::Directory);
    Some(Levels {
        base: base.iter().filter_map(open).collect(),
        steps: stack.iter().rev().map(wrote).chain(last).collect(),
        squashed: chain.squashed,
    })
}
