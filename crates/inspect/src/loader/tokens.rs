//! `$ORIGIN`, `$LIB` and `$PLATFORM` in search paths. Source: glibc `elf/dl-load.c`, `is_dst` and `_dl_dst_substitute`.

use crate::elf::Machine;

/// Longest expanded element that is looked at, bytes: several tokens in one element multiply.
const EXPANDED_BYTES_MAX: usize = 16 << 10;

/// What the tokens stand for, but `$ORIGIN`, which each object has its own of.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    pub(super) library: Vec<u8>,
    pub(super) platform: Option<&'static str>,
}

impl Tokens {
    /// The element with its tokens replaced; `None` if one has no value, which makes the loader drop the element.
    pub(super) fn expand(&self, element: &[u8], origin: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(element.len());
        let mut rest = element;
        while let Some(dollar) = memchr::memchr(b'$', rest) {
            out.extend_from_slice(&rest[..dollar]);
            rest = &rest[dollar + 1..];
            if let Some(after) = token(rest, b"ORIGIN") {
                out.extend_from_slice(origin);
                rest = after;
            } else if let Some(after) = token(rest, b"LIB") {
                out.extend_from_slice(&self.library);
                rest = after;
            } else if let Some(after) = token(rest, b"PLATFORM") {
                out.extend_from_slice(self.platform?.as_bytes());
                rest = after;
            } else {
                out.push(b'$');
            }
            if out.len() > EXPANDED_BYTES_MAX {
                return None;
            }
        }
        out.extend_from_slice(rest);
        Some(out)
    }
}

/// What follows `NAME` or `{NAME}`.
pub(super) fn token<'t>(text: &'t [u8], name: &[u8]) -> Option<&'t [u8]> {
    if let Some(inner) = text.strip_prefix(b"{") {
        return inner.strip_prefix(name)?.strip_prefix(b"}");
    }
    let rest = text.strip_prefix(name)?;
    let goes_on = rest.first().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    (!goes_on).then_some(rest)
}

/// Parts of a search path; an empty one means the working directory, and none at all is no part.
pub(super) fn split(path: &[u8], separators: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|byte| separators.contains(byte));
    parts.map(|part| if part.is_empty() { b".".to_vec() } else { part.to_vec() }).collect()
}

/// AT_PLATFORM, as the kernel of that machine gives it.
pub(super) fn platform(machine: Machine) -> Option<&'static str> {
    use object::elf;
    Some(match elf::Machine(machine.number) {
        elf::EM_X86_64 => "x86_64",
        elf::EM_386 => "i686",
        elf::EM_AARCH64 => "aarch64",
        elf::EM_ARM => "v7l",
        elf::EM_PPC64 => "power8",
        elf::EM_S390 => "z13",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_with_and_without_braces() {
        let tokens = Tokens { library: b"lib64".to_vec(), platform: None };
        for (element, want) in [
            ("$ORIGIN/../lib", Some("/opt/bin/../lib")),
            ("${ORIGIN}x", Some("/opt/binx")),
            ("$ORIGINAL/x", Some("$ORIGINAL/x")),
            ("/usr/$LIB", Some("/usr/lib64")),
            ("/usr/$PLATFORM", None),
            ("$", Some("$")),
            ("${ORIGIN", Some("${ORIGIN")),
        ] {
            let got = tokens.expand(element.as_bytes(), b"/opt/bin");
            assert_eq!(got.as_deref(), want.map(str::as_bytes), "{element}");
        }
        assert_eq!(tokens.expand("$ORIGIN".repeat(5000).as_bytes(), b"/opt/bin"), None);
    }
}
