//! `.note.dlopen`: what a program says of the libraries that it loads by name while it runs.
//!
//! Source: systemd's ELF_DLOPEN_METADATA.md, <https://uapi-group.org/specifications/specs/elf_dlopen_metadata/>.

use std::io;

use serde::Deserialize;

use super::section;
use crate::tree::{Content, read_start};

/// Owner and type of such a note.
const OWNER: &[u8] = b"FDO\0";
const KIND: u32 = 0x407c_0c0a;
/// Largest section that is read, bytes.
const SECTION_BYTES_MAX: u64 = 256 << 10;
/// Most libraries of one file.
const WANTED_MAX: usize = 1000;

/// How much a program misses a library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// It has one feature less.
    #[default]
    Suggested,
    /// It has a feature less that most people want.
    Recommended,
    /// It does not work.
    Required,
}

/// A library that a program loads by name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Wanted {
    /// Its names; the first that is found is taken.
    pub soname: Vec<String>,
    /// What for, in a word.
    #[serde(default)]
    pub feature: String,
    /// How much it is missed.
    #[serde(default)]
    pub priority: Priority,
}

/// What a file says; nothing if it says nothing, or nothing that can be understood.
///
/// # Errors
/// If the file cannot be read.
pub fn read(content: &dyn Content) -> io::Result<Vec<Wanted>> {
    let Some(notes) = section::read(content, ".note.dlopen", SECTION_BYTES_MAX)? else {
        return Ok(Vec::new());
    };
    let is_little = read_start(content, 6)?.get(5) == Some(&1);
    let mut wanted = Vec::new();
    let mut rest = &notes[..];
    while let Some((note, after)) = next(rest, is_little) {
        if let Some(text) = note {
            let text = &text[..memchr::memchr(0, text).unwrap_or(text.len())];
            wanted.extend(serde_json::from_slice::<Vec<Wanted>>(text).unwrap_or_default());
        }
        if wanted.len() > WANTED_MAX {
            break;
        }
        rest = after;
    }
    wanted.truncate(WANTED_MAX);
    wanted.retain(|library| !library.soname.is_empty());
    Ok(wanted)
}

/// The text of the first note, `None` if it is another kind of note, and what stands behind it.
fn next(bytes: &[u8], is_little: bool) -> Option<(Option<&[u8]>, &[u8])> {
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(if is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let (owner, text, kind) = (number(0)? as usize, number(4)? as usize, number(8)?);
    let start = 12_usize.checked_add(owner.checked_next_multiple_of(4)?)?;
    let end = start.checked_add(text)?;
    let is_ours = bytes.get(12..12_usize.checked_add(owner)?)? == OWNER && kind == KIND;
    let text = bytes.get(start..end)?;
    let after = bytes.get(end.checked_next_multiple_of(4)?..).unwrap_or_default();
    Some((is_ours.then_some(text), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(owner: &[u8], kind: u32, text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [owner.len() as u32, text.len() as u32, kind] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(owner);
        bytes.extend(text);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn notes_of_others_are_passed_over_and_none_is_read_beyond_its_end() {
        let notes =
            [note(b"GNU\0", 3, b"abcde"), note(OWNER, KIND, b"[1]\0"), note(OWNER, KIND, b"[2]")].concat();
        let (first, rest) = next(&notes, true).unwrap();
        assert_eq!(first, None);
        let (second, rest) = next(rest, true).unwrap();
        assert_eq!(second, Some(&b"[1]\0"[..]));
        assert_eq!(next(rest, true).unwrap(), (Some(&b"[2]"[..]), &b""[..]));
        for end in 0..rest.len() - 1 {
            assert_eq!(next(&rest[..end], true), None);
        }
        assert_eq!(next(&[0xff; 16], true), None);
    }
}
