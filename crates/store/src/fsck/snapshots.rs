//! Snapshots against their rows, and the look at the newest ones after a restart of the machine.
//!
//! Files of snapshots are not flushed when they are made: a base image has tens of thousands. After a power cut the
//! directories of the last half minute are all there (the journal keeps the order), but files may be too short. Their
//! sizes tell: the row has the sum.

use std::collections::BTreeMap;

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
}

impl Store {
    pub(super) fn check_snapshots(&self, sound: &mut Sound, report: &mut FsckReport) -> Result<()> {
        let rows = self.rows_of_snapshots()?;
        for (id, row) in &rows {
            report.snapshots += 1;
            match self.snapshot_damage(id, row)? {
                Some(damage) => report.findings.push(damage),
                None => drop(sound.snapshots.insert(id.clone())),
            }
        }
        // Damage goes upwards: what stands on a damaged snapshot is none either.
        loop {
            let unsound = |id: &String| {
                let parent = rows.get(id).and_then(|row| row.parent.clone())?;
                (!sound.snapshots.contains(&parent)).then(|| (id.clone(), parent))
            };
            let fallen: Vec<_> = sound.snapshots.iter().filter_map(unsound).collect();
            if fallen.is_empty() {
                break;
            }
            for (id, parent) in fallen {
                sound.snapshots.remove(&id);
                report.findings.push(Finding::SnapshotParent { id, parent });
            }
        }
        for path in entries(&self.root().join("snapshots"))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !rows.contains_key(&name) {
                report.findings.push(Finding::Leftover(path));
            }
        }
        Ok(())
    }

    fn snapshot_damage(&self, id: &str, row: &Row) -> Result<Option<Finding>> {
        let path = self.root().join("snapshots").join(id).join("fs");
        if !path.is_dir() {
            return Ok(Some(Finding::SnapshotGone(id.to_owned())));
        }
        let found = tree::bytes(&path).map_err(Error::io("read", &path))?;
        let (id, recorded) = (id.to_owned(), row.size);
        Ok((found != recorded).then_some(Finding::SnapshotSize { id, recorded, found }))
    }

    fn rows_of_snapshots(&self) -> Result<BTreeMap<String, Row>> {
        let connection = self.connection();
        let mut statement = connection
            .prepare("SELECT id, parent, size, created_s FROM snapshots")
            .map_err(self.index_error())?;
        let rows = statement
            .query_map([], |row| {
                let size = row.get::<_, i64>(2)?.unsigned_abs();
                Ok((row.get(0)?, Row { parent: row.get(1)?, size, created_s: row.get(3)? }))
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
        for (id, row) in rows.iter().filter(|(_, row)| row.created_s > newest - FLUSHED_AFTER_S) {
            // What cannot even be read is no answer.
            if !matches!(self.snapshot_damage(id, row), Ok(None)) {
                self.forget_snapshot(id)?;
            }
        }
        self.record_memo(BOOT, boot.trim())
    }
}
