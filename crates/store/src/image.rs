//! Names: images of this store, what registries' tags meant, where blobs came from.

use jettison_oci::{Descriptor, Digest, Platform, Reference};
use rusqlite::{OptionalExtension, params};

use crate::store::now_s;
use crate::{Error, Result, Store};

/// An image with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRecord {
    /// Its name.
    pub reference: Reference,
    /// Its manifest or index.
    pub descriptor: Descriptor,
    /// When it got this name, seconds since 1970.
    pub created_s: i64,
}

/// What a name meant when its registry was last asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRecord {
    /// The manifest for the platform.
    pub manifest: Descriptor,
    /// When it was asked, seconds since 1970.
    pub fetched_s: i64,
}

fn json(descriptor: &Descriptor) -> String {
    String::from_utf8(jettison_oci::to_canonical_json(descriptor)).expect("JSON is UTF-8")
}

impl Store {
    /// Names an image. An earlier image of that name loses it.
    pub fn tag(&self, reference: &Reference, descriptor: &Descriptor) -> Result<()> {
        self.write(|transaction| {
            transaction.execute(
                "INSERT OR REPLACE INTO images (reference, descriptor, digest, created_s) VALUES (?1, ?2, ?3, ?4)",
                params![reference.to_string(), json(descriptor), descriptor.digest.to_string(), now_s()],
            )
        })?;
        Ok(())
    }

    /// Takes a name away; false if it was not there.
    pub fn untag(&self, reference: &Reference) -> Result<bool> {
        let removed = self.write(|transaction| {
            transaction.execute("DELETE FROM images WHERE reference = ?1", [reference.to_string()])
        })?;
        Ok(removed > 0)
    }

    /// The image of this name.
    pub fn image(&self, reference: &Reference) -> Result<Option<ImageRecord>> {
        Ok(self.image_rows("WHERE reference = ?1", &[&reference.to_string()])?.pop())
    }

    /// All images, by name.
    ///
    /// # Errors
    /// Where a row cannot be understood, too.
    pub fn images(&self) -> Result<Vec<ImageRecord>> {
        self.image_rows("ORDER BY reference", &[])
    }

    fn image_rows(&self, tail: &str, parameters: &[&dyn rusqlite::ToSql]) -> Result<Vec<ImageRecord>> {
        let rows = self.image_rows_as_they_are(tail, parameters)?;
        // Whoever left out what cannot be understood would remove with the next prune what it names.
        rows.into_iter().map(|(name, record)| record.ok_or(Error::ImageRow(name))).collect()
    }

    /// Rows with their name, and what they say if that can be understood.
    pub(crate) fn image_rows_as_they_are(
        &self,
        tail: &str,
        parameters: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<(String, Option<ImageRecord>)>> {
        let connection = self.connection();
        let sql = format!("SELECT reference, descriptor, created_s FROM images {tail}");
        let mut statement = connection.prepare_cached(&sql).map_err(self.index_error())?;
        let rows = statement
            .query_map(parameters, |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?))
            })
            .map_err(self.index_error())?;
        let mut images = Vec::new();
        for row in rows {
            let (name, descriptor, created_s) = row.map_err(self.index_error())?;
            let parsed = name.parse().ok().zip(serde_json::from_str(&descriptor).ok());
            let record =
                parsed.map(|(reference, descriptor)| ImageRecord { reference, descriptor, created_s });
            images.push((name, record));
        }
        Ok(images)
    }

    /// What `reference` meant for `platform` when its registry was last asked.
    pub fn source(&self, reference: &Reference, platform: &Platform) -> Result<Option<SourceRecord>> {
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached(
                "SELECT descriptor, fetched_s FROM sources WHERE reference = ?1 AND platform = ?2",
            )
            .map_err(self.index_error())?;
        let row = statement
            .query_row([reference.to_string(), platform.to_string()], |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?))
            })
            .optional()
            .map_err(self.index_error())?;
        Ok(row.and_then(|(descriptor, fetched_s)| {
            Some(SourceRecord { manifest: serde_json::from_str(&descriptor).ok()?, fetched_s })
        }))
    }

    /// Remembers what `reference` means for `platform`.
    pub fn record_source(
        &self,
        reference: &Reference,
        platform: &Platform,
        manifest: &Descriptor,
    ) -> Result<()> {
        self.write(|transaction| {
            transaction.execute(
                "INSERT OR REPLACE INTO sources (reference, platform, descriptor, digest, fetched_s)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    reference.to_string(),
                    platform.to_string(),
                    json(manifest),
                    manifest.digest.to_string(),
                    now_s()
                ],
            )
        })?;
        Ok(())
    }

    /// Forgets what `reference` meant, so that its registry is asked again.
    pub fn forget_source(&self, reference: &Reference) -> Result<()> {
        self.write(|transaction| {
            transaction.execute("DELETE FROM sources WHERE reference = ?1", [reference.to_string()])
        })?;
        Ok(())
    }

    /// Remembers that a repository has a blob.
    pub fn record_blob_origin(&self, digest: &Digest, host: &str, repository: &str) -> Result<()> {
        self.write(|transaction| {
            transaction.execute(
                "INSERT OR IGNORE INTO origins (digest, host, repository) VALUES (?1, ?2, ?3)",
                params![digest.to_string(), host, repository],
            )
        })?;
        Ok(())
    }

    /// Repositories of `host` that have (or had) a blob.
    pub fn blob_origins(&self, digest: &Digest, host: &str) -> Result<Vec<String>> {
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached(
                "SELECT repository FROM origins WHERE digest = ?1 AND host = ?2 ORDER BY repository",
            )
            .map_err(self.index_error())?;
        let rows = statement
            .query_map([digest.to_string(), host.to_owned()], |row| row.get(0))
            .map_err(self.index_error())?;
        rows.collect::<rusqlite::Result<Vec<String>>>().map_err(self.index_error())
    }
}
