//! Checking a store against its own rules, and mending what breaks them.
//!
//! Everything is compared with what it claims to be: blobs with their digests, snapshots with their rows and sizes,
//! rows with what they speak of, images with their manifests, configs and layers. Mending removes: what is damaged is
//! no answer any more and is pulled or built again. Only a damaged index is beyond it. `docs/formats/store.md` has the
//! invariants.

mod blobs;
mod finding;
mod rows;
mod snapshots;

use std::collections::{BTreeMap, BTreeSet};

use jettison_oci::Digest;

pub use finding::Finding;
pub(crate) use snapshots::BOOT;

use crate::{Result, Store};

/// What was looked at, and what was found.
#[derive(Debug, Default)]
pub struct FsckReport {
    /// Blobs that were read.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Snapshots that were measured.
    pub snapshots: u64,
    /// Images with a name.
    pub images: u64,
    /// What is wrong, in the order in which it is mended.
    pub findings: Vec<Finding>,
}

/// What is whole, as far as the check has come.
#[derive(Debug, Default)]
struct Sound {
    blobs: BTreeMap<Digest, u64>,
    snapshots: BTreeSet<String>,
}

impl Store {
    /// Checks everything, and mends it if `repair` says so. Waits until no other command uses the store.
    ///
    /// # Errors
    /// Where files of the store cannot be read, or what is damaged cannot be removed.
    pub fn fsck(&self, repair: bool) -> Result<FsckReport> {
        let _alone = self.use_exclusive(true)?;
        let mut report = FsckReport::default();
        let mut sound = Sound::default();
        self.check_index(&mut report)?;
        if report.findings.iter().any(|finding| !finding.can_be_mended()) {
            // What the rows say is not to be believed, so nothing is removed for their sake.
            return Ok(report);
        }
        self.check_blobs(&mut sound, &mut report)?;
        self.check_snapshots(&mut sound, &mut report)?;
        self.check_rows(&sound, &mut report)?;
        self.check_images(&sound, &mut report)?;
        self.check_locks(&mut report)?;
        if repair {
            for finding in &report.findings {
                self.mend(finding)?;
            }
        }
        Ok(report)
    }

    fn check_index(&self, report: &mut FsckReport) -> Result<()> {
        let connection = self.connection();
        let mut statement = connection.prepare("PRAGMA integrity_check(20)").map_err(self.index_error())?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).map_err(self.index_error())?;
        for row in rows {
            let text = row.map_err(self.index_error())?;
            if text != "ok" {
                report.findings.push(Finding::Index(text));
            }
        }
        Ok(())
    }
}
