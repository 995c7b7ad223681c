//! ELF programs: for the right machine, with their loader, their libraries, and the versions of symbols they want.

use std::collections::BTreeMap;
use std::io;

use jettison_oci::Platform;
use object::elf;

use super::finding::TRY;
use super::permission::Use;
use super::{Program, Proof, Subject, shown, words};
use crate::elf::{Elf, Machine};
use crate::loader::{Closure, Family, Problem, Start, closure};
use crate::tree::{Place, Walk};

/// How well a file fits a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Yes,
    /// Most kernels of that machine run it too.
    Perhaps,
    No,
}

/// Architectures in Go's words with their ELF machine, 64 bits, little-endian. Source: Go `debug/elf`, `go tool dist`.
const MACHINES: &[(&str, elf::Machine, bool, bool)] = &[
    ("amd64", elf::EM_X86_64, true, true),
    ("386", elf::EM_386, false, true),
    ("arm64", elf::EM_AARCH64, true, true),
    ("arm", elf::EM_ARM, false, true),
    ("ppc64le", elf::EM_PPC64, true, true),
    ("ppc64", elf::EM_PPC64, true, false),
    ("s390x", elf::EM_S390, true, false),
    ("riscv64", elf::EM_RISCV, true, true),
    ("loong64", elf::EM_LOONGARCH, true, true),
    ("mips64le", elf::EM_MIPS, true, true),
    ("mips64", elf::EM_MIPS, true, false),
    ("mipsle", elf::EM_MIPS, false, true),
    ("mips", elf::EM_MIPS, false, false),
];

fn fit(machine: Machine, platform: &Platform) -> Fit {
    let architecture = platform.architecture.as_str();
    let Some((_, number, is_64, is_little)) = MACHINES.iter().find(|(name, ..)| *name == architecture) else {
        return Fit::Perhaps;
    };
    if (machine.number, machine.is_64, machine.is_little) == (number.0, *is_64, *is_little) {
        return Fit::Yes;
    }
    match (architecture, elf::Machine(machine.number)) {
        ("amd64", elf::EM_386) | ("arm64", elf::EM_ARM) if machine.is_little => Fit::Perhaps,
        // The x32 ABI.
        ("amd64", elf::EM_X86_64) => Fit::Perhaps,
        _ => Fit::No,
    }
}

/// The architecture that a file is for, in Go's words.
fn architecture(machine: Machine) -> String {
    let same = |(_, number, is_64, is_little): &&(&str, elf::Machine, bool, bool)| {
        (machine.number, machine.is_64, machine.is_little) == (number.0, *is_64, *is_little)
    };
    let known = MACHINES.iter().find(same).map(|(name, ..)| (*name).to_owned());
    known.unwrap_or_else(|| format!("ELF machine {}", machine.number))
}

impl Proof<'_> {
    /// A file that begins as an ELF file.
    pub(super) fn binary(&mut self, place: &Place) -> io::Result<Program> {
        let path = shown(&place.path);
        let subject = Subject::File(path.clone());
        let program = |kind: String, closure| Program {
            place: place.clone(),
            kind,
            closure,
            binary: Some(place.clone()),
        };
        let elf = match self.view.elf(place)? {
            Ok(elf) => elf,
            Err(error) => {
                self.error("elf-damaged", subject, format!("{path}: {error}"))
                    .fix("make it again", "jettison build --no-cache .");
                return Ok(program("damaged".to_owned(), None));
            }
        };
        if !elf.is_loadable {
            self.error(
                "not-a-program",
                subject,
                format!("{path} is an ELF file, but no program (an object file?)"),
            )
            .fix("link it into a program", format!("RUN cc {path} -o /program"));
            return Ok(program("no program".to_owned(), None));
        }
        self.machine(&path, elf.machine);
        let Some(loader) = &elf.interpreter else {
            if elf.dynamic.as_ref().is_some_and(|dynamic| !dynamic.needed.is_empty()) {
                let message =
                    format!("{path} needs libraries but names no loader: a library, not a program?");
                self.warning("loader-missing", subject, message).fix(TRY.0, TRY.1);
            }
            return Ok(program("static".to_owned(), None));
        };
        let Some(loader_place) = self.loader(place, loader, &elf)? else {
            return Ok(program("dynamic".to_owned(), None));
        };
        let Some(family) = Family::of(loader) else {
            let message = format!(
                "{path} uses {}, whose way of finding libraries is not known here",
                String::from_utf8_lossy(loader)
            );
            self.warning("loader-unknown", subject, message).fix(TRY.0, TRY.1);
            return Ok(program("dynamic".to_owned(), None));
        };
        let start = Start {
            program: place,
            elf: elf.clone(),
            loader: (loader, &loader_place),
            library_path: self.variable("LD_LIBRARY_PATH").map(str::as_bytes),
            working_directory: &self.working_directory,
            identity: &self.identity,
        };
        let closure = closure(&self.view, family, &start)?;
        self.libraries(place, &closure)?;
        self.preload(&closure)?;
        let name = match family {
            Family::Glibc => "glibc",
            Family::Musl => "musl",
        };
        let kind = match closure.objects.len().saturating_sub(2) {
            0 => format!("dynamic, {name}"),
            1 => format!("dynamic, {name}, 1 library"),
            n => format!("dynamic, {name}, {n} libraries"),
        };
        Ok(program(kind, Some(closure)))
    }

    fn machine(&mut self, path: &str, machine: Machine) {
        let platform = self.image.platform;
        let (is, wanted) = (architecture(machine), platform.to_string());
        let subject = Subject::File(path.to_owned());
        match fit(machine, platform) {
            Fit::Yes => {}
            Fit::Perhaps => {
                let message = format!(
                    "{path} is for {is}, the image for {wanted}: some machines run both, some do not"
                );
                self.warning("machine-wrong", subject, message)
                    .fix("say that the image is for it", format!("jettison build --platform linux/{is} ."));
            }
            Fit::No => {
                let message = format!("{path} is for {is}, the image for {wanted}: exec format error");
                self.error("machine-wrong", subject, message)
                    .fix("build for that platform", format!("jettison build --platform linux/{is} ."))
                    .fix(
                        "or, if it is Go, let the compiler make the right one: above the line that builds it",
                        "ARG TARGETARCH\nENV GOARCH=$TARGETARCH",
                    );
            }
        }
    }

    /// The loader that the kernel would start.
    fn loader(&mut self, place: &Place, loader: &[u8], elf: &Elf) -> io::Result<Option<Place>> {
        let path = shown(&place.path);
        let name = String::from_utf8_lossy(loader).into_owned();
        let found = match self.view.walk(&self.absolute(&name), &self.identity)? {
            Walk::Found(found) if found.node.is_file() && self.identity.may_execute(&found.node) => found,
            Walk::Found(_) | Walk::Denied(_) => {
                let message = format!(
                    "{path} needs the loader {name}, which user {} may not execute",
                    self.identity.uid
                );
                let fixes = self.ways_to_permit(&name, Use::Execute)?;
                self.error("loader-not-executable", Subject::File(name.clone()), message).fixes(fixes);
                return Ok(None);
            }
            _ => {
                let message = format!(
                    "{path} is dynamically linked: it needs the loader {name}, which is not in the image (the kernel \
                     then says \"no such file or directory\" of {path})"
                );
                let fixes = self.ways_to_libraries(place, elf, &[])?;
                let finding = self.error("loader-missing", Subject::File(path), message);
                finding.fixes.extend(fixes);
                return Ok(None);
            }
        };
        let broken = match self.view.elf(&found)? {
            Ok(own) if !own.machine.loads_with(&elf.machine) => {
                format!("is for {}, not for {}", architecture(own.machine), architecture(elf.machine))
            }
            Ok(_) => return Ok(Some(found)),
            Err(error) => format!("is {error}"),
        };
        let fixes = self.ways_to_libraries(place, elf, &[])?;
        let message = format!("the loader {name} of {path} {broken}");
        self.error("loader-broken", Subject::File(name.clone()), message).fixes.extend(fixes);
        Ok(None)
    }

    /// What the loader would complain about.
    fn libraries(&mut self, place: &Place, closure: &Closure) -> io::Result<()> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut missing: Vec<(String, String)> = Vec::new();
        let mut versions: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for problem in &closure.problems {
            match problem {
                Problem::Missing { name, wanted_by, other_machine } => {
                    let mut name = text(name);
                    if let Some(other) = other_machine {
                        name.push_str(&format!(" ({} is for another machine)", text(other)));
                    }
                    missing.push((name, text(wanted_by)));
                }
                Problem::Broken { path, wanted_by, reason } => {
                    let path = text(path);
                    let message = format!("{} needs {path}, which is {reason}", text(wanted_by));
                    let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
                    let family = closure.objects.get(1).and_then(|loader| Family::of(&loader.path));
                    let fix = self.install(&[&name], family.unwrap_or(Family::Glibc))?;
                    self.error("library-broken", Subject::File(path), message).fixes.push(fix);
                }
                Problem::Version { version, library, wanted_by } => {
                    versions.entry((text(library), text(wanted_by))).or_default().push(text(version));
                }
                Problem::TooMany => {
                    let message =
                        format!("{} loads more libraries than can be looked at", shown(&place.path));
                    self.warning("library-missing", Subject::File(shown(&place.path)), message)
                        .fix(TRY.0, TRY.1);
                }
            }
        }
        if !missing.is_empty() {
            self.missing_libraries(place, &missing)?;
        }
        for ((library, wanted_by), versions) in versions {
            self.missing_versions(place, &library, &wanted_by, versions)?;
        }
        Ok(())
    }

    fn missing_libraries(&mut self, place: &Place, missing: &[(String, String)]) -> io::Result<()> {
        let path = shown(&place.path);
        let list: Vec<String> = missing
            .iter()
            .map(|(name, by)| if *by == path { name.clone() } else { format!("{name} (for {by})") })
            .collect();
        let message =
            format!("{path} needs {}, which the loader finds nowhere in the image", list.join(", "));
        let names: Vec<String> =
            missing.iter().map(|(name, _)| name.split(' ').next().unwrap_or(name).to_owned()).collect();
        let elf = self.view.elf(place)?;
        let fixes = match &elf {
            Ok(elf) => self.ways_to_libraries(place, elf, &names)?,
            Err(_) => Vec::new(),
        };
        self.error("library-missing", Subject::File(path), message).fixes.extend(fixes);
        Ok(())
    }

    fn missing_versions(
        &mut self,
        place: &Place,
        library: &str,
        wanted_by: &str,
        mut versions: Vec<String>,
    ) -> io::Result<()> {
        versions.sort_by_key(|version| words::version_key(version));
        versions.dedup();
        let newest = versions.last().cloned().unwrap_or_default();
        let message =
            format!("{wanted_by} needs {} of {library}, which is older than that", versions.join(", "));
        let elf = self.view.elf(place)?;
        let mut fixes = match &elf {
            Ok(elf) => self.ways_to_static(place, elf)?,
            Err(_) => Vec::new(),
        };
        fixes.extend(super::remedy::base_with_version(&newest));
        if fixes.is_empty() {
            fixes.push(super::remedy::same_base());
        }
        self.error("version-missing", Subject::File(wanted_by.to_owned()), message).fixes.extend(fixes);
        Ok(())
    }

    /// LD_PRELOAD and `/etc/ld.so.preload`: the loader complains and goes on.
    fn preload(&mut self, closure: &Closure) -> io::Result<()> {
        let listed = self.view.read(b"/etc/ld.so.preload", 64 << 10)?.unwrap_or_default();
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let variable = self.variable("LD_PRELOAD").unwrap_or_default();
        let names =
            variable.split([' ', ':']).map(|name| (name, Subject::Environment("LD_PRELOAD".to_owned())));
        let file = listed.lines().map(|line| line.split('#').next().unwrap_or_default());
        let file = file.flat_map(|line| line.split([' ', '\t', ':']));
        let file = file.map(|name| (name, Subject::File("/etc/ld.so.preload".to_owned())));
        let all: Vec<(&str, Subject)> = names.chain(file).filter(|(name, _)| !name.is_empty()).collect();
        for (name, subject) in all {
            let is_there = if name.contains('/') {
                self.view.exists(&self.absolute(name))?
            } else {
                let mut found = false;
                for directory in &closure.default_directories {
                    found |= self.view.exists(&[directory, &b"/"[..], name.as_bytes()].concat())?;
                }
                found
            };
            if !is_there && !name.contains('$') {
                let message = format!(
                    "{name} is to be preloaded and is not in the image: the loader goes on without it"
                );
                let text = match &subject {
                    Subject::File(list) => format!("RUN rm {list}"),
                    _ => "ENV LD_PRELOAD=".to_owned(),
                };
                self.warning("preload-missing", subject, message).fix("preload nothing", text);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_and_platforms() {
        let machine =
            |number: elf::Machine, is_64, is_little| Machine { number: number.0, is_64, is_little, flags: 0 };
        let check = |machine, platform: &str| fit(machine, &platform.parse().unwrap());
        assert_eq!(check(machine(elf::EM_X86_64, true, true), "linux/amd64"), Fit::Yes);
        assert_eq!(check(machine(elf::EM_386, false, true), "linux/amd64"), Fit::Perhaps);
        assert_eq!(check(machine(elf::EM_AARCH64, true, true), "linux/amd64"), Fit::No);
        assert_eq!(check(machine(elf::EM_AARCH64, true, false), "linux/arm64"), Fit::No);
        assert_eq!(check(machine(elf::EM_ARM, false, true), "linux/arm/v7"), Fit::Yes);
        assert_eq!(architecture(machine(elf::EM_S390, true, false)), "s390x");
    }
}
