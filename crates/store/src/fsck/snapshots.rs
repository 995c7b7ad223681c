//! Snapshots against their rows, and the look at the newest ones after a restart of the machine.
//!
//! Files of snapshots are not flushed when they are made: a base image has tens of thousands. After a power cut the
//! directories of the last half minute are all there (the journal keeps the order), but files may be too short. Their
//! sizes tell: the row has the sum.

use std::collections::{BTreeMap, BTreeSet};

use jettison_oci::Digest;

use super::blobs::entries;
use super::{Finding, FsckReport, Sound};
use crate::{Error, Result, Store, tree};

/// Snapshots that are this much older than the newest one, seconds, have reached the disk: kernels write after 30.
const FLUSHED_AFTER_S: i64 = 120;

/// The memo that names the start of the machine in which the store was opened last.
pub(crate) const BOOT: &str = "boot";

struct Row {
    parent: Option<String>,
    size: u64,
    created_s: i64,
    /// No files, but a layer.
    layer_only: bool,
}

impl Store {
    pub(super) fn check_snapshots(&self, sound: &mut Sound, report: &mut FsckReport) -> Result<()> {
        let rows = self.rows_of_snapshots()?;
        for (id, row) in &rows {
            report.snapshots += 1;
            let whole = |digest: &Digest| Ok(sound.blobs.contains_key(digest));
            match self.snapshot_damage(id, row, &whole)? {
                Some(damage) => report.findings.push(damage),
                None => drop(sound.snapshots.insert(id.clone())),
            }
        }
        for (id, parent) in remove_fallen(&rows, &mut sound.snapshots) {
            report.findings.push(Finding::SnapshotParent { id, parent });
        }
        for path in entries(&self.root().join("snapshots"))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !rows.contains_key(&name) {
                report.findings.push(Finding::Leftover(path));
            }
        }
        Ok(())
    }

    /// What is wrong with a snapshot; `has_blob` says which blobs there are.
    fn snapshot_damage(
        &self,
        id: &str,
        row: &Row,
        has_blob: &dyn Fn(&Digest) -> Result<bool>,
    ) -> Result<Option<Finding>> {
        let path = self.root().join("snapshots").join(id).join("fs");
        // With a directory: a kill between its rename and the row; the row does not know its size.
        if row.layer_only && (path.is_dir() || self.has_layer(id, has_blob)?) {
            return Ok(None);
        }
        if !path.is_dir() {
            return Ok(Some(Finding::SnapshotGone(id.to_owned())));
        }
        let found = tree::bytes(&path).map_err(Error::io("read", &path))?;
        let (id, recorded) = (id.to_owned(), row.size);
        Ok((found != recorded).then_some(Finding::SnapshotSize { id, recorded, found }))
    }

    /// Whether the layer that stands for a snapshot is there.
    fn has_layer(&self, id: &str, has_blob: &dyn Fn(&Digest) -> Result<bool>) -> Result<bool> {
        let digests: Vec<String> = {
            let connection = self.connection();
            let mut statement = connection
                .prepare_cached("SELECT digest FROM encoded_layers WHERE snapshot = ?1")
                .map_err(self.index_error())?;
            let rows = statement.query_map([id], |row| row.get(0)).map_err(self.index_error())?;
            rows.collect::<rusqlite::Result<_>>().map_err(self.index_error())?
        };
        for digest in digests.iter().filter_map(|digest| digest.parse().ok()) {
            if has_blob(&digest)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn rows_of_snapshots(&self) -> Result<BTreeMap<String, Row>> {
        let connection = self.connection();
        let mut statement = connection
            .prepare("SELECT id, parent, size, created_s, layer_only FROM snapshots")
            .map_err(self.index_error())?;
        let rows = statement
            .query_map([], |row| {
                let size = row.get::<_, i64>(2)?.unsigned_abs();
                let (parent, created_s, layer_only) = (row.get(1)?, row.get(3)?, row.get(4)?);
                Ok((row.get(0)?, Row { parent, size, created_s, layer_only }))
            })
            .map_err(self.index_error())?;
        rows.collect::<rusqlite::Result<_>>().map_err(self.index_error())
    }

    /// At the first opening after the machine has started: looks at the snapshots that a power cut may have torn, and
    /// forgets those that are not whole.
    pub(crate) fn check_after_restart(&self) -> Result<()> {
        let Ok(boot) = std::fs::read_to_string("/proc/sys/kernel/random/boot_id") else { return Ok(()) };
        if self.memo(BOOT)?.as_deref() == Some(boot.trim()) {
            return Ok(());
        }
        // Whoever uses the store now has opened it in this boot, and has looked.
        let Some(_alone) = self.use_exclusive(false)? else { return Ok(()) };
        let rows = self.rows_of_snapshots()?;
        let newest = rows.values().map(|row| row.created_s).max().unwrap_or(0);
        let there = |digest: &Digest| Ok(self.has_blob(digest)?.is_some());
        let mut sound = BTreeSet::new();
        for (id, row) in &rows {
            let is_old = row.created_s <= newest - FLUSHED_AFTER_S;
            // What cannot even be read is no answer.
            if is_old || matches!(self.snapshot_damage(id, row, &there), Ok(None)) {
                sound.insert(id.clone());
            }
        }
        remove_fallen(&rows, &mut sound);
        for id in rows.keys().filter(|id| !sound.contains(*id)) {
            self.forget_snapshot(id)?;
        }
        self.record_memo(BOOT, boot.trim())
    }
}

/// Damage goes upwards: what stands on a damaged snapshot is none either. Takes those out of `sound`, and returns them
/// with what they stand on.
fn remove_fallen(rows: &BTreeMap<String, Row>, sound: &mut BTreeSet<String>) -> Vec<(String, String)> {
    let mut all = Vec::new();
    loop {
        let fallen: Vec<(String, String)> = {
            let stands_on = |id: &String| Some((id.clone(), rows.get(id)?.parent.clone()?));
            sound.iter().filter_map(stands_on).filter(|(_, parent)| !sound.contains(parent)).collect()
        };
        if fallen.is_empty() {
            return all;
        }
        for (id, _) in &fallen {
            sound.remove(id);
        }
        all.extend(fallen);
    }
}
