//! musl's search order. Source: musl `ldso/dynlink.c`, `load_library` and `fixup_rpath`.
//!
//! There is no cache, versions of symbols do not count, and the loader itself is the C library with all its parts.

use std::io;

use super::tokens::token;
use super::{Found, Located, Object, Opener, Order, Start};

/// What is searched if `/etc/ld-musl-ARCH.path` is not there.
const DEFAULT_PATH: &[u8] = b"/lib:/usr/local/lib:/usr/lib";
/// Largest such file that is read, bytes.
const PATH_FILE_BYTES_MAX: u64 = 64 << 10;
/// Names behind `lib` that the loader stands in for.
const RESERVED: [&[u8]; 7] = [b"c", b"pthread", b"rt", b"m", b"dl", b"util", b"xnet"];

/// The search of one program.
pub(super) struct Musl<'a> {
    opener: Opener<'a>,
    library_path: Vec<Vec<u8>>,
    system_path: Vec<Vec<u8>>,
}

impl<'a> Musl<'a> {
    pub(super) fn new(opener: Opener<'a>, start: &Start<'a>) -> io::Result<Self> {
        let (name, _) = start.loader;
        let system = opener.view.read(&path_file(name), PATH_FILE_BYTES_MAX)?;
        let system = system.unwrap_or_else(|| DEFAULT_PATH.to_vec());
        let mode = start.program.node.mode;
        let is_secure = (mode & 0o4000 != 0 && start.program.node.uid != start.identity.uid)
            || (mode & 0o2000 != 0 && start.program.node.gid != start.identity.gids[0]);
        let library_path = start.library_path.filter(|_| !is_secure).unwrap_or_default();
        let absolute = |path: &[u8]| split(path).iter().map(|part| opener.absolute(part)).collect();
        Ok(Self { opener, library_path: absolute(library_path), system_path: absolute(&system) })
    }

    /// The object's search path; `None` if it has a token that musl does not know, which ends the search.
    fn own_path(&self, object: &Object) -> Option<Vec<Vec<u8>>> {
        let Some(dynamic) = object.dynamic() else { return Some(Vec::new()) };
        let Some(path) = dynamic.runpath.as_ref().or(dynamic.rpath.as_ref()) else { return Some(Vec::new()) };
        let mut out = Vec::new();
        let mut rest = &path[..];
        while let Some(dollar) = memchr::memchr(b'$', rest) {
            out.extend_from_slice(&rest[..dollar]);
            out.extend_from_slice(object.origin());
            // musl takes `$ORIGIN` and `${ORIGIN}` and gives the whole path up for anything else.
            let Some(after) = token(&rest[dollar + 1..], b"ORIGIN") else { return Some(Vec::new()) };
            if out.len() > path.len() + (1 << 16) {
                return None;
            }
            rest = after;
        }
        out.extend_from_slice(rest);
        Some(split(&out).iter().map(|part| self.opener.absolute(part)).collect())
    }
}

impl Order for Musl<'_> {
    fn locate(&self, objects: &[Object], requester: usize, name: &[u8]) -> io::Result<Located> {
        let mut other = None;
        if name.contains(&b'/') {
            return Ok(match self.opener.at(&self.opener.absolute(name), Found::ByPath, &mut other)? {
                Some(found) => found,
                None => Located::Missing { other_machine: other },
            });
        }
        if is_reserved(name) {
            return Ok(Located::Loader);
        }
        let mut groups = vec![(Found::Environment, self.library_path.clone())];
        let mut at = Some(requester);
        let mut inhibited = false;
        while let Some(index) = at {
            match self.own_path(&objects[index]) {
                Some(directories) => groups.push((Found::OwnPath, directories)),
                None => {
                    inhibited = true;
                    break;
                }
            }
            at = objects[index].wanted_by;
        }
        if !inhibited {
            groups.push((Found::Default, self.system_path.clone()));
        }
        for (how, directories) in &groups {
            if let Some(found) = self.opener.first_in(directories, *how, name, &mut other)? {
                return Ok(found);
            }
        }
        Ok(Located::Missing { other_machine: other })
    }

    fn default_directories(&self) -> &[Vec<u8>] {
        &self.system_path
    }
}

/// `libc.so.6`, `libpthread.so.0`, `libc.musl-x86_64.so.1`: all of it is the loader.
fn is_reserved(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(b"lib") else { return false };
    let Some(dot) = memchr::memchr(b'.', rest) else { return false };
    RESERVED.contains(&&rest[..dot])
}

/// `/etc/ld-musl-x86_64.path` for `/lib/ld-musl-x86_64.so.1`; a loader elsewhere has its own beside it.
fn path_file(loader: &[u8]) -> Vec<u8> {
    let slash = loader.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let (directory, name) = loader.split_at(slash);
    let prefix = &directory[..directory.iter().rposition(|byte| *byte == b'/').unwrap_or(0)];
    let name = name.strip_prefix(b"/").unwrap_or(name);
    let stem = &name[..memchr::memmem::find(name, b".so").unwrap_or(name.len())];
    [prefix, b"/etc/", stem, b".path"].concat()
}

/// Separators are colons and line ends; empty parts do not count.
fn split(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|byte| matches!(byte, b':' | b'\n'));
    parts.filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_the_loader() {
        for name in ["libc.so", "libc.so.6", "libpthread.so.0", "libc.musl-x86_64.so.1", "libm.so.6"] {
            assert!(is_reserved(name.as_bytes()), "{name}");
        }
        for name in ["libcrypto.so.3", "libmagic.so.1", "libc++.so.1", "c.so", "libc"] {
            assert!(!is_reserved(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn where_the_path_file_lies() {
        assert_eq!(path_file(b"/lib/ld-musl-x86_64.so.1"), b"/etc/ld-musl-x86_64.path");
        assert_eq!(path_file(b"/opt/m/lib/ld-musl-armhf.so.1"), b"/opt/m/etc/ld-musl-armhf.path");
        assert_eq!(path_file(b"ld-musl"), b"/etc/ld-musl.path");
    }
}
