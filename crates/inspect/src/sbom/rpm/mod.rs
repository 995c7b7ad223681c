//! rpm's databases, in the three kinds that are found in images: SQLite (Fedora, RHEL 9 and later), ndb (SUSE) and
//! Berkeley DB's hash (RHEL and CentOS up to 8, Amazon Linux 2). Each holds one blob per package: its header.
//!
//! `header.rs` reads the header, the other files take the blobs out of their database.

mod bdb;
mod header;
mod ndb;
mod sqlite;

pub(super) use bdb::read as bdb;
pub(super) use ndb::read as ndb;
pub(super) use sqlite::read as sqlite;

/// Largest header of a package, bytes. That of the kernel has 1 MB.
const HEADER_BYTES_MAX: usize = 64 << 20;
/// Most packages of a database.
const HEADERS_MAX: usize = 100_000;

/// `len` bytes at `at` as a number, little-endian unless `big`.
fn number(bytes: &[u8], at: usize, big: bool) -> Option<u32> {
    let bytes: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
}
