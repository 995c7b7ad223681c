//! Garbage collection: what no name needs and no build has used for a while.
//!
//! Mark and sweep under the exclusive use lock. Roots are the named images and the results that are young enough (and,
//! with a budget, fit into it, most recently used first). A result keeps its snapshot and all snapshots below; a named
//! image keeps its blobs, and the unpacked layers of images that a kept result stands on stay with it.
//! Rows go first, files after them: a kill in between leaves files that the next run removes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use jettison_oci::{AnyManifest, Descriptor, Digest};

use crate::store::now_s;
use crate::usage::directory_bytes;
use crate::{Error, Result, Store, remove_tree};

/// How long explanations of steps are kept: a month.
const EXPLANATIONS_KEPT_S: i64 = 30 * 24 * 3600;
/// Largest manifest that is read while marking, bytes.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 16 << 20;

/// What to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneOptions {
    /// Keep results that were used in the last so many seconds; 0 keeps none.
    pub keep_used_s: i64,
    /// Keep at most so many bytes of build cache; `None`: no limit.
    pub keep_bytes: Option<u64>,
    /// Remove cache mounts too.
    pub cache_mounts: bool,
}

/// What went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Blobs removed.
    pub blobs: u64,
    /// Snapshots removed.
    pub snapshots: u64,
    /// Results forgotten.
    pub results: u64,
    /// Bytes freed.
    pub bytes: u64,
}

struct SnapshotRow {
    parent: Option<String>,
    size: u64,
}

impl Store {
    /// Removes what is not kept. Waits until no other command uses the store.
    pub fn prune(&self, options: &PruneOptions) -> Result<PruneReport> {
        let _alone = self.use_exclusive(true)?;
        let mut report = PruneReport::default();
        // Before anything is removed: what an image needs must be known.
        self.images()?;
        let snapshots = self.snapshot_rows()?;
        let kept_results = self.results_to_keep(options, &snapshots)?;
        let mut kept: BTreeSet<String> = BTreeSet::new();
        for snapshot in kept_results.values() {
            keep_chain(snapshot, &snapshots, &mut kept);
        }
        self.sweep_snapshots(&kept_results, &kept, &snapshots, &mut report)?;
        let blobs = self.blobs_to_keep(&kept)?;
        self.sweep_blobs(&blobs, &mut report)?;
        if options.cache_mounts {
            report.bytes += self.remove_folder_contents("caches")?;
        }
        report.bytes += self.remove_folder_contents("partial")?;
        Ok(report)
    }

    fn snapshot_rows(&self) -> Result<BTreeMap<String, SnapshotRow>> {
        let connection = self.connection();
        let mut statement =
            connection.prepare("SELECT id, parent, size FROM snapshots").map_err(self.index_error())?;
        let rows = statement
            .query_map([], |row| {
                let row_value =
                    SnapshotRow { parent: row.get(1)?, size: row.get::<_, i64>(2)?.unsigned_abs() };
                Ok((row.get(0)?, row_value))
            })
            .map_err(self.index_error())?;
        rows.collect::<rusqlite::Result<_>>().map_err(self.index_error())
    }

    /// Keys of the results that stay, with their snapshots.
    fn results_to_keep(
        &self,
        options: &PruneOptions,
        snapshots: &BTreeMap<String, SnapshotRow>,
    ) -> Result<BTreeMap<String, String>> {
        let connection = self.connection();
        let mut statement = connection
            .prepare("SELECT key, snapshot FROM results WHERE used_s > ?1 ORDER BY used_s DESC, key")
            .map_err(self.index_error())?;
        let oldest = if options.keep_used_s == 0 { i64::MAX } else { now_s() - options.keep_used_s };
        let rows = statement
            .query_map([oldest], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
            .map_err(self.index_error())?;
        let (mut kept, mut chains, mut bytes) = (BTreeMap::new(), BTreeSet::new(), 0_u64);
        for row in rows {
            let (key, snapshot) = row.map_err(self.index_error())?;
            let new = chain(&snapshot, snapshots, &chains);
            let sizes = new.iter().filter_map(|&id| snapshots.get(id)).map(|row| row.size);
            let with = sizes.fold(bytes, u64::saturating_add);
            if options.keep_bytes.is_none_or(|max| with <= max) {
                bytes = with;
                chains.extend(new.into_iter().map(str::to_owned));
                kept.insert(key, snapshot);
            }
        }
        Ok(kept)
    }

    fn sweep_snapshots(
        &self,
        kept_results: &BTreeMap<String, String>,
        kept: &BTreeSet<String>,
        snapshots: &BTreeMap<String, SnapshotRow>,
        report: &mut PruneReport,
    ) -> Result<()> {
        report.results = self.write(|transaction| {
            let mut removed = 0;
            let keys: Vec<String> = transaction
                .prepare("SELECT key FROM results")?
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for key in keys.iter().filter(|key| !kept_results.contains_key(*key)) {
                removed += transaction.execute("DELETE FROM results WHERE key = ?1", [key])? as u64;
            }
            for id in snapshots.keys().filter(|id| !kept.contains(*id)) {
                transaction.execute("DELETE FROM snapshots WHERE id = ?1", [id])?;
                transaction.execute("DELETE FROM layer_snapshots WHERE snapshot = ?1", [id])?;
                transaction.execute("DELETE FROM encoded_layers WHERE snapshot = ?1", [id])?;
            }
            // Why steps ran is told of builds whose results are gone, too, but not for ever.
            transaction.execute(
                "DELETE FROM memos WHERE key <> ?2 AND (key NOT LIKE 'why %' OR used_s < ?1)",
                (now_s() - EXPLANATIONS_KEPT_S, crate::fsck::BOOT),
            )?;
            Ok(removed)
        })?;
        let folder = self.root().join("snapshots");
        for entry in fs::read_dir(&folder).map_err(Error::io("read", &folder))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !kept.contains(&name) {
                report.bytes += snapshots.get(&name).map_or(0, |s| s.size);
                report.snapshots += 1;
                remove_tree(&entry.path()).map_err(Error::io("remove", entry.path()))?;
            }
        }
        Ok(())
    }

    /// Blobs of named images, of the sources that kept snapshots stand on, and of encoded layers of kept snapshots.
    fn blobs_to_keep(&self, kept_snapshots: &BTreeSet<String>) -> Result<BTreeSet<Digest>> {
        let mut kept = BTreeSet::new();
        for image in self.images()? {
            self.mark(&image.descriptor, &mut kept)?;
        }
        let encoded: Vec<String> = {
            let connection = self.connection();
            let mut statement = connection
                .prepare("SELECT digest, snapshot FROM encoded_layers")
                .map_err(self.index_error())?;
            let rows = statement
                .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
                .map_err(self.index_error())?;
            let rows = rows.collect::<rusqlite::Result<Vec<_>>>().map_err(self.index_error())?;
            rows.into_iter().filter(|(_, s)| kept_snapshots.contains(s)).map(|(digest, _)| digest).collect()
        };
        kept.extend(encoded.iter().filter_map(|digest| digest.parse().ok()));
        if kept_snapshots.is_empty() {
            self.write(|transaction| transaction.execute("DELETE FROM sources", []))?;
        } else {
            for descriptor in self.source_descriptors()? {
                self.mark(&descriptor, &mut kept)?;
            }
        }
        Ok(kept)
    }

    fn source_descriptors(&self) -> Result<Vec<Descriptor>> {
        let connection = self.connection();
        let mut statement =
            connection.prepare("SELECT descriptor FROM sources").map_err(self.index_error())?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).map_err(self.index_error())?;
        let rows = rows.collect::<rusqlite::Result<Vec<_>>>().map_err(self.index_error())?;
        Ok(rows.iter().filter_map(|text| serde_json::from_str(text).ok()).collect())
    }

    /// Marks an image and everything that it is made of.
    fn mark(&self, descriptor: &Descriptor, kept: &mut BTreeSet<Digest>) -> Result<()> {
        if !kept.insert(descriptor.digest.clone()) || self.has_blob(&descriptor.digest)?.is_none() {
            return Ok(());
        }
        // A damaged manifest keeps nothing, and must not keep prune from freeing the rest.
        let Ok(bytes) = self.read_blob(&descriptor.digest, MANIFEST_BYTES_MAX) else { return Ok(()) };
        match AnyManifest::parse(&descriptor.media_type, &bytes) {
            Ok(AnyManifest::Index(index)) => {
                for child in &index.manifests {
                    self.mark(child, kept)?;
                }
            }
            Ok(AnyManifest::Image(image)) => {
                kept.extend(image.layers.iter().chain([&image.config]).map(|blob| blob.digest.clone()));
            }
            Err(_) => {}
        }
        Ok(())
    }

    fn sweep_blobs(&self, kept: &BTreeSet<Digest>, report: &mut PruneReport) -> Result<()> {
        self.write(|transaction| {
            let blobs: Vec<String> = transaction
                .prepare("SELECT blob FROM chunks UNION SELECT digest FROM encoded_layers")?
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let is_kept = |blob: &String| blob.parse().is_ok_and(|digest| kept.contains(&digest));
            for blob in blobs.iter().filter(|blob| !is_kept(blob)) {
                transaction.execute("DELETE FROM chunks WHERE blob = ?1", [blob])?;
                // Of what changed nothing, and of layers of a base: no snapshot goes with them.
                transaction.execute("DELETE FROM encoded_layers WHERE digest = ?1", [blob])?;
            }
            Ok(())
        })?;
        for algorithm in ["sha256", "sha512"] {
            let folder = self.root().join("blobs").join(algorithm);
            for entry in fs::read_dir(&folder).map_err(Error::io("read", &folder))?.flatten() {
                let digest = format!("{algorithm}:{}", entry.file_name().to_string_lossy()).parse::<Digest>();
                if digest.is_ok_and(|digest| kept.contains(&digest)) {
                    continue;
                }
                report.bytes += entry.metadata().map_or(0, |m| m.len());
                report.blobs += 1;
                fs::remove_file(entry.path()).map_err(Error::io("remove", entry.path()))?;
            }
        }
        Ok(())
    }

    fn remove_folder_contents(&self, name: &str) -> Result<u64> {
        let folder = self.root().join(name);
        let Ok(entries) = fs::read_dir(&folder) else { return Ok(0) };
        let mut bytes = 0;
        for entry in entries.flatten() {
            bytes += directory_bytes(&entry.path());
            remove_tree(&entry.path()).map_err(Error::io("remove", entry.path()))?;
        }
        Ok(bytes)
    }
}

fn keep_chain(id: &str, snapshots: &BTreeMap<String, SnapshotRow>, kept: &mut BTreeSet<String>) {
    let new: Vec<String> = chain(id, snapshots, kept).into_iter().map(str::to_owned).collect();
    kept.extend(new);
}

/// A snapshot and all below it, down to one that is kept already.
fn chain<'a>(
    id: &'a str,
    snapshots: &'a BTreeMap<String, SnapshotRow>,
    kept: &BTreeSet<String>,
) -> BTreeSet<&'a str> {
    let mut chain = BTreeSet::new();
    let mut next = Some(id);
    while let Some(id) = next.filter(|&id| !kept.contains(id)) {
        let Some(row) = snapshots.get(id) else { break };
        if !chain.insert(id) {
            break;
        }
        next = row.parent.as_deref();
    }
    chain
}
