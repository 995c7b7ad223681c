//! What a program loads: its loader, the closure of its libraries, and what those load by name.
//!
//! A library that loads others by name is kept with everything loadable of its package, and with what its texts name;
//! whatever a package splits up, it keeps together. A program that does so itself is refused: what it loads may be
//! anything.

use std::collections::BTreeSet;

use jettison_inspect::Identity;
use jettison_inspect::View;
use jettison_inspect::loader::{Closure, Family, Found, Object, Problem, Start, closure};
use jettison_inspect::tree::{Place, read_start};

use crate::program::Started;
use crate::{Error, Item, Refusal, Subject, packages, shown};

/// The C library's own parts: they load by name too, but only what `data.rs` knows of.
const OF_C_LIBRARY: [&[u8]; 6] =
    [b"libc.so", b"libdl.so", b"ld-linux", b"libpthread.so", b"ld-musl", b"libc.musl"];
/// Bytes of a library that are searched for names of others.
const SEARCHED_BYTES_MAX: u64 = 64 << 20;
/// Most libraries of one package that are looked at.
const PACKAGE_LIBRARIES_MAX: usize = 256;

/// What a program loads.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) items: Vec<Item>,
    pub(crate) default_directories: Vec<Vec<u8>>,
}

/// Everything that `started` loads.
pub(crate) fn of(subject: &Subject<'_>, view: &View<'_>, started: &Started) -> Result<Loaded, Error> {
    let Some(loader) = started.elf.interpreter.as_deref() else { return Ok(Loaded::default()) };
    let unknown = || Refusal::new(format!("the loader {} is not known here", shown(loader)));
    let family = Family::of(loader).ok_or_else(unknown)?;
    let loader_place = view.file(loader)?.ok_or_else(unknown)?;
    let own = Search { subject, view, loader: (loader, &loader_place), family };
    let closure = own.closure(&started.place)?;
    if let Some(problem) = closure.problems.first() {
        return Err(
            Refusal::new(format!("its libraries are not complete as it is: {}", text_of(problem))).into()
        );
    }
    let mut loaded = Loaded { items: Vec::new(), default_directories: closure.default_directories.clone() };
    let mut seen = BTreeSet::new();
    add(&closure, &mut seen, &mut loaded.items);
    own.add_loaded_by_name(&closure, &mut seen, &mut loaded.items)?;
    Ok(loaded)
}

fn text_of(problem: &Problem) -> String {
    match problem {
        Problem::Missing { name, wanted_by, .. } => {
            format!("{} needs {}, which is not there", shown(wanted_by), shown(name))
        }
        Problem::Broken { path, reason, .. } => format!("{} is {reason}", shown(path)),
        Problem::Version { version, library, wanted_by } => {
            format!("{} wants {} of {}", shown(wanted_by), shown(version), shown(library))
        }
        Problem::TooMany => "there are too many".to_owned(),
    }
}

struct Search<'a> {
    subject: &'a Subject<'a>,
    view: &'a View<'a>,
    loader: (&'a [u8], &'a Place),
    family: Family,
}

impl Search<'_> {
    fn closure(&self, place: &Place) -> Result<Closure, Error> {
        let elf = self.view.elf(place)?.map_err(|e| Refusal::new(format!("{}: {e}", shown(&place.path))))?;
        let config = self.subject.config;
        let start = Start {
            program: place,
            elf,
            loader: self.loader,
            library_path: config.env_value("LD_LIBRARY_PATH").map(str::as_bytes),
            working_directory: if config.working_dir.is_empty() {
                b"/"
            } else {
                config.working_dir.as_bytes()
            },
            identity: &Identity::root(),
        };
        Ok(closure(self.view, self.family, &start)?)
    }

    fn add_loaded_by_name(
        &self,
        closure: &Closure,
        seen: &mut BTreeSet<Vec<u8>>,
        items: &mut Vec<Item>,
    ) -> Result<(), Error> {
        let owners = packages::Owners::default();
        for (index, object) in closure.objects.iter().enumerate() {
            let is_own = index == 1 || OF_C_LIBRARY.iter().any(|name| object.name().starts_with(name));
            let dynamic = object.elf.dynamic.as_ref();
            if is_own || !dynamic.is_some_and(|d| d.mentions("dlopen") || d.mentions("dlmopen")) {
                continue;
            }
            let package = if index == 0 { None } else { owners.of(self.view, &object.path)? };
            let Some(package) = package else {
                if self.subject.keep.is_empty() {
                    let reason = format!(
                        "{} loads libraries by name while running (dlopen): which ones, files cannot say",
                        name_of(object)
                    );
                    return Err(Refusal::new(reason)
                        .hint("name them with --keep PATH, and those that they need")
                        .into());
                }
                continue;
            };
            let by = name_of(object);
            let mut found = Vec::new();
            for path in owners.files_of(self.view, &package)? {
                if is_library_name(&path) && found.len() < PACKAGE_LIBRARIES_MAX {
                    found
                        .push((path, format!("Part of {package}: {by} loads parts of its package by name.")));
                }
            }
            for name in self.names_in(object)? {
                for directory in &closure.default_directories {
                    let path = [&directory[..], b"/", &name[..]].concat();
                    if self.view.file(&path)?.is_some() {
                        found.push((path, format!("{by} names it and may load it.")));
                        break;
                    }
                }
            }
            for (path, why) in found {
                self.add_one(&path, why, seen, items)?;
            }
        }
        Ok(())
    }

    /// One library with all that it needs.
    fn add_one(
        &self,
        path: &[u8],
        why: String,
        seen: &mut BTreeSet<Vec<u8>>,
        items: &mut Vec<Item>,
    ) -> Result<(), Error> {
        let item = Item::same(path, why);
        let Some(place) = self.view.file(&item.source)? else { return Ok(()) };
        if !matches!(self.view.elf(&place)?, Ok(elf) if elf.is_loadable) {
            return Ok(());
        }
        // A package lists a library under its full version, the closure has it under the name that is asked for.
        let is_there = items.iter().any(|known| {
            self.view.file(&known.source).ok().flatten().is_some_and(|known| known.path == place.path)
        });
        if !is_there && seen.insert(item.destination.clone()) {
            items.push(item);
        }
        let closure = self.closure(&place)?;
        add(&closure, seen, items);
        Ok(())
    }

    /// Names such as `libz.so.1` in the texts of a library.
    fn names_in(&self, object: &Object) -> Result<BTreeSet<Vec<u8>>, Error> {
        let bytes = read_start(&*self.view.open(&object.place)?, SEARCHED_BYTES_MAX)?;
        let mut names = BTreeSet::new();
        for at in memchr::memmem::find_iter(&bytes, b".so") {
            let is_part = |b: &u8| b.is_ascii_alphanumeric() || b"._+-".contains(b);
            let start = bytes[..at].iter().rposition(|b| !is_part(b)).map_or(0, |p| p + 1);
            let end = bytes[at..].iter().position(|b| !is_part(b)).map_or(bytes.len(), |p| at + p);
            if bytes[start..end].starts_with(b"lib") && is_library_name(&bytes[start..end]) {
                names.insert(bytes[start..end].to_vec());
            }
        }
        Ok(names)
    }
}

/// Items for the objects of a closure, but its first.
fn add(closure: &Closure, seen: &mut BTreeSet<Vec<u8>>, items: &mut Vec<Item>) {
    for (index, object) in closure.objects.iter().enumerate().skip(1) {
        let destination = closure.destination(object);
        if !seen.insert(destination.clone()) {
            continue;
        }
        let by = closure.wanted_by(object).map(name_of);
        let why = match by {
            _ if index == 1 => "The loader: the kernel starts it, and it starts the program.".to_owned(),
            Some(by) if object.found == Found::Cache && destination != object.path => format!(
                "{} needs it. It lay in {}, which only a cache knew that stays behind.",
                by,
                shown(&object.path)
            ),
            Some(by) => format!("{by} needs it."),
            None => "A library.".to_owned(),
        };
        let mut item = Item::same(&object.path, why);
        item.destination = Item::same(&destination, "").destination;
        items.push(item);
    }
}
fn name_of(object: &Object) -> String {
    let slash = object.path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    shown(&object.path[slash..])
}

/// `libz.so`, `libz.so.1`, `legacy.so`
pub(crate) fn is_library_name(path: &[u8]) -> bool {
    let name = path.rsplit(|b| *b == b'/').next().unwrap_or(path);
    match memchr::memmem::rfind(name, b".so") {
        Some(at) => name[at + 3..].iter().all(|b| b.is_ascii_digit() || *b == b'.'),
        None => false,
    }
}
