//! Digests of files of build contexts, remembered by what cannot change unnoticed: device, inode, size, mtime, ctime.
//!
//! Everything is read into memory at the first question (20,000 files are a few milliseconds) and new ones are written
//! in one transaction when the store is closed. Every checkout brings new inodes, so there would be more and more of
//! them: when there are too many, only those stay that this process has used. Which files are too young to be trusted is
//! the asker's business (`layer::select`).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jettison_layer::select::{FileDigests, FileStat};
use jettison_oci::Digest;
use rusqlite::params;

use crate::{Result, Store};

/// Files that may be remembered besides those of the build that goes on; they cost each build about 50 ms.
const FILES_MAX: usize = 250_000;

/// The digests that this process knows.
#[derive(Debug, Default)]
pub(crate) struct FileMemory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    loaded: bool,
    known: HashMap<Place, Known>,
    /// Learnt since the last time that all was written.
    new: Vec<Place>,
}

/// Device and inode.
type Place = (u64, u64);

/// The rest of a [`FileStat`] and what belongs to it: there is one for each file, so it is kept small.
#[derive(Debug)]
struct Known {
    size: u64,
    mtime_ns: i64,
    ctime_ns: i64,
    digest: Digest,
    /// Asked for, or learnt, by this process.
    used: bool,
}

impl Known {
    fn new(stat: &FileStat, digest: Digest, used: bool) -> Self {
        Self { size: stat.size, mtime_ns: stat.mtime_ns, ctime_ns: stat.ctime_ns, digest, used }
    }

    fn is_of(&self, stat: &FileStat) -> bool {
        (self.size, self.mtime_ns, self.ctime_ns) == (stat.size, stat.mtime_ns, stat.ctime_ns)
    }
}

impl FileDigests for Store {
    fn get(&self, stat: &FileStat) -> Option<Digest> {
        let mut state = self.files.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.loaded {
            // Without the memory files are hashed again: slower, never wrong.
            let mut all = self.load_file_digests().unwrap_or_default();
            // What this process has hashed meanwhile is newer.
            all.extend(std::mem::take(&mut state.known));
            (state.known, state.loaded) = (all, true);
        }
        let known = state.known.get_mut(&(stat.dev, stat.ino)).filter(|known| known.is_of(stat))?;
        known.used = true;
        Some(known.digest.clone())
    }

    fn put(&self, stat: &FileStat, digest: &Digest) {
        let mut state = self.files.state.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (stat.dev, stat.ino);
        state.known.insert(place, Known::new(stat, digest.clone(), true));
        state.new.push(place);
    }
}

impl Store {
    fn load_file_digests(&self) -> Result<HashMap<Place, Known>> {
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
            let digest = Digest::from_sha256_bytes(&digest);
            known.insert((stat.dev, stat.ino), Known::new(&stat, digest, false));
        }
        Ok(known)
    }

    /// Writes what was learnt since the last time.
    pub(crate) fn flush_file_digests(&self) -> Result<()> {
        self.flush_files_of_at_most(FILES_MAX)
    }

    fn flush_files_of_at_most(&self, max: usize) -> Result<()> {
        let mut state = self.files.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = std::mem::take(&mut state.new);
        if new.is_empty() {
            return Ok(());
        }
        let too_many = state.known.len() > max;
        if too_many {
            state.known.retain(|_, known| known.used);
            new = state.known.keys().copied().collect();
        }
        self.write(|transaction| {
            if too_many {
                transaction.execute("DELETE FROM files", [])?;
            }
            let mut statement = transaction.prepare_cached(
                "INSERT OR REPLACE INTO files (dev, ino, size, mtime_ns, ctime_ns, digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            for (dev, ino) in &new {
                let Some(known) = state.known.get(&(*dev, *ino)) else { continue };
                statement.execute(params![
                    dev.cast_signed(),
                    ino.cast_signed(),
                    known.size.cast_signed(),
                    known.mtime_ns,
                    known.ctime_ns,
                    known.digest.as_bytes(),
                ])?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_files_those_in_use_stay() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Store::open(&folder.path().join("store")).unwrap();
        let stat = |ino| FileStat { dev: 1, ino, size: 1, mtime_ns: 2, ctime_ns: 3 };
        let digest = Digest::sha256(b"x");
        let known =
            |store: &Store| (1..=6).filter(|ino| store.get(&stat(*ino)).is_some()).collect::<Vec<_>>();
        {
            let store = open();
            (1..=4).for_each(|ino| store.put(&stat(ino), &digest));
            store.flush_files_of_at_most(4).unwrap();
        }
        {
            let store = open();
            assert!(store.get(&stat(2)).is_some());
            store.flush_files_of_at_most(3).unwrap();
            assert_eq!(store.load_file_digests().unwrap().len(), 4, "nothing new, nothing to write");
            store.put(&stat(5), &digest);
            store.put(&stat(6), &digest);
            store.flush_files_of_at_most(5).unwrap();
        }
        assert_eq!(known(&open()), [2, 5, 6]);
    }
}
