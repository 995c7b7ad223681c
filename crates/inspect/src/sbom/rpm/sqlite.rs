//! `rpmdb.sqlite`: table `Packages` with a blob for each package.
//!
//! Source: rpm `lib/backend/sqlite.c`. The file is read from memory: nothing is written beside it.

use rusqlite::{Connection, OpenFlags, limits::Limit};

use super::super::Package;
use super::{HEADER_BYTES_MAX, HEADERS_MAX, header};

/// Where the header of the file says by which rules it is written and read, and what that is without a log beside it.
const JOURNAL_AT: std::ops::Range<usize> = 18..20;
const NO_WRITE_AHEAD_LOG: [u8; 2] = [1, 1];
/// Most steps of SQLite's machine until a query that does not end is ended; a package takes about ten.
const STEPS_MAX: i32 = 5_000_000;

/// All packages.
pub(in super::super) fn read(bytes: &[u8]) -> Result<Vec<Package>, String> {
    if !bytes.starts_with(b"SQLite format 3\0") || bytes.len() < 512 {
        return Err("not a database of rpm (SQLite)".to_owned());
    }
    packages(bytes).map_err(|error| format!("a damaged database of rpm: {error}"))
}

fn packages(bytes: &[u8]) -> rusqlite::Result<Vec<Package>> {
    let mut plain = bytes.to_vec();
    // Without its write-ahead log a database in memory cannot be opened in that mode.
    plain[JOURNAL_AT].copy_from_slice(&NO_WRITE_AHEAD_LOG);
    let mut connection = Connection::open_in_memory_with_flags(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.deserialize_read_exact("main", &plain[..], plain.len(), true)?;
    drop(plain);
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, HEADER_BYTES_MAX as i32)?;
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.progress_handler(STEPS_MAX, Some(|| true))?;
    let mut statement = connection.prepare("SELECT blob FROM Packages ORDER BY hnum")?;
    let mut rows = statement.query([])?;
    let mut packages = Vec::new();
    while let Some(row) = rows.next()? {
        if packages.len() >= HEADERS_MAX {
            break;
        }
        if let Ok(blob) = row.get_ref(0)?.as_blob() {
            packages.extend(header::read(blob));
        }
    }
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_headers() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)",
            )
            .unwrap();
        for name in ["bash", "zlib"] {
            let blob = header::tests::header(name, "1", "2");
            connection.execute("INSERT INTO Packages (blob) VALUES (?)", [blob]).unwrap();
        }
        let mut bytes = connection.serialize("main").unwrap().to_vec();
        bytes[JOURNAL_AT].copy_from_slice(&[2, 2]);
        let names: Vec<String> = read(&bytes).unwrap().into_iter().map(|package| package.name).collect();
        assert_eq!(names, ["bash", "zlib"]);
        assert!(read(&bytes[..600]).unwrap_err().contains("damaged"));
        assert!(read(b"hello").unwrap_err().contains("not a database"));
    }
}
