//! Digests of files of build contexts, remembered by what cannot change unnoticed: device, inode, size, mtime, ctime.
//!
//! Everything is read into memory at the first question (20,000 files are a few milliseconds) and new ones are written
//! in one transaction when the store is closed. Which files are too young to be trusted is the asker's business
//! (`layer::select`).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jettison_layer::select::{FileDigests, FileStat};
use jettison_oci::Digest;
use rusqlite::params;

use crate::{Result, Store};

/// The digests that this process knows.
#[derive(Debug, Default)]
pub(crate) struct FileMemory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    loaded: bool,
    known: HashMap<(u64, u64), (FileStat, Digest)>,
    new: Vec<(FileStat, Digest)>,
}

impl FileDigests for Store {
    fn get(&self, stat: &FileStat) -> Option<Digest> {
        let mut state = self.files.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.loaded {
            // Without the memory files are hashed again: slower, never wrong.
            for (place, known) in self.load_file_digests().unwrap_or_default() {
                // What this process has hashed meanwhile is newer.
                state.known.entry(place).or_insert(known);
            }
            state.loaded = true;
        }
        state
            .known
            .get(&(stat.dev, stat.ino))
            .filter(|(known, _)| known == stat)
            .map(|(_, digest)| digest.clone())
    }

    fn put(&self, stat: &FileStat, digest: &Digest) {
        let mut state = self.files.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.known.insert((stat.dev, stat.ino), (*stat, digest.clone()));
        state.new.push((*stat, digest.clone()));
    }
}

impl Store {
    fn load_file_digests(&self) -> Result<HashMap<(u64, u64), (FileStat, Digest)>> {
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached("SELECT dev, ino, size, mtime_ns, ctime_ns, digest FROM files")
            .map_err(self.index_error())?;
        let rows = statement.query_map([], |row| {
            let stat = FileStat {
                dev: row.get::<_, i64>(0)?.cast_unsigned(),
                ino: row.get::<_, i64>(1)?.cast_unsigned(),
                size: row.get::<_, i64>(2)?.cast_unsigned(),
                mtime_ns: row.get(3)?,
                ctime_ns: row.get(4)?,
            };
            Ok((stat, row.get::<_, [u8; 32]>(5)?))
        });
        let mut known = HashMap::new();
        for row in rows.map_err(self.index_error())? {
            let (stat, digest) = row.map_err(self.index_error())?;
            known.insert((stat.dev, stat.ino), (stat, Digest::from_sha256_bytes(&digest)));
        }
        Ok(known)
    }

    /// Writes what was learnt since the last time.
    pub(crate) fn flush_file_digests(&self) -> Result<()> {
        let new = {
            let mut state = self.files.state.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut state.new)
        };
        if new.is_empty() {
            return Ok(());
        }
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(
                "INSERT OR REPLACE INTO files (dev, ino, size, mtime_ns, ctime_ns, digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            for (stat, digest) in &new {
                statement.execute(params![
                    stat.dev.cast_signed(),
                    stat.ino.cast_signed(),
                    stat.size.cast_signed(),
                    stat.mtime_ns,
                    stat.ctime_ns,
                    from_hex(digest.hex()),
                ])?;
            }
            Ok(())
        })
    }
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).unwrap_or(0) as u8;
    hex.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
