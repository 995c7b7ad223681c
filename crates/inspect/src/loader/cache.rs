//! glibc's `/etc/ld.so.cache`: names of libraries with their paths, for several machines in one file.
//!
//! Source: glibc `sysdeps/generic/dl-cache.h`, `elf/dl-cache.c`. The format of glibc 2.2 and later ("1.1"), alone or
//! behind the older one, which is skipped. Entries for certain processors are left out, as everywhere here.

use std::collections::HashMap;

use object::elf;

use crate::elf::Machine;

const OLD_MAGIC: &[u8] = b"ld.so-1.7.0";
const NEW_MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
/// Sizes of the headers and entries of both formats, bytes.
const OLD_HEADER: usize = 16;
const OLD_ENTRY: usize = 12;
const NEW_HEADER: usize = 48;
const NEW_ENTRY: usize = 24;
/// Most entries that are read.
const ENTRIES_MAX: usize = 1 << 20;
/// Longest name or path, bytes.
const TEXT_BYTES_MAX: usize = 4096;

/// A cache that was read.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    entries: HashMap<Vec<u8>, Vec<(i32, Vec<u8>)>>,
}

impl Cache {
    /// Reads a cache; `None` if it is not one. `is_little`: byte order of the machine that reads it.
    pub fn parse(bytes: &[u8], is_little: bool) -> Option<Self> {
        let number = |bytes: &[u8], at: usize| -> Option<u32> {
            let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
            Some(if is_little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) })
        };
        let new = if bytes.starts_with(OLD_MAGIC) {
            let count = usize::try_from(number(bytes, 12)?).ok()?;
            let end = count.checked_mul(OLD_ENTRY)?.checked_add(OLD_HEADER)?;
            bytes.get(end.checked_next_multiple_of(8)?..)?
        } else {
            bytes
        };
        if !new.starts_with(NEW_MAGIC) {
            return None;
        }
        let count = usize::try_from(number(new, NEW_MAGIC.len())?).ok()?;
        let mut cache = Self::default();
        for index in 0..count.min(ENTRIES_MAX) {
            let at = NEW_HEADER + index * NEW_ENTRY;
            let flags = number(new, at)?.cast_signed();
            let hardware = (number(new, at + 16)?, number(new, at + 20)?);
            let name = text(new, number(new, at + 4)?)?;
            let path = text(new, number(new, at + 8)?)?;
            if hardware == (0, 0) {
                cache.entries.entry(name.to_vec()).or_default().push((flags, path.to_vec()));
            }
        }
        Some(cache)
    }

    /// The path of a library for `machine`.
    pub fn library(&self, name: &[u8], machine: Machine) -> Option<&[u8]> {
        let wanted = flags(machine);
        let entries = self.entries.get(name)?;
        let found = entries.iter().find(|(flags, _)| wanted.is_none_or(|wanted| *flags == wanted));
        found.map(|(_, path)| &path[..])
    }
}

fn text(bytes: &[u8], at: u32) -> Option<&[u8]> {
    let rest = bytes.get(usize::try_from(at).ok()?..)?;
    let rest = &rest[..rest.len().min(TEXT_BYTES_MAX)];
    Some(&rest[..memchr::memchr(0, rest)?])
}

/// The mark of a machine's entries: FLAG_ELF_LIBC6 and the ABI. `None`: not known, any entry is tried.
fn flags(machine: Machine) -> Option<i32> {
    const HARD_FLOAT: u32 = 0x400;
    Some(match (elf::Machine(machine.number), machine.is_64) {
        (elf::EM_386, _) => 0x0003,
        (elf::EM_X86_64, true) => 0x0303,
        (elf::EM_X86_64, false) => 0x0803,
        (elf::EM_AARCH64, true) => 0x0a03,
        (elf::EM_ARM, _) if machine.flags & HARD_FLOAT != 0 => 0x0903,
        (elf::EM_ARM, _) => 0x0b03,
        (elf::EM_PPC64, _) => 0x0503,
        (elf::EM_S390, true) => 0x0403,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMD64: Machine = Machine { number: 62, is_64: true, is_little: true, flags: 0 };

    pub(super) fn cache(entries: &[(i32, u64, &str, &str)]) -> Vec<u8> {
        let mut bytes = NEW_MAGIC.to_vec();
        bytes.extend((entries.len() as u32).to_le_bytes());
        bytes.resize(NEW_HEADER, 0);
        let mut strings = Vec::new();
        let start = NEW_HEADER + entries.len() * NEW_ENTRY;
        for (flags, hardware, name, path) in entries {
            let at = (start + strings.len()) as u32;
            strings.extend(name.bytes().chain([0]));
            let value = (start + strings.len()) as u32;
            strings.extend(path.bytes().chain([0]));
            bytes.extend(flags.to_le_bytes());
            bytes.extend(at.to_le_bytes());
            bytes.extend(value.to_le_bytes());
            bytes.extend(0_u32.to_le_bytes());
            bytes.extend(hardware.to_le_bytes());
        }
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn the_entry_of_the_machine_without_hardware() {
        let bytes = cache(&[
            (0x0303, 1 << 62, "libz.so.1", "/lib/glibc-hwcaps/x86-64-v3/libz.so.1"),
            (0x0003, 0, "libz.so.1", "/lib/i386/libz.so.1"),
            (0x0303, 0, "libz.so.1", "/lib/a/libz.so.1"),
            (0x0303, 0, "libz.so.1", "/lib/b/libz.so.1"),
        ]);
        let parsed = Cache::parse(&bytes, true).unwrap();
        assert_eq!(parsed.library(b"libz.so.1", AMD64), Some(&b"/lib/a/libz.so.1"[..]));
        assert_eq!(parsed.library(b"libq.so.1", AMD64), None);
        let mut both = OLD_MAGIC.to_vec();
        both.extend([0, 1, 0, 0, 0]);
        both.resize((OLD_HEADER + OLD_ENTRY).next_multiple_of(8), 0);
        both.extend(&bytes);
        let both = Cache::parse(&both, true).unwrap();
        assert_eq!(both.library(b"libz.so.1", AMD64), Some(&b"/lib/a/libz.so.1"[..]));
    }

    #[test]
    fn damage_is_no_cache() {
        let bytes = cache(&[(0x0303, 0, "libz.so.1", "/lib/libz.so.1")]);
        for end in 0..bytes.len() {
            assert!(Cache::parse(&bytes[..end], true).is_none(), "{end}");
        }
        assert!(Cache::parse(b"", true).is_none());
    }
}
