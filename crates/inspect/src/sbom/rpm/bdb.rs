//! Berkeley DB's hash, `Packages`: pages of pairs, and chains of overflow pages with what does not fit.
//!
//! Read without its index: every hash page in turn, which is what a list needs. Source: Berkeley DB 5.3
//! `src/dbinc/db_page.h`.

use std::ops::Range;

use super::super::Package;
use super::{HEADER_BYTES_MAX, HEADERS_MAX, header, number};

/// Where the metadata page has its magic, and what it is for a hash.
const MAGIC: (usize, u32) = (12, 0x0006_1561);
const PAGE_SIZE_AT: usize = 20;
const ENCRYPTION_AT: usize = 24;
/// Bytes before the entries of a page.
const PAGE_HEADER_BYTES: usize = 26;
/// P_HASH_UNSORTED, P_HASH and P_OVERFLOW.
const HASH_PAGES: [u8; 2] = [2, 13];
const OVERFLOW_PAGE: u8 = 7;
/// H_KEYDATA: the value stands here. H_OFFPAGE: it stands on overflow pages.
const INLINE: u8 = 1;
const ELSEWHERE: u8 = 3;

/// All packages.
pub(in super::super) fn read(bytes: &[u8]) -> Result<Vec<Package>, String> {
    let big = match (number(bytes, MAGIC.0, false), number(bytes, MAGIC.0, true)) {
        (Some(magic), _) if magic == MAGIC.1 => false,
        (_, Some(magic)) if magic == MAGIC.1 => true,
        _ => return Err("not a database of rpm (Berkeley DB, hash)".to_owned()),
    };
    if bytes.get(ENCRYPTION_AT) != Some(&0) {
        return Err("an encrypted database".to_owned());
    }
    let size = number(bytes, PAGE_SIZE_AT, big).unwrap_or(0) as usize;
    if !(512..=64 << 10).contains(&size) || !size.is_power_of_two() {
        return Err(format!("a damaged database of rpm: pages of {size} bytes"));
    }
    let database = Database { bytes, size, big };
    let mut packages = Vec::new();
    let (mut headers, mut damaged) = (0, 0_usize);
    // A value is read once for each entry that points to it, and a hostile file may have many that point to one.
    let mut left = bytes.len().saturating_mul(2);
    for page in bytes.chunks_exact(size).filter(|page| HASH_PAGES.contains(&page[25])) {
        for value in database.values(page) {
            headers += 1;
            match database.value(page, value, &mut left) {
                // The first record is rpm's counter of packages, four bytes.
                Some(blob) if blob.len() <= 8 => {}
                Some(blob) => packages.extend(header::read(&blob)),
                None => damaged += 1,
            }
            if headers > HEADERS_MAX {
                return Err(format!("more than {HEADERS_MAX} packages"));
            }
        }
    }
    if damaged > 0 {
        return Err(format!("a damaged database of rpm: {damaged} of {headers} headers cannot be read"));
    }
    Ok(packages)
}

struct Database<'a> {
    bytes: &'a [u8],
    size: usize,
    big: bool,
}

impl Database<'_> {
    fn half(&self, page: &[u8], at: usize) -> usize {
        let bytes = [page[at], page[at + 1]];
        usize::from(if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    /// Where on a page its values lie: entries are pairs of key and value, stored from the end on.
    fn values(&self, page: &[u8]) -> Vec<Range<usize>> {
        let room = (page.len() - PAGE_HEADER_BYTES) / 2;
        let count = self.half(page, 20).min(room);
        let offset = |index: usize| self.half(page, PAGE_HEADER_BYTES + 2 * index);
        (1..count).step_by(2).map(|index| offset(index)..offset(index - 1)).collect()
    }

    fn value(&self, page: &[u8], at: Range<usize>, left: &mut usize) -> Option<Vec<u8>> {
        let entry = page.get(at)?;
        match *entry.first()? {
            INLINE => Some(entry[1..].to_vec()),
            ELSEWHERE => {
                let length = number(entry, 8, self.big)? as usize;
                *left = left.checked_sub(length)?;
                self.chain(number(entry, 4, self.big)? as usize, length)
            }
            _ => None,
        }
    }

    /// `length` bytes from a chain of overflow pages.
    fn chain(&self, mut number_of_page: usize, length: usize) -> Option<Vec<u8>> {
        if length > HEADER_BYTES_MAX.min(self.bytes.len()) {
            return None;
        }
        let mut value = Vec::with_capacity(length);
        while value.len() < length {
            let start = number_of_page.checked_mul(self.size)?;
            let page = self.bytes.get(start..start.checked_add(self.size)?)?;
            if page[25] != OVERFLOW_PAGE {
                return None;
            }
            // On overflow pages the field of the free room's offset is the length of what is there.
            let here = self.half(page, 22).min(self.size - PAGE_HEADER_BYTES);
            if here == 0 {
                return None;
            }
            value.extend_from_slice(&page[PAGE_HEADER_BYTES..PAGE_HEADER_BYTES + here]);
            number_of_page = number(page, 16, self.big)? as usize;
        }
        value.truncate(length);
        Some(value)
    }
}
