//! The header of one package: an index of tags, and their values behind it.
//!
//! Source: rpm `lib/header.c` (headerImport) and `include/rpm/rpmtag.h`.

use super::super::{Ecosystem, Package};
use super::number;

/// Most tags of a header. Source: rpm `lib/header_internal.h`, hdrchkTags.
const TAGS_MAX: usize = 64 << 10;
/// Bytes of an index entry: tag, type, offset, count.
const ENTRY_BYTES: usize = 16;

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const SIZE: u32 = 1009;
const VENDOR: u32 = 1011;
const LICENSE: u32 = 1014;
const ARCH: u32 = 1022;
const SOURCE_RPM: u32 = 1044;

/// The package that a header describes; `None` if it is damaged or describes none.
pub(super) fn read(blob: &[u8]) -> Option<Package> {
    let header = Header::new(blob)?;
    let name = header.text(NAME)?;
    // Keys that were imported are kept as packages.
    if name == "gpg-pubkey" {
        return None;
    }
    let epoch =
        header.number(EPOCH).filter(|epoch| *epoch > 0).map_or(String::new(), |epoch| format!("{epoch}:"));
    let release = header.text(RELEASE).map_or(String::new(), |release| format!("-{release}"));
    let version = format!("{epoch}{}{release}", header.text(VERSION)?);
    let mut package = Package::new(Ecosystem::Rpm, &name, &version);
    package.architecture = header.text(ARCH);
    package.source = header.text(SOURCE_RPM);
    package.supplier = header.text(VENDOR);
    package.license = header.text(LICENSE);
    package.bytes = header.number(SIZE).map(u64::from);
    Some(package)
}

struct Header<'a> {
    index: &'a [u8],
    values: &'a [u8],
}

impl<'a> Header<'a> {
    fn new(blob: &'a [u8]) -> Option<Self> {
        let tags = usize::try_from(number(blob, 0, true)?).ok().filter(|tags| *tags <= TAGS_MAX)?;
        let size = usize::try_from(number(blob, 4, true)?).ok()?;
        let (index, values) = blob.get(8..)?.split_at_checked(tags * ENTRY_BYTES)?;
        Some(Self { index, values: values.get(..size)? })
    }

    /// Type and value of a tag: all bytes from its first on.
    fn value(&self, tag: u32) -> Option<(u32, &'a [u8])> {
        let entry = self.index.chunks_exact(ENTRY_BYTES).find(|entry| number(entry, 0, true) == Some(tag))?;
        let offset = usize::try_from(number(entry, 8, true)?).ok()?;
        Some((number(entry, 4, true)?, self.values.get(offset..)?))
    }

    /// STRING, and the first of STRING_ARRAY and I18NSTRING.
    fn text(&self, tag: u32) -> Option<String> {
        let (6 | 8 | 9, bytes) = self.value(tag)? else { return None };
        let end = bytes.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned()).filter(|text| !text.is_empty())
    }

    /// The first of INT32.
    fn number(&self, tag: u32) -> Option<u32> {
        let (4, bytes) = self.value(tag)? else { return None };
        number(bytes, 0, true)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A header as rpm writes it.
    pub(crate) fn header(name: &str, version: &str, release: &str) -> Vec<u8> {
        let (mut index, mut values) = (Vec::new(), Vec::new());
        let mut tags = 0_u32;
        for (tag, text) in
            [(NAME, name), (VERSION, version), (RELEASE, release), (ARCH, "x86_64"), (LICENSE, "MIT")]
        {
            for number in [tag, 6, values.len() as u32, 1] {
                index.extend_from_slice(&number.to_be_bytes());
            }
            values.extend_from_slice(text.as_bytes());
            values.push(0);
            tags += 1;
        }
        for (tag, value) in [(EPOCH, 1_u32), (SIZE, 4096)] {
            values.resize(values.len().next_multiple_of(4), 0);
            for number in [tag, 4, values.len() as u32, 1] {
                index.extend_from_slice(&number.to_be_bytes());
            }
            values.extend_from_slice(&value.to_be_bytes());
            tags += 1;
        }
        [&tags.to_be_bytes()[..], &(values.len() as u32).to_be_bytes(), &index, &values].concat()
    }

    #[test]
    fn a_header_and_each_of_its_beginnings() {
        let blob = header("bash", "5.2", "1.fc39");
        let package = read(&blob).unwrap();
        assert_eq!((package.name.as_str(), package.version.as_str()), ("bash", "1:5.2-1.fc39"));
        assert_eq!((package.bytes, package.license.as_deref()), (Some(4096), Some("MIT")));
        for end in 0..blob.len() {
            assert_eq!(read(&blob[..end]), None);
        }
        assert_eq!(read(&header("gpg-pubkey", "1", "2")), None);
    }
}
