//! Libraries that are loaded by name while the program runs: what their users say of them in notes, and where there are no
//! notes, the names that stand in them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::doubt::{family, mentions, text};
use super::finding::TRY;
use super::{Proof, Severity, Subject, shown};
use crate::elf::dlopen::{Priority, Wanted, read};
use crate::elf::library_names;
use crate::loader::{Closure, Object, Problem, Start, finds, opens};
use crate::tree::{Place, join, split};

/// Names that are shown.
const SHOWN: usize = 5;
/// How far below an object's folder a library is looked for that no loader finds, and at how many names.
const NEAR_DEPTH_MAX: usize = 2;
const NEAR_NAMES_MAX: usize = 2000;
/// Parts of the C library: what they load is their own affair.
const C_LIBRARY: [&[u8]; 6] =
    [b"libc.so", b"libdl.so", b"ld-linux", b"libpthread.so", b"ld-musl", b"libc.musl"];

impl Proof<'_> {
    pub(super) fn dlopen(&mut self, closure: &Closure, binary: &Place) -> io::Result<()> {
        let is_own = |index: usize, object: &Object| {
            // The second object is the loader.
            index != 1 && !C_LIBRARY.iter().any(|prefix| object.name().starts_with(prefix))
        };
        let (mut silent, mut literal) = (Vec::new(), Vec::new());
        for (index, object) in closure.objects.iter().enumerate().filter(|(index, o)| is_own(*index, o)) {
            if !mentions(object, "dlopen") && !mentions(object, "dlmopen") {
                continue;
            }
            let name = if index == 0 { shown(&binary.path) } else { text(object.name()) };
            let content = self.view.open(&object.place)?;
            let wanted = read(&*content)?;
            if !wanted.is_empty() {
                self.noted(closure, index, &name, &wanted)?;
                continue;
            }
            silent.push(name);
            let needed = object.elf.dynamic.iter().flat_map(|dynamic| dynamic.needed.iter());
            let known: BTreeSet<String> =
                needed.map(|name| text(name)).chain([text(object.name())]).collect();
            let names = library_names(&*content)?;
            literal.extend(names.into_iter().filter(|name| !known.contains(name)).map(|name| (index, name)));
        }
        if !silent.is_empty() {
            let named = self.literals(closure, literal)?;
            let verb = if silent.len() == 1 { "loads" } else { "load" };
            let message = format!(
                "dlopen: {} {verb} libraries by name while running; which ones, files cannot say{named}",
                silent.join(", ")
            );
            self.warning("dlopen", Subject::File(shown(&binary.path)), message).fix(TRY.0, TRY.1);
        }
        Ok(())
    }

    /// What a program says of the libraries that it loads: those that are not there.
    fn noted(&mut self, closure: &Closure, index: usize, name: &str, wanted: &[Wanted]) -> io::Result<()> {
        let names = wanted.iter().flat_map(|library| &library.soname);
        let names: Vec<(usize, &[u8])> = names.map(|name| (index, name.as_bytes())).collect();
        let mut found = self.opens(closure, &names)?.into_iter();
        for library in wanted {
            // All of them are asked for, so that the answers stay in step. The first that is there is the one that counts.
            let answers: Vec<Option<Vec<Problem>>> = found.by_ref().take(library.soname.len()).collect();
            let opened = library.soname.iter().zip(answers).find_map(|(name, answer)| Some((name, answer?)));
            let (lacks, missing) = match opened {
                Some((_, problems)) if problems.is_empty() => continue,
                Some((soname, problems)) => (Some(soname), lacking(&problems)),
                None => (None, library.soname.iter().take(1).cloned().collect()),
            };
            let severity = match library.priority {
                Priority::Suggested => Severity::Note,
                Priority::Recommended | Priority::Required => Severity::Warning,
            };
            let what = match library.feature.as_str() {
                "" => String::new(),
                feature => format!(" for {feature}"),
            };
            let message = match lacks {
                None => {
                    let one_of = library.soname.join(" or ");
                    format!("dlopen: {name} loads {one_of}{what}, and the image does not have it")
                }
                Some(soname) => format!(
                    "dlopen: {name} loads {soname}{what}, which needs {}, and the image does not have it",
                    missing.join(", ")
                ),
            };
            let fix = self.install(&missing.iter().collect::<Vec<_>>(), family(closure))?;
            let path = shown(&closure.objects[index].place.path);
            self.find("dlopen-missing", severity, Subject::File(path), message).fixes.push(fix);
        }
        Ok(())
    }

    /// Names that stand in objects as texts, those that are not there first.
    fn literals(&self, closure: &Closure, literal: Vec<(usize, String)>) -> io::Result<String> {
        let asked: Vec<(usize, &[u8])> =
            literal.iter().map(|(index, name)| (*index, name.as_bytes())).collect();
        let found = self.finds(closure, &asked)?;
        let with = |wanted: bool| -> BTreeSet<&str> {
            let names = literal.iter().zip(&found).filter(|(_, is_there)| **is_there == wanted);
            names.map(|((_, name), _)| name.as_str()).collect()
        };
        let (there, mut absent) = (with(true), with(false));
        absent.retain(|name| !there.contains(name));
        let near = self.near(closure, &literal, &absent)?;
        absent.retain(|name| !near.contains_key(name));
        let there: BTreeSet<&str> = there.into_iter().chain(near.values().map(String::as_str)).collect();
        let list = |names: &BTreeSet<&str>| {
            let shown: Vec<&str> = names.iter().copied().take(SHOWN).collect();
            let more = names.len().saturating_sub(SHOWN);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            format!("{}{more}", shown.join(", "))
        };
        Ok(match (absent.is_empty(), there.is_empty()) {
            (true, true) => String::new(),
            (true, false) => format!("; those that it names are there: {}", list(&there)),
            (false, true) => format!("; named and not there: {}", list(&absent)),
            (false, false) => format!("; named and not there: {}; there: {}", list(&absent), list(&there)),
        })
    }

    /// The paths of those of `names` that lie below the folder of an object that names them: it may build the path itself,
    /// as Java does for its virtual machine.
    fn near<'b>(
        &self,
        closure: &Closure,
        literal: &'b [(usize, String)],
        names: &BTreeSet<&'b str>,
    ) -> io::Result<BTreeMap<&'b str, String>> {
        let mut found = BTreeMap::new();
        let mut wanted: BTreeMap<&[u8], BTreeMap<&[u8], &'b str>> = BTreeMap::new();
        for (index, name) in literal.iter().filter(|(_, name)| names.contains(&name[..])) {
            let directory = split(&closure.objects[*index].place.path).0;
            wanted.entry(directory).or_default().insert(name.as_bytes(), name);
        }
        for (directory, names) in wanted {
            let (mut pending, mut seen) = (vec![(directory.to_vec(), 0)], 0);
            while let Some((path, depth)) = pending.pop() {
                for (name, is_directory) in self.image.tree.entries(&path)? {
                    seen += 1;
                    if let (Some(known), false) = (names.get(&name[..]), is_directory) {
                        found.entry(*known).or_insert_with(|| shown(&join(&path, &name)));
                    } else if is_directory && depth < NEAR_DEPTH_MAX {
                        pending.push((join(&path, &name), depth + 1));
                    }
                }
                if seen > NEAR_NAMES_MAX {
                    break;
                }
            }
        }
        Ok(found)
    }

    fn finds(&self, closure: &Closure, names: &[(usize, &[u8])]) -> io::Result<Vec<bool>> {
        match self.start_of(closure) {
            Some(start) => finds(&self.view, family(closure), &start, closure, names),
            None => Ok(vec![false; names.len()]),
        }
    }

    fn opens(&self, closure: &Closure, names: &[(usize, &[u8])]) -> io::Result<Vec<Option<Vec<Problem>>>> {
        match self.start_of(closure) {
            Some(start) => opens(&self.view, family(closure), &start, closure, names),
            None => Ok(vec![None; names.len()]),
        }
    }

    /// How the program of a closure was started.
    fn start_of<'b>(&'b self, closure: &'b Closure) -> Option<Start<'b>> {
        let [program, loader, ..] = &closure.objects[..] else { return None };
        Some(Start {
            program: &program.place,
            elf: program.elf.clone(),
            loader: (&loader.path, &loader.place),
            library_path: self.variable("LD_LIBRARY_PATH").map(str::as_bytes),
            working_directory: &self.working_directory,
            identity: &self.identity,
        })
    }
}

/// What is missing, by name; versions with the library that lacks them.
fn lacking(problems: &[Problem]) -> Vec<String> {
    let mut names: Vec<String> = problems
        .iter()
        .filter_map(|problem| match problem {
            Problem::Missing { name, .. } => Some(text(name)),
            Problem::Broken { path, .. } => Some(text(path)),
            Problem::Version { version, library, .. } => {
                Some(format!("{} of {}", text(version), text(library)))
            }
            Problem::TooMany => None,
        })
        .collect();
    names.dedup();
    names
}
