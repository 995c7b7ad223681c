//! Symbol versions: which ones a file wants from which library, and which ones a library has.
//!
//! Source: the Linux Standard Base, "Symbol Versioning"; glibc `elf/dl-version.c` for what the loader does with them.

use object::elf::{Verdaux, Verdef, Vernaux, Verneed};
use object::{Endianness, pod};

use super::{Error, string};

/// Largest table, bytes. That of libstdc++ has 3 KiB.
pub(super) const TABLE_BYTES_MAX: u64 = 1 << 20;
/// Most entries of both levels together: the tables are linked lists, which a hostile file can knot.
const ENTRIES_MAX: usize = 16 << 10;
/// VER_FLG_WEAK: the loader does without.
const WEAK: u16 = 2;

const DAMAGED: Error = Error::Damaged("its version tables");

/// A version that a file wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionNeed {
    /// The library, as in DT_NEEDED.
    pub file: Vec<u8>,
    /// The version: `GLIBC_2.34`.
    pub version: Vec<u8>,
    /// Whether the loader may do without.
    pub is_weak: bool,
}

pub(super) fn needs(table: &[u8], endian: Endianness, names: &[u8]) -> Result<Vec<VersionNeed>, Error> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let need: &Verneed<Endianness> = entry(table, at)?;
        let file = string(names, need.vn_file.get(endian).into())?;
        let mut item = forward(at, need.vn_aux.get(endian))?;
        for _ in 0..need.vn_cnt.get(endian) {
            let version: &Vernaux<Endianness> = entry(table, item)?;
            found.push(VersionNeed {
                file: file.clone(),
                version: string(names, version.vna_name.get(endian).into())?,
                is_weak: version.vna_flags.get(endian).0 & WEAK != 0,
            });
            if found.len() > ENTRIES_MAX {
                return Err(DAMAGED);
            }
            match version.vna_next.get(endian) {
                0 => break,
                next => item = forward(item, next)?,
            }
        }
        match need.vn_next.get(endian) {
            0 => return Ok(found),
            next => at = forward(at, next)?,
        }
    }
}

pub(super) fn defines(table: &[u8], endian: Endianness, names: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let definition: &Verdef<Endianness> = entry(table, at)?;
        // The first name is the version, the others are those that it stands on.
        let item = forward(at, definition.vd_aux.get(endian))?;
        let name: &Verdaux<Endianness> = entry(table, item)?;
        found.push(string(names, name.vda_name.get(endian).into())?);
        if found.len() > ENTRIES_MAX {
            return Err(DAMAGED);
        }
        match definition.vd_next.get(endian) {
            0 => return Ok(found),
            next => at = forward(at, next)?,
        }
    }
}

fn entry<T: pod::Pod>(table: &[u8], at: usize) -> Result<&T, Error> {
    let rest = table.get(at..).ok_or(DAMAGED)?;
    pod::from_bytes(rest).map(|(entry, _)| entry).map_err(|()| DAMAGED)
}

/// Lists only lead forward, so that they end.
fn forward(at: usize, by: u32) -> Result<usize, Error> {
    usize::try_from(by).ok().and_then(|by| at.checked_add(by)).ok_or(DAMAGED)
}
