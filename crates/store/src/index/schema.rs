//! The tables, and how older formats become the current one. Migrations add, or forget what can be found out again.

use rusqlite::Connection;

/// The current format.
pub(crate) const VERSION: i64 = 7;

/// Statements that lead from format N to N+1.
const MIGRATIONS: [&str; 7] =
    [CREATE, FORGET_FILES, CHUNKS, LAYER_ONLY, UNCHANGED, CHUNK_HASHES, HIDES_NOTHING];

const CREATE: &str = "
    CREATE TABLE images (
        reference TEXT PRIMARY KEY, descriptor TEXT NOT NULL, digest TEXT NOT NULL, created_s INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE sources (
        reference TEXT NOT NULL, platform TEXT NOT NULL, descriptor TEXT NOT NULL, digest TEXT NOT NULL,
        fetched_s INTEGER NOT NULL, PRIMARY KEY (reference, platform)
    ) WITHOUT ROWID;
    CREATE TABLE snapshots (
        id TEXT PRIMARY KEY, parent TEXT, created_s INTEGER NOT NULL, used_s INTEGER NOT NULL, size INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX snapshots_parent ON snapshots (parent);
    CREATE TABLE layer_snapshots (
        chain_id TEXT PRIMARY KEY, snapshot TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE results (
        key TEXT PRIMARY KEY, snapshot TEXT NOT NULL, description TEXT NOT NULL, created_s INTEGER NOT NULL,
        used_s INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE encoded_layers (
        snapshot TEXT NOT NULL, parameters TEXT NOT NULL, diff_id TEXT NOT NULL, digest TEXT NOT NULL,
        size INTEGER NOT NULL, uncompressed_size INTEGER NOT NULL, PRIMARY KEY (snapshot, parameters)
    ) WITHOUT ROWID;
    CREATE TABLE memos (
        key TEXT PRIMARY KEY, value TEXT NOT NULL, used_s INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE files (
        dev INTEGER NOT NULL, ino INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (dev, ino)
    ) WITHOUT ROWID;
    CREATE TABLE origins (
        digest TEXT NOT NULL, host TEXT NOT NULL, repository TEXT NOT NULL, PRIMARY KEY (digest, host, repository)
    ) WITHOUT ROWID;
";

/// From now on only files without extended attributes are remembered.
const FORGET_FILES: &str = "DELETE FROM files";

/// Ranges of layer blobs that are compressed chunks.
const CHUNKS: &str = "
    CREATE TABLE chunks (
        key TEXT PRIMARY KEY, blob TEXT NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL
    ) WITHOUT ROWID;
";

/// Snapshots that are a layer so far, and no files.
const LAYER_ONLY: &str = "ALTER TABLE snapshots ADD COLUMN layer_only INTEGER NOT NULL DEFAULT 0";

/// Snapshots of steps that changed nothing take no part in mounts. Of those that are there it is not known: they do.
const UNCHANGED: &str = "ALTER TABLE snapshots ADD COLUMN unchanged INTEGER NOT NULL DEFAULT 0";

/// Chunks are known by BLAKE3, and what a blob gives back is checked.
const CHUNK_HASHES: &str = "
    DROP TABLE chunks;
    CREATE TABLE chunks (
        key BLOB PRIMARY KEY, blob TEXT NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL, hash BLOB NOT NULL
    ) WITHOUT ROWID;
";

/// A snapshot without whiteouts and with nothing below is read without a mount. Of those that are there it is not known:
/// they are mounted.
const HIDES_NOTHING: &str = "ALTER TABLE snapshots ADD COLUMN hides_nothing INTEGER NOT NULL DEFAULT 0";

/// Brings the database to [`VERSION`]. Two processes may try at once: the second finds the work done.
pub(crate) fn migrate(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let migrated = (|| {
        let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        for statements in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
            connection.execute_batch(statements)?;
        }
        connection.pragma_update(None, "user_version", VERSION)
    })();
    match migrated {
        Ok(()) => connection.execute_batch("COMMIT"),
        Err(error) => {
            // The first error is the one to tell.
            let _ = connection.execute_batch("ROLLBACK");
            Err(error)
        }
    }
}
