//! rpm's own database, `Packages.db`: slots that say where in the file each blob lies.
//!
//! Source: rpm `lib/backend/ndb/rpmpkg.c`.

use super::super::Package;
use super::{HEADER_BYTES_MAX, HEADERS_MAX, header, number};

const SLOT_BYTES: usize = 16;
/// Slots and blobs are counted in these, bytes.
const BLOCK_BYTES: usize = 16;
const PAGE_BYTES: usize = 4096;
/// The header of the file takes the room of two slots.
const HEADER_SLOTS: usize = 2;

/// All packages.
pub(in super::super) fn read(bytes: &[u8]) -> Result<Vec<Package>, String> {
    if !bytes.starts_with(b"RpmP") {
        return Err("not a database of rpm (ndb)".to_owned());
    }
    let pages = number(bytes, 12, false).and_then(|pages| usize::try_from(pages).ok()).unwrap_or(0);
    let slots = pages.saturating_mul(PAGE_BYTES).min(bytes.len());
    let mut packages = Vec::new();
    let mut damaged = 0_usize;
    for slot in bytes[..slots].chunks_exact(SLOT_BYTES).skip(HEADER_SLOTS).take(HEADERS_MAX) {
        // Free slots have no package number.
        if !slot.starts_with(b"Slot") || number(slot, 4, false) == Some(0) {
            continue;
        }
        match blob(bytes, slot) {
            Some(blob) => packages.extend(header::read(blob)),
            None => damaged += 1,
        }
    }
    if damaged > 0 && packages.is_empty() {
        return Err(format!("a damaged database of rpm: {damaged} headers lie outside of it"));
    }
    Ok(packages)
}

fn blob<'a>(bytes: &'a [u8], slot: &[u8]) -> Option<&'a [u8]> {
    let start = usize::try_from(number(slot, 8, false)?).ok()?.checked_mul(BLOCK_BYTES)?;
    let head = bytes.get(start..start.checked_add(16)?)?;
    let size = usize::try_from(number(head, 12, false)?).ok().filter(|size| *size <= HEADER_BYTES_MAX)?;
    let is_ours = head.starts_with(b"BlbS") && head[4..8] == slot[4..8];
    bytes.get(start + 16..)?.get(..size).filter(|_| is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(blobs: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![0; PAGE_BYTES];
        bytes[..4].copy_from_slice(b"RpmP");
        bytes[12] = 1;
        for (number, blob) in blobs.iter().enumerate() {
            let (at, id) = ((number + HEADER_SLOTS) * SLOT_BYTES, number as u32 + 1);
            let offset = (bytes.len() / BLOCK_BYTES) as u32;
            bytes[at..at + 16]
                .copy_from_slice(&[&b"Slot"[..], &id.to_le_bytes(), &offset.to_le_bytes(), &[9; 4]].concat());
            bytes.extend(
                [&b"BlbS"[..], &id.to_le_bytes(), &[0; 4], &(blob.len() as u32).to_le_bytes(), blob].concat(),
            );
            bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
        }
        bytes
    }

    #[test]
    fn blobs_by_their_slots() {
        let blobs = [header::tests::header("bash", "5", "1"), header::tests::header("zlib", "1.3", "2")];
        let bytes = database(&blobs);
        let names: Vec<String> = read(&bytes).unwrap().into_iter().map(|package| package.name).collect();
        assert_eq!(names, ["bash", "zlib"]);
        assert!(read(&bytes[..PAGE_BYTES + 8]).unwrap_err().contains("damaged"));
        assert!(read(b"x").is_err());
    }
}
