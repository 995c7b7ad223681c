//! What the cache knows: results of steps by key, unpacked layers, encoded layers, small memos.

use jettison_oci::Digest;
use rusqlite::{OptionalExtension, params};

use crate::store::now_s;
use crate::{Result, SnapshotId, Store};

/// Seconds between two notes that something was used: a rebuild must not write a row for every step.
const USED_GRAIN_S: i64 = 600;

/// The result of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepResult {
    /// The files after the step.
    pub snapshot: SnapshotId,
}

/// A snapshot as a layer blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRecord {
    /// Digest of the tar.
    pub diff_id: Digest,
    /// Digest of the blob.
    pub digest: Digest,
    /// Size of the blob, bytes.
    pub size: u64,
    /// Size of the tar, bytes.
    pub uncompressed_size: u64,
}

impl Store {
    /// The result that was recorded under `key`.
    pub fn result(&self, key: &str) -> Result<Option<StepResult>> {
        let found = self.row("SELECT snapshot, used_s FROM results WHERE key = ?1", key)?;
        let Some((snapshot, used_s)) = found else { return Ok(None) };
        self.touch("UPDATE results SET used_s = ?2 WHERE key = ?1", key, used_s)?;
        Ok(Some(StepResult { snapshot: SnapshotId(snapshot) }))
    }

    /// Records the result of a step; a newer one takes the place of an older.
    pub fn record_result(&self, key: &str, result: &StepResult, description: &str) -> Result<()> {
        let now = now_s();
        self.write(|transaction| {
            transaction.execute(
                "INSERT OR REPLACE INTO results (key, snapshot, description, created_s, used_s) VALUES (?1, ?2, ?3, ?4, ?4)",
                params![key, result.snapshot.0, description, now],
            )
        })?;
        Ok(())
    }

    /// A small text that was worked out before.
    pub fn memo(&self, key: &str) -> Result<Option<String>> {
        let Some((value, used_s)) = self.row("SELECT value, used_s FROM memos WHERE key = ?1", key)? else {
            return Ok(None);
        };
        self.touch("UPDATE memos SET used_s = ?2 WHERE key = ?1", key, used_s)?;
        Ok(Some(value))
    }

    /// Remembers a small text.
    pub fn record_memo(&self, key: &str, value: &str) -> Result<()> {
        self.write(|transaction| {
            transaction.execute(
                "INSERT OR REPLACE INTO memos (key, value, used_s) VALUES (?1, ?2, ?3)",
                params![key, value, now_s()],
            )
        })?;
        Ok(())
    }

    /// Remembers several small texts at once.
    pub fn record_memos(&self, memos: &[(String, String)]) -> Result<()> {
        if memos.is_empty() {
            return Ok(());
        }
        self.write(|transaction| {
            let mut statement = transaction
                .prepare_cached("INSERT OR REPLACE INTO memos (key, value, used_s) VALUES (?1, ?2, ?3)")?;
            for (key, value) in memos {
                statement.execute(params![key, value, now_s()])?;
            }
            Ok(())
        })
    }

    /// The snapshot of an unpacked stack of layers.
    pub fn layer_snapshot(&self, chain_id: &Digest) -> Result<Option<SnapshotId>> {
        let sql = "SELECT snapshot, 0 FROM layer_snapshots WHERE chain_id = ?1";
        let found = self.row(sql, &chain_id.to_string())?.map(|(snapshot, _)| SnapshotId(snapshot));
        Ok(found.filter(|id| self.snapshot_path(id).join("fs").is_dir()))
    }

    /// Remembers that a stack of layers is unpacked.
    pub fn record_layer_snapshot(&self, chain_id: &Digest, snapshot: &SnapshotId) -> Result<()> {
        self.write(|transaction| {
            transaction.execute(
                "INSERT OR REPLACE INTO layer_snapshots (chain_id, snapshot) VALUES (?1, ?2)",
                params![chain_id.to_string(), snapshot.0],
            )
        })?;
        Ok(())
    }

    /// The layer blob of a snapshot for these encoder parameters, if it is still there.
    pub fn encoded_layer(&self, snapshot: &SnapshotId, parameters: &str) -> Result<Option<LayerRecord>> {
        let row = {
            let connection = self.connection();
            let mut statement = connection
                .prepare_cached(
                    "SELECT diff_id, digest, size, uncompressed_size FROM encoded_layers WHERE snapshot = ?1 AND parameters = ?2",
                )
                .map_err(self.index_error())?;
            let row = statement.query_row([&snapshot.0, parameters], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, i64>(2)?,
                    row.get::<_, i64>(3)?,
                ))
            });
            row.optional().map_err(self.index_error())?
        };
        let Some((diff_id, digest, size, uncompressed)) = row else { return Ok(None) };
        let (Ok(diff_id), Ok(digest)) = (diff_id.parse(), digest.parse()) else { return Ok(None) };
        let record = LayerRecord {
            diff_id,
            digest,
            size: size.unsigned_abs(),
            uncompressed_size: uncompressed.unsigned_abs(),
        };
        Ok((self.has_blob(&record.digest)? == Some(record.size)).then_some(record))
    }

    /// Remembers the layer blob of a snapshot.
    pub fn record_encoded_layer(
        &self,
        snapshot: &SnapshotId,
        parameters: &str,
        record: &LayerRecord,
    ) -> Result<()> {
        self.write(|transaction| insert_encoded_layer(transaction, snapshot, parameters, record))
    }

    /// Two columns of the one row that `key` selects.
    fn row(&self, sql: &str, key: &str) -> Result<Option<(String, i64)>> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql).map_err(self.index_error())?;
        let row = statement.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional();
        row.map_err(self.index_error())
    }

    fn touch(&self, sql: &str, key: &str, used_s: i64) -> Result<()> {
        let now = now_s();
        if now - used_s > USED_GRAIN_S {
            self.write(|transaction| transaction.execute(sql, params![key, now]))?;
        }
        Ok(())
    }
}

/// The row of [`Store::record_encoded_layer`].
pub(crate) fn insert_encoded_layer(
    transaction: &rusqlite::Transaction<'_>,
    snapshot: &SnapshotId,
    parameters: &str,
    record: &LayerRecord,
) -> rusqlite::Result<()> {
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    transaction.execute(
        "INSERT OR REPLACE INTO encoded_layers (snapshot, parameters, diff_id, digest, size, uncompressed_size)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            snapshot.0,
            parameters,
            record.diff_id.to_string(),
            record.digest.to_string(),
            signed(record.size),
            signed(record.uncompressed_size)
        ],
    )?;
    Ok(())
}
