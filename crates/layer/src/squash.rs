//! Several layers as one: what leads from a base to what stands on it, whatever came and went on the way.
//!
//! Only what the layers speak of is looked at, in the merged view of all of them. docker's `--squash` means this.

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;

use crate::diff::{Upper as _, changes, missing_at};
use crate::{Entry, Error, Kind, inside};

/// The entries of the one layer that leads from `base` (top first) to `merged`, in the order of [`crate::diff`].
/// `layers` are the differences between the two, one for each step.
pub fn squash(
    merged: BorrowedFd<'_>,
    base: &[BorrowedFd<'_>],
    layers: &[Vec<Entry>],
    clamp_mtime_s: Option<i64>,
) -> Result<Vec<Entry>, Error> {
    let touched: BTreeSet<&[u8]> = layers.iter().flatten().map(|entry| &entry.path[..]).collect();
    let mut changes = changes(&merged, base, clamp_mtime_s, &|path| touched.contains(path))?;
    // Whatever was no directory for a while may be without what the base has there.
    let replaced = layers.iter().flatten().filter(|entry| entry.kind != Kind::Directory);
    let mut deleted = Vec::new();
    for path in replaced.map(|entry| &entry.path[..]).collect::<BTreeSet<_>>() {
        let (parent, _) = inside::split(path);
        if parent.is_empty() || merged.has_directory(parent) == Some(true) {
            missing_at(&merged, base, path, &mut deleted)?;
        }
    }
    changes.delete(deleted);
    Ok(changes.in_order())
}
