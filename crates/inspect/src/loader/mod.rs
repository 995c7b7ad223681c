//! Finding shared libraries as the loader in the image would, without running it.
//!
//! The loader is chosen by the name that the program gives (PT_INTERP): `glibc.rs` and `musl.rs` each have one search
//! order, `cache.rs` reads glibc's `ld.so.cache`, `tokens.rs` expands `$ORIGIN` and its kin. Here is what both share:
//! breadth first over what is needed, each object once.

mod cache;
mod glibc;
mod musl;
mod tokens;

use std::io;
use std::rc::Rc;

use crate::elf::{Dynamic, Elf, Machine};
use crate::proof::cleaned;
use crate::tree::{Identity, Place, View, Walk};

pub use cache::Cache;

/// Most objects of one program; a large desktop application has 300.
const OBJECTS_MAX: usize = 4096;
/// Most places of a search path that are tried.
const DIRECTORIES_MAX: usize = 1024;

/// Whose rules hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// The GNU C library.
    Glibc,
    /// musl.
    Musl,
}

impl Family {
    /// The family of a loader by its file name: `ld-linux-x86-64.so.2`, `ld64.so.2`, `ld-musl-aarch64.so.1`.
    pub fn of(loader: &[u8]) -> Option<Self> {
        let name = loader.rsplit(|byte| *byte == b'/').next().unwrap_or(loader);
        if name.starts_with(b"ld-musl") {
            return Some(Self::Musl);
        }
        let is_glibc = [&b"ld-linux"[..], b"ld64.so", b"ld.so", b"ld-2.", b"ld64-"];
        is_glibc.iter().any(|prefix| name.starts_with(prefix)).then_some(Self::Glibc)
    }
}

/// How a program is started, as far as its loader cares.
#[derive(Clone, Debug)]
pub struct Start<'a> {
    /// The program as the kernel opens it: an absolute path without links.
    pub program: &'a Place,
    /// Its headers.
    pub elf: Rc<Elf>,
    /// The loader: the path in PT_INTERP, and what is there.
    pub loader: (&'a [u8], &'a Place),
    /// `LD_LIBRARY_PATH`, if it is set.
    pub library_path: Option<&'a [u8]>,
    /// Absolute working directory.
    pub working_directory: &'a [u8],
    /// Who runs it.
    pub identity: &'a Identity,
}

/// By which rule a library was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is the program, the loader, or was asked for by its path.
    ByPath,
    /// In a search path of an object: DT_RPATH, DT_RUNPATH.
    OwnPath,
    /// In `LD_LIBRARY_PATH`.
    Environment,
    /// In `ld.so.cache`.
    Cache,
    /// In a directory that the loader always searches.
    Default,
}

/// A program or library that would be loaded.
#[derive(Clone, Debug)]
pub struct Object {
    /// The path under which the loader opens it.
    pub path: Vec<u8>,
    /// Where that leads.
    pub place: Place,
    /// Its headers.
    pub elf: Rc<Elf>,
    /// By which rule it was found.
    pub found: Found,
    /// What others may call it: the names it was asked for by, its DT_SONAME.
    names: Vec<Vec<u8>>,
    /// Index of the object that asked for it first.
    wanted_by: Option<usize>,
}

impl Object {
    fn dynamic(&self) -> Option<&Dynamic> {
        self.elf.dynamic.as_ref()
    }

    /// The directory that `$ORIGIN` stands for.
    fn origin(&self) -> &[u8] {
        let slash = self.path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        if slash == 0 { b"/" } else { &self.path[..slash] }
    }

    /// The name under which it was asked for first.
    pub fn name(&self) -> &[u8] {
        self.names.first().map_or(&self.path, |name| name)
    }
}

/// Something that keeps the loader from finishing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A library is nowhere.
    Missing {
        /// Its name.
        name: Vec<u8>,
        /// Path of the object that needs it.
        wanted_by: Vec<u8>,
        /// A file of that name that was passed over because it is for another machine.
        other_machine: Option<Vec<u8>>,
    },
    /// The file that the loader would take is no library.
    Broken {
        /// Its path.
        path: Vec<u8>,
        /// Path of the object that needs it.
        wanted_by: Vec<u8>,
        /// What is wrong with it.
        reason: String,
    },
    /// A library has not the version of its symbols that is needed.
    Version {
        /// The version: `GLIBC_2.34`.
        version: Vec<u8>,
        /// Path of the library that lacks it.
        library: Vec<u8>,
        /// Path of the object that needs it.
        wanted_by: Vec<u8>,
    },
    /// More objects than any program has.
    TooMany,
}

/// Everything that would be loaded.
#[derive(Clone, Debug, Default)]
pub struct Closure {
    /// The program, its loader, then libraries in the order of loading.
    pub objects: Vec<Object>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// The directories that this loader always searches.
    pub default_directories: Vec<Vec<u8>>,
}

impl Closure {
    /// Where a library has to lie to be found in an image that has no `ld.so.cache`: where it was, unless only the
    /// cache knew that place.
    pub fn destination(&self, object: &Object) -> Vec<u8> {
        let slash = object.path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let (directory, name) = (cleaned(&object.path[..slash]), &object.path[slash..]);
        let is_default = self.default_directories.iter().any(|default| cleaned(default) == directory);
        match self.default_directories.first() {
            Some(first) if object.found == Found::Cache && !is_default => {
                [&b"/"[..], &cleaned(first), name].concat()
            }
            _ => object.path.clone(),
        }
    }

    /// The object that asked for this one first; `None` for the program and its loader.
    pub fn wanted_by(&self, object: &Object) -> Option<&Object> {
        self.objects.get(object.wanted_by?)
    }
}

/// The answer of a search.
enum Located {
    Found(Found, Vec<u8>, Place, Rc<Elf>),
    /// The loader itself stands in for it.
    Loader,
    Missing {
        other_machine: Option<Vec<u8>>,
    },
    Broken {
        path: Vec<u8>,
        reason: String,
    },
}

/// Where a name of DT_NEEDED leads.
trait Order {
    fn locate(&self, objects: &[Object], requester: usize, name: &[u8]) -> io::Result<Located>;

    fn default_directories(&self) -> &[Vec<u8>];
}

/// For each of `names`, wanted by the object with that index of a closure of `start`, whether the loader finds it: what
/// dlopen would do.
pub fn finds(
    view: &View<'_>,
    family: Family,
    start: &Start<'_>,
    closure: &Closure,
    names: &[(usize, &[u8])],
) -> io::Result<Vec<bool>> {
    let order = order(view, family, start)?;
    let is_found = |(requester, name): &(usize, &[u8])| {
        let is_loaded = closure.objects.iter().any(|object| object.names.iter().any(|known| known == name));
        let located = || order.locate(&closure.objects, *requester, name);
        Ok(is_loaded || matches!(located()?, Located::Found(..) | Located::Loader))
    };
    names.iter().map(is_found).collect()
}

/// For each of `names` as in [`finds`]: what keeps dlopen from loading it with all that it needs; `None` if it is not even
/// found.
pub fn opens(
    view: &View<'_>,
    family: Family,
    start: &Start<'_>,
    closure: &Closure,
    names: &[(usize, &[u8])],
) -> io::Result<Vec<Option<Vec<Problem>>>> {
    let order = order(view, family, start)?;
    let mut answers = Vec::new();
    for (requester, name) in names {
        let mut search = Search { objects: closure.objects.clone(), problems: Vec::new() };
        search.need(&*order, *requester, name)?;
        let is_found = search.problems.is_empty();
        search.run(&*order, closure.objects.len())?;
        if family == Family::Glibc {
            search.check_versions();
        }
        search.problems.retain(|problem| !closure.problems.contains(problem));
        answers.push(is_found.then_some(search.problems));
    }
    Ok(answers)
}

fn order<'a>(view: &'a View<'a>, family: Family, start: &Start<'a>) -> io::Result<Box<dyn Order + 'a>> {
    let opener = Opener {
        view,
        identity: start.identity,
        machine: start.elf.machine,
        working_directory: start.working_directory,
    };
    Ok(match family {
        Family::Glibc => Box::new(glibc::Glibc::new(opener, start)?),
        Family::Musl => Box::new(musl::Musl::new(opener, start)?),
    })
}

/// Works out what the loader would load for `start`.
pub fn closure(view: &View<'_>, family: Family, start: &Start<'_>) -> io::Result<Closure> {
    let (name, place) = start.loader;
    let Ok(loader) = view.elf(place)? else {
        return Ok(Closure::default());
    };
    let order = order(view, family, start)?;
    let object = |path: &[u8], place: &Place, elf: &Rc<Elf>| {
        let soname = elf.dynamic.as_ref().and_then(|dynamic| dynamic.soname.clone());
        Object {
            path: path.to_vec(),
            place: place.clone(),
            elf: Rc::clone(elf),
            found: Found::ByPath,
            names: soname.into_iter().collect(),
            wanted_by: None,
        }
    };
    let program = [b"/", &start.program.path[..]].concat();
    let mut search = Search {
        objects: vec![object(&program, start.program, &start.elf), object(name, place, &loader)],
        problems: Vec::new(),
    };
    search.objects[1].names.insert(0, name.to_vec());
    search.run(&*order, 0)?;
    if family == Family::Glibc {
        search.check_versions();
    }
    Ok(Closure {
        objects: search.objects,
        problems: search.problems,
        default_directories: order.default_directories().to_vec(),
    })
}

struct Search {
    objects: Vec<Object>,
    problems: Vec<Problem>,
}

impl Search {
    /// Follows what the objects need, from the one with this index on.
    fn run(&mut self, order: &dyn Order, first: usize) -> io::Result<()> {
        let mut next = first;
        while next < self.objects.len() {
            let needed =
                self.objects[next].dynamic().map(|dynamic| dynamic.needed.clone()).unwrap_or_default();
            for name in needed {
                if self.objects.len() >= OBJECTS_MAX {
                    self.problems.push(Problem::TooMany);
                    return Ok(());
                }
                self.need(order, next, &name)?;
            }
            next += 1;
        }
        Ok(())
    }

    fn need(&mut self, order: &dyn Order, requester: usize, name: &[u8]) -> io::Result<()> {
        let known = |object: &&mut Object| object.path == name || object.names.iter().any(|n| n == name);
        if self.objects.iter_mut().find(known).is_some() {
            return Ok(());
        }
        let wanted_by = self.objects[requester].path.clone();
        match order.locate(&self.objects, requester, name)? {
            Located::Loader => {}
            Located::Found(found, path, place, elf) => {
                if let Some(same) = self.objects.iter_mut().find(|object| object.place.path == place.path) {
                    same.names.push(name.to_vec());
                    return Ok(());
                }
                let soname = elf.dynamic.as_ref().and_then(|dynamic| dynamic.soname.clone());
                let names = [Some(name.to_vec()), soname].into_iter().flatten().collect();
                self.objects.push(Object { path, place, elf, found, names, wanted_by: Some(requester) });
            }
            Located::Missing { other_machine } => {
                let missing = |p: &Problem| matches!(p, Problem::Missing { name: n, .. } if n == name);
                if !self.problems.iter().any(missing) {
                    self.problems.push(Problem::Missing { name: name.to_vec(), wanted_by, other_machine });
                }
            }
            Located::Broken { path, reason } => {
                self.problems.push(Problem::Broken { path, wanted_by, reason });
            }
        }
        Ok(())
    }

    /// Source: glibc `elf/dl-version.c`. A library without any versions is taken as it is.
    fn check_versions(&mut self) {
        for object in &self.objects {
            for need in object.dynamic().map(|dynamic| &dynamic.needs[..]).unwrap_or_default() {
                let provider = self.objects.iter().find(|o| o.names.contains(&need.file));
                let Some(provider) = provider else { continue };
                let Some(defined) = provider.dynamic().and_then(|dynamic| dynamic.defines.as_ref()) else {
                    continue;
                };
                if !need.is_weak && !defined.contains(&need.version) {
                    self.problems.push(Problem::Version {
                        version: need.version.clone(),
                        library: provider.path.clone(),
                        wanted_by: object.path.clone(),
                    });
                }
            }
        }
    }
}

/// Opens candidates as the loader does.
#[derive(Clone, Copy)]
struct Opener<'a> {
    view: &'a View<'a>,
    identity: &'a Identity,
    machine: Machine,
    working_directory: &'a [u8],
}

enum Candidate {
    Absent,
    OtherMachine,
    Broken(String),
    Good(Place, Rc<Elf>),
}

impl Opener<'_> {
    fn absolute(&self, path: &[u8]) -> Vec<u8> {
        if path.starts_with(b"/") { path.to_vec() } else { [self.working_directory, b"/", path].concat() }
    }

    fn open(&self, path: &[u8]) -> io::Result<Candidate> {
        let Walk::Found(place) = self.view.walk(path, self.identity)? else { return Ok(Candidate::Absent) };
        if !place.node.is_file() || !self.identity.may_read(&place.node) {
            return Ok(Candidate::Absent);
        }
        Ok(match self.view.elf(&place)? {
            Ok(elf) if !elf.machine.loads_with(&self.machine) => Candidate::OtherMachine,
            Ok(elf) if !elf.is_loadable => Candidate::Broken("an ELF file that is no library".to_owned()),
            Ok(elf) => Candidate::Good(place, elf),
            Err(error) => Candidate::Broken(error.to_string()),
        })
    }

    /// The first of `directories` that has `name`. Notes a file for another machine in `other`.
    fn first_in(
        &self,
        directories: &[Vec<u8>],
        found: Found,
        name: &[u8],
        other: &mut Option<Vec<u8>>,
    ) -> io::Result<Option<Located>> {
        for directory in directories.iter().take(DIRECTORIES_MAX) {
            let directory = match directory.iter().rposition(|byte| *byte != b'/') {
                Some(last) => &directory[..=last],
                None => b"",
            };
            let path = [directory, b"/", name].concat();
            if let Some(found) = self.at(&path, found, other)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn at(&self, path: &[u8], found: Found, other: &mut Option<Vec<u8>>) -> io::Result<Option<Located>> {
        Ok(match self.open(path)? {
            Candidate::Absent => None,
            Candidate::OtherMachine => {
                other.get_or_insert(path.to_vec());
                None
            }
            Candidate::Broken(reason) => Some(Located::Broken { path: path.to_vec(), reason }),
            Candidate::Good(place, elf) => Some(Located::Found(found, path.to_vec(), place, elf)),
        })
    }
}
