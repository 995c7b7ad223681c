//! What the Go toolchain leaves in its programs: version, modules, settings of the build.
//!
//! Source: Go `debug/buildinfo/buildinfo.go`. The blob is found by its magic, without sections, as Go itself does it
//! for stripped files: it is aligned to 16 bytes and lies at the beginning of the data.

use std::io;

use crate::tree::{Content, read_start};

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// The magic, pointer size, flags and filling, bytes.
const HEADER_BYTES: usize = 32;
/// Flag: the strings follow in the file (Go 1.18 and later). Older programs have pointers.
const INLINE: u8 = 2;
/// How much of a file is searched, bytes.
const SEARCHED_BYTES_MAX: u64 = 256 << 20;
/// Longest version or module text, bytes. That of Kubernetes has 20 KiB.
const TEXT_BYTES_MAX: u64 = 4 << 20;
/// Around the module text stand 16 bytes on either side.
const MODULE_MARK_BYTES: usize = 16;

/// What is known of a Go program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildInfo {
    /// `go1.22.3`; empty if it could not be read.
    pub version: String,
    /// Main module: path and version.
    pub main: Option<(String, String)>,
    /// Modules that it is made of: path and version, replacements applied.
    pub modules: Vec<(String, String)>,
    /// Settings such as `CGO_ENABLED`, in order.
    pub settings: Vec<(String, String)>,
}

impl BuildInfo {
    /// The value of a setting.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Reads the build information of a Go program; `None` if it is none.
pub fn read(content: &dyn Content) -> io::Result<Option<BuildInfo>> {
    let Some(at) = find(content)? else { return Ok(None) };
    let blob = Blob { content, offset: at };
    let header = read_start(&blob, HEADER_BYTES as u64)?;
    if header.len() < HEADER_BYTES || header[15] & INLINE == 0 {
        return Ok(Some(BuildInfo::default()));
    }
    let text = read_start(&blob, HEADER_BYTES as u64 + 2 * TEXT_BYTES_MAX)?;
    let Some((version, rest)) = counted(&text[HEADER_BYTES..]) else {
        return Ok(Some(BuildInfo::default()));
    };
    let modules = counted(rest).map(|(modules, _)| modules).unwrap_or_default();
    let modules = match modules.len() {
        n if n >= 2 * MODULE_MARK_BYTES => &modules[MODULE_MARK_BYTES..n - MODULE_MARK_BYTES],
        _ => modules,
    };
    let mut info = parse(&String::from_utf8_lossy(modules));
    info.version = String::from_utf8_lossy(version).into_owned();
    Ok(Some(info))
}

fn parse(text: &str) -> BuildInfo {
    let mut info = BuildInfo::default();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields[..] {
            ["mod", path, version, ..] => info.main = Some((path.to_owned(), version.to_owned())),
            ["dep", path, version, ..] => info.modules.push((path.to_owned(), version.to_owned())),
            ["=>", path, version, ..] => {
                if let Some(last) = info.modules.last_mut() {
                    *last = (path.to_owned(), version.to_owned());
                }
            }
            ["build", setting, ..] => {
                if let Some((name, value)) = setting.split_once('=') {
                    info.settings.push((name.to_owned(), value.trim_matches('"').to_owned()));
                }
            }
            _ => {}
        }
    }
    info
}

/// A length as a base-128 number, and so many bytes.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length: u64 = 0;
    for (index, byte) in bytes.iter().enumerate().take(9) {
        length |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let length = usize::try_from(length).ok().filter(|n| *n as u64 <= TEXT_BYTES_MAX)?;
            return bytes[index + 1..].split_at_checked(length);
        }
    }
    None
}

fn find(content: &dyn Content) -> io::Result<Option<u64>> {
    const READ_BYTES: usize = 1 << 20;
    let whole = usize::try_from(content.size()).unwrap_or(READ_BYTES).min(READ_BYTES);
    let mut buffer = vec![0; whole + MAGIC.len()];
    let mut offset = 0;
    while offset < content.size().min(SEARCHED_BYTES_MAX) {
        let n = content.read_at(offset, &mut buffer)?;
        if n == 0 {
            break;
        }
        for found in memchr::memmem::find_iter(&buffer[..n], MAGIC) {
            let at = offset + found as u64;
            if at.is_multiple_of(16) {
                return Ok(Some(at));
            }
        }
        // Step back, so that a magic across two pieces is seen whole.
        offset += if n > READ_BYTES { READ_BYTES as u64 } else { n as u64 };
    }
    Ok(None)
}

#[derive(Debug)]
struct Blob<'a> {
    content: &'a dyn Content,
    offset: u64,
}

impl Content for Blob<'_> {
    fn size(&self) -> u64 {
        self.content.size().saturating_sub(self.offset)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.content.read_at(self.offset + offset, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(version: &str, modules: &str) -> Vec<u8> {
        let mut bytes = vec![0; 48];
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[8, INLINE]);
        bytes.resize(48 + HEADER_BYTES, 0);
        let marked = format!("0123456789abcdef{modules}fedcba9876543210");
        for text in [version, &marked] {
            let mut length = text.len();
            while length >= 0x80 {
                bytes.push((length & 0x7f) as u8 | 0x80);
                length >>= 7;
            }
            bytes.push(length as u8);
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }

    #[test]
    fn modules_and_settings() {
        let modules = "path\tx\nmod\texample.com/x\t(devel)\t\ndep\ta.b/c\tv1.0.0\th1:x=\n\
                       dep\td\tv2.0.0\n=>\td.fork\tv2.0.1\th1:y=\nbuild\tCGO_ENABLED=1\nbuild\t-ldflags=\"-s -w\"\n";
        let bytes = program("go1.22.3", modules);
        let info = read(&&bytes[..]).unwrap().unwrap();
        assert_eq!(info.version, "go1.22.3");
        assert_eq!(info.main, Some(("example.com/x".into(), "(devel)".into())));
        assert_eq!(info.modules, [("a.b/c".into(), "v1.0.0".into()), ("d.fork".into(), "v2.0.1".into())]);
        assert_eq!(info.setting("CGO_ENABLED"), Some("1"));
        assert_eq!(info.setting("-ldflags"), Some("-s -w"));
    }

    #[test]
    fn no_go_program_and_a_cut_one() {
        assert_eq!(read(&&b"\x7fELF and so on"[..]).unwrap(), None);
        let bytes = program("go1.22.3", "mod\tx\ty\n");
        for end in 48..bytes.len() {
            assert!(read(&&bytes[..end]).is_ok());
        }
    }
}
