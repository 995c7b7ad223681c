//! The index: a SQLite database with everything that is not a file of its own.
//!
//! Rows are written after the files that they speak of, and removed before them, so that a row never promises what
//! is not there; readers check all the same. See `docs/formats/store.md` for the tables.

mod schema;

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::{Error, Result};

/// Name of the database file.
pub(crate) const FILE: &str = "index.db";
/// How long a writer waits for another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Pages (4 KiB) in the write-ahead log that start a checkpoint.
const CHECKPOINT_PAGES: u32 = 256;

/// Why files cannot be opened, which SQLite does not tell. It wants as many as that: the database, its log, their index.
fn cause(path: &Path) -> Option<io::Error> {
    let open = |_| File::options().read(true).write(true).open(path);
    (0..3).map(open).collect::<io::Result<Vec<_>>>().err()
}

/// Opens the database and brings it to the current format.
pub(crate) fn open(root: &Path) -> Result<Connection> {
    let path = root.join(FILE);
    let failed = |source| Error::Index { path: path.clone(), source };
    let failed_to_open = |source| match cause(&path) {
        Some(cause) => Error::io("open", &path)(cause),
        None => failed(source),
    };
    let connection = Connection::open(&path).map_err(failed_to_open)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    let found: i64 =
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed_to_open)?;
    if found > schema::VERSION {
        return Err(Error::Newer { path: root.to_owned(), found, known: schema::VERSION });
    }
    // NORMAL: after a power cut the last transactions may be missing, never torn. What they spoke of is then found
    // again (blobs) or made again (results).
    connection
        .execute_batch("PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=OFF; PRAGMA temp_store=MEMORY;")
        .map_err(failed)?;
    // The last process to leave would otherwise write the log back and wait for the disk. A short log is read fast.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES).map_err(failed)?;
    if found < schema::VERSION {
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        schema::migrate(&connection).map_err(failed)?;
    }
    Ok(connection)
}
