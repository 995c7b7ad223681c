//! Sections by name, for what compilers leave beside the program. Loaders look at none, and stripped files may have none.

use std::io;

use crate::tree::{Content, read_start};

/// Most sections of a file. Real programs have about 40; object files, which are none, more.
const SECTIONS_MAX: u64 = 4096;
/// Largest table of names, bytes.
const NAMES_BYTES_MAX: u64 = 1 << 20;

/// Where a section lies.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Section {
    name: String,
    /// SHT_NOBITS has no bytes in the file.
    has_bytes: bool,
    offset: u64,
    size: u64,
}

/// The names of all sections; empty for anything that has none or is damaged.
///
/// # Errors
/// If the file cannot be read.
pub fn names(content: &dyn Content) -> io::Result<Vec<String>> {
    Ok(sections(content)?.into_iter().map(|section| section.name).collect())
}

/// The bytes of the section `name`, at most `limit`; `None` if there is none, or a larger one.
///
/// # Errors
/// If the file cannot be read.
pub fn read(content: &dyn Content, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
    match sections(content)?.into_iter().find(|section| section.name == name && section.has_bytes) {
        Some(Section { offset, size, .. }) if size <= limit => range(content, offset, size),
        _ => Ok(None),
    }
}

fn sections(content: &dyn Content) -> io::Result<Vec<Section>> {
    Ok(try_sections(content)?.unwrap_or_default())
}

/// `None` if it is no ELF file, or a damaged one.
fn try_sections(content: &dyn Content) -> io::Result<Option<Vec<Section>>> {
    let header = read_start(content, 64)?;
    let Some(fields) = Fields::of(&header) else { return Ok(None) };
    let wide = fields.is_64;
    let at = |wide_offset: usize, narrow_offset: usize| if wide { wide_offset } else { narrow_offset };
    let (Some(offset), Some(entry), Some(count), Some(names)) = (
        fields.word(&header, at(40, 32)),
        fields.half(&header, at(58, 46)),
        fields.half(&header, at(60, 48)),
        fields.half(&header, at(62, 50)),
    ) else {
        return Ok(None);
    };
    let entry = usize::from(entry);
    if entry < at(64, 40) || u64::from(count) > SECTIONS_MAX || offset == 0 {
        return Ok(None);
    }
    let Some(table) = range(content, offset, entry as u64 * u64::from(count))? else { return Ok(None) };
    let parse = |row: &[u8]| {
        let name = fields.number(row, 0, 4)?;
        let has_bytes = fields.number(row, 4, 4)? != 8;
        let (offset, size) = (fields.word(row, at(24, 16))?, fields.word(row, at(32, 20))?);
        Some((name, Section { name: String::new(), has_bytes, offset, size }))
    };
    let rows: Option<Vec<(u64, Section)>> = table.chunks_exact(entry).map(parse).collect();
    let Some(rows) = rows else { return Ok(None) };
    let Some((_, strings)) = rows.get(usize::from(names)) else { return Ok(None) };
    if strings.size > NAMES_BYTES_MAX {
        return Ok(None);
    }
    let Some(strings) = range(content, strings.offset, strings.size)? else { return Ok(None) };
    let named = |(name, section): (u64, Section)| {
        let text = strings.get(usize::try_from(name).unwrap_or(usize::MAX)..).unwrap_or_default();
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        Section { name: String::from_utf8_lossy(&text[..text.len().min(64)]).into_owned(), ..section }
    };
    Ok(Some(rows.into_iter().map(named).collect()))
}

/// How numbers are written in a file.
struct Fields {
    is_64: bool,
    is_little: bool,
}

impl Fields {
    fn of(header: &[u8]) -> Option<Self> {
        if header.len() < 52 || !header.starts_with(b"\x7fELF") {
            return None;
        }
        Some(Self { is_64: header[4] == 2, is_little: header[5] == 1 })
    }

    fn number(&self, bytes: &[u8], at: usize, length: usize) -> Option<u64> {
        let bytes = bytes.get(at..at + length)?;
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if self.is_little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) })
    }

    /// As wide as an address.
    fn word(&self, bytes: &[u8], at: usize) -> Option<u64> {
        self.number(bytes, at, if self.is_64 { 8 } else { 4 })
    }

    fn half(&self, bytes: &[u8], at: usize) -> Option<u16> {
        self.number(bytes, at, 2).and_then(|number| u16::try_from(number).ok())
    }
}

fn range(content: &dyn Content, offset: u64, size: u64) -> io::Result<Option<Vec<u8>>> {
    if offset.checked_add(size).is_none_or(|end| end > content.size()) {
        return Ok(None);
    }
    let bytes = super::range(content, offset, size).map_err(io::Error::other)?;
    Ok(Some(bytes))
}
