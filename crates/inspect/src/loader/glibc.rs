//! glibc's search order. Source: glibc `elf/dl-load.c`, `_dl_map_object`.
//!
//! The directories that are searched in the end, and the place of the cache, are compiled into each distribution's
//! loader (Debian's multiarch directories, `lib64` elsewhere, the store path on Nix), so they are read from its bytes.
//! Variants for certain processors (`glibc-hwcaps/`) are left out: only the base file is there on every machine.

use std::io;

use super::tokens::{Tokens, split};
use super::{Found, Located, Object, Opener, Order, Start};
use crate::loader::Cache;
use crate::tree::read_start;

/// Largest loader that is looked into, bytes; real ones have 250 KiB.
const LOADER_BYTES_MAX: u64 = 16 << 20;
/// Largest cache that is read, bytes; that of a full desktop has 300 KiB.
const CACHE_BYTES_MAX: u64 = 64 << 20;
/// Longest directory that a loader may have compiled in, bytes.
const DIRECTORY_BYTES_MAX: usize = 255;

/// The search of one program.
pub(super) struct Glibc<'a> {
    opener: Opener<'a>,
    library_path: Vec<Vec<u8>>,
    cache: Option<Cache>,
    /// With trailing slashes, as compiled in.
    default_directories: Vec<Vec<u8>>,
    tokens: Tokens,
}

impl<'a> Glibc<'a> {
    pub(super) fn new(opener: Opener<'a>, start: &Start<'a>) -> io::Result<Self> {
        let (_, place) = start.loader;
        let loader = read_start(&*opener.view.open(place)?, LOADER_BYTES_MAX)?;
        let built_in = BuiltIn::of(&loader, start);
        let machine = start.elf.machine;
        let cache = opener.view.read(&built_in.cache, CACHE_BYTES_MAX)?;
        let cache = cache.and_then(|bytes| Cache::parse(&bytes, machine.is_little));
        let tokens = Tokens { library: built_in.library, platform: super::tokens::platform(machine) };
        // A set-user-ID program does not listen to the environment of whoever starts it.
        let mode = start.program.node.mode;
        let is_secure = (mode & 0o4000 != 0 && start.program.node.uid != start.identity.uid)
            || (mode & 0o2000 != 0 && start.program.node.gid != start.identity.gids[0]);
        let library_path = start.library_path.filter(|path| !is_secure && !path.is_empty());
        let origin = start.program.path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let origin = [b"/", &start.program.path[..origin]].concat();
        let library_path = library_path.map(|path| {
            let parts = split(path, b":;").into_iter();
            parts
                .filter_map(|part| tokens.expand(&part, &origin))
                .map(|part| opener.absolute(&part))
                .collect()
        });
        Ok(Self {
            opener,
            library_path: library_path.unwrap_or_default(),
            cache,
            default_directories: built_in.directories,
            tokens,
        })
    }

    /// The directories of an object's own search path.
    fn directories(&self, object: &Object, path: &[u8]) -> Vec<Vec<u8>> {
        let parts = split(path, b":").into_iter();
        let expanded = parts.filter_map(|part| self.tokens.expand(&part, object.origin()));
        expanded.map(|part| self.opener.absolute(&part)).collect()
    }

    /// DT_RPATH of the object and of whoever loaded it, up to the program. Whoever has a DT_RUNPATH has no DT_RPATH.
    fn inherited(&self, objects: &[Object], requester: usize) -> Vec<Vec<u8>> {
        let mut directories = Vec::new();
        let mut add = |object: &Object| {
            if let Some(dynamic) = object.dynamic()
                && let (Some(rpath), None) = (&dynamic.rpath, &dynamic.runpath)
            {
                directories.extend(self.directories(object, rpath));
            }
        };
        let mut at = Some(requester);
        let mut saw_program = false;
        while let Some(index) = at {
            add(&objects[index]);
            saw_program |= index == 0;
            at = objects[index].wanted_by;
        }
        if !saw_program {
            add(&objects[0]);
        }
        directories
    }

    fn in_default_directories(
        &self,
        name: &[u8],
        other: &mut Option<Vec<u8>>,
    ) -> io::Result<Option<Located>> {
        self.opener.first_in(&self.default_directories, Found::Default, name, other)
    }

    fn cached(&self, name: &[u8], no_default_directories: bool) -> Option<&[u8]> {
        let path = self.cache.as_ref()?.library(name, self.opener.machine)?;
        let is_default = self.default_directories.iter().any(|directory| path.starts_with(directory));
        (!(no_default_directories && is_default)).then_some(path)
    }
}

impl Order for Glibc<'_> {
    fn locate(&self, objects: &[Object], requester: usize, name: &[u8]) -> io::Result<Located> {
        let object = &objects[requester];
        let mut other = None;
        let missing = |other_machine| Ok(Located::Missing { other_machine });
        let Some(name) = self.tokens.expand(name, object.origin()) else { return missing(None) };
        if name.contains(&b'/') {
            let path = self.opener.absolute(&name);
            return match self.opener.at(&path, Found::ByPath, &mut other)? {
                Some(found) => Ok(found),
                None => missing(other),
            };
        }
        let Some(dynamic) = object.dynamic() else { return missing(None) };
        let environment = (Found::Environment, self.library_path.clone());
        let groups = match &dynamic.runpath {
            None => [(Found::OwnPath, self.inherited(objects, requester)), environment],
            Some(path) => [environment, (Found::OwnPath, self.directories(object, path))],
        };
        for (how, directories) in &groups {
            if let Some(found) = self.opener.first_in(directories, *how, &name, &mut other)? {
                return Ok(found);
            }
        }
        if let Some(path) = self.cached(&name, dynamic.no_default_directories)
            && let Some(found) = self.opener.at(path, Found::Cache, &mut other)?
        {
            return Ok(found);
        }
        if !dynamic.no_default_directories
            && let Some(found) = self.in_default_directories(&name, &mut other)?
        {
            return Ok(found);
        }
        missing(other)
    }

    fn default_directories(&self) -> &[Vec<u8>] {
        &self.default_directories
    }
}

/// What a distribution compiled into its loader.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BuiltIn {
    directories: Vec<Vec<u8>>,
    cache: Vec<u8>,
    /// `$LIB`.
    library: Vec<u8>,
}

impl BuiltIn {
    fn of(loader: &[u8], start: &Start<'_>) -> Self {
        let directories = directories(loader).unwrap_or_else(|| {
            let names: &[&[u8]] = if start.elf.machine.is_64 {
                &[b"/lib64/", b"/usr/lib64/", b"/lib/", b"/usr/lib/"]
            } else {
                &[b"/lib/", b"/usr/lib/"]
            };
            names.iter().map(|name| name.to_vec()).collect()
        });
        let cache = strings(loader).find(|text| text.starts_with(b"/") && text.ends_with(b"/ld.so.cache"));
        let first = directories.first().map_or(&b"/lib/"[..], |first| first);
        let library = if first.starts_with(b"/lib") { without_outer_slashes(first) } else { b"lib".to_vec() };
        Self { cache: cache.unwrap_or(b"/etc/ld.so.cache").to_vec(), directories, library }
    }
}

fn without_outer_slashes(path: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    parts.join(&b'/')
}

fn strings(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == 0)
}

/// `system_dirs`: strings that follow each other, each an absolute directory with a slash at its end.
fn directories(loader: &[u8]) -> Option<Vec<Vec<u8>>> {
    let is_directory = |text: &[u8]| {
        (5..=DIRECTORY_BYTES_MAX).contains(&text.len())
            && text.starts_with(b"/")
            && text.ends_with(b"/")
            && text.windows(4).any(|part| part == b"/lib")
            && text.iter().all(u8::is_ascii_graphic)
    };
    let mut run: Vec<Vec<u8>> = Vec::new();
    for text in strings(loader) {
        if is_directory(text) {
            run.push(text.to_vec());
        } else if !run.is_empty() {
            break;
        }
    }
    (!run.is_empty()).then_some(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_a_loader() {
        let debian =
            b"x\0/var/tmp\0/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0\0/lib/\0";
        let found = directories(debian).unwrap();
        assert_eq!(found.len(), 4);
        assert_eq!(without_outer_slashes(&found[0]), b"lib/x86_64-linux-gnu");
        assert_eq!(directories(b"nothing\0here\0/etc/\0"), None);
    }
}
