//! Libraries that are loaded by name while the program runs: what their users say of them in notes, and where there are no
//! notes, the names that stand in them.

use std::collections::BTreeSet;
use std::io;

use super::doubt::{family, mentions, text};
use super::{Proof, Severity, Subject, shown};
use crate::elf::dlopen::{Priority, Wanted, read};
use crate::elf::library_names;
use crate::loader::{Closure, Object, Problem, Start, finds, opens};
use crate::tree::Place;

/// Names that are shown.
const SHOWN: usize = 5;
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
            self.warning("dlopen", Subject::File(shown(&binary.path)), message)
                .fix("try it", "jettison verify --run IMAGE");
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
