//! Rows against what they speak of, and images against their parts.

use std::collections::BTreeSet;

use jettison_oci::{AnyManifest, Descriptor, Digest};

use super::{Finding, FsckReport, Sound};
use crate::prune::MANIFEST_BYTES_MAX;
use crate::{Result, SnapshotId, Store};

/// Table, the column that identifies a row, the column that names something, and whether that is a blob.
const REFERENCES: &[(&str, &str, &str, bool)] = &[
    ("results", "key", "snapshot", false),
    ("layer_snapshots", "chain_id", "snapshot", false),
    ("encoded_layers", "snapshot", "snapshot", false),
    ("encoded_layers", "digest", "digest", true),
    ("chunks", "blob", "blob", true),
    ("sources", "digest", "digest", true),
];

impl Store {
    pub(super) fn check_rows(&self, sound: &Sound, report: &mut FsckReport) -> Result<()> {
        let nothing = SnapshotId::nothing().to_string();
        for (table, column, names, is_blob) in REFERENCES {
            let connection = self.connection();
            let sql = format!("SELECT DISTINCT {column}, {names} FROM {table} ORDER BY 1");
            let mut statement = connection.prepare(&sql).map_err(self.index_error())?;
            let rows = statement
                .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
                .map_err(self.index_error())?;
            for row in rows {
                let (value, missing) = row.map_err(self.index_error())?;
                let is_there = if *is_blob {
                    missing.parse().is_ok_and(|digest: Digest| sound.blobs.contains_key(&digest))
                } else {
                    // Not one snapshot, but all that changed nothing.
                    missing == nothing || sound.snapshots.contains(&missing)
                };
                if !is_there {
                    report.findings.push(Finding::Rows { table, column, value, missing });
                }
            }
        }
        Ok(())
    }

    pub(super) fn check_images(&self, sound: &Sound, report: &mut FsckReport) -> Result<()> {
        for (name, record) in self.image_rows_as_they_are("ORDER BY reference", &[])? {
            report.images += 1;
            let Some(image) = record else {
                report.findings.push(Finding::ImageRow(name));
                continue;
            };
            let missing = self.missing_part(&image.descriptor, sound, &mut BTreeSet::new())?;
            if let Some(missing) = missing {
                report.findings.push(Finding::Image { reference: image.reference, missing });
            }
        }
        Ok(())
    }

    /// The first part of an image that is not there whole. Of an index at least one image must be there, and none
    /// that is may lack a part: pulling takes one platform's.
    fn missing_part(
        &self,
        descriptor: &Descriptor,
        sound: &Sound,
        seen: &mut BTreeSet<Digest>,
    ) -> Result<Option<Digest>> {
        let digest = &descriptor.digest;
        if !seen.insert(digest.clone()) {
            return Ok(None);
        }
        if sound.blobs.get(digest) != Some(&descriptor.size) {
            return Ok(Some(digest.clone()));
        }
        let bytes = self.read_blob(digest, MANIFEST_BYTES_MAX)?;
        match AnyManifest::parse(&descriptor.media_type, &bytes) {
            Ok(AnyManifest::Index(index)) => {
                let here = index.manifests.iter().filter(|child| sound.blobs.contains_key(&child.digest));
                let here: Vec<_> = here.collect();
                if let (true, Some(first)) = (here.is_empty(), index.manifests.first()) {
                    return Ok(Some(first.digest.clone()));
                }
                for child in here {
                    if let Some(missing) = self.missing_part(child, sound, seen)? {
                        return Ok(Some(missing));
                    }
                }
                Ok(None)
            }
            Ok(AnyManifest::Image(image)) => {
                let mut parts = image.layers.iter().chain([&image.config]);
                let missing = parts.find(|part| sound.blobs.get(&part.digest) != Some(&part.size));
                Ok(missing.map(|part| part.digest.clone()))
            }
            Err(_) => Ok(Some(digest.clone())),
        }
    }
}
