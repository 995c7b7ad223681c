//! Ways out for programs that lack their loader, libraries or versions: link statically, bring what is missing from
//! the stage where the program was made, or use a base that has it.

use std::collections::BTreeSet;
use std::io;

use super::{Fix, Proof, Source, words};
use crate::elf::{Elf, go};
use crate::loader::{Family, Start, closure};
use crate::tree::{Identity, Place, View};

/// Largest `os-release` that is read, bytes.
const RELEASE_BYTES_MAX: u64 = 64 << 10;
/// Programs whose packages are called as they are, in every distribution.
const SAME_NAME: [&str; 10] =
    ["bash", "curl", "git", "jq", "nginx", "perl", "python3", "ruby", "socat", "wget"];
/// Libraries whose packages in Debian are not called by its rule. Source: packages of Debian 12.
const OWN_NAMES: &[(&str, &str)] = &[
    ("libz.so.1", "zlib1g"),
    ("libcrypto.so.3", "libssl3"),
    ("libcrypto.so.1.1", "libssl1.1"),
    ("libxml2.so.2", "libxml2"),
    ("libglib-2.0.so", "libglib2.0-0"),
    ("libgobject-2.0.so", "libglib2.0-0"),
    ("libgio-2.0.so", "libglib2.0-0"),
    ("libgmodule-2.0.so", "libglib2.0-0"),
    ("libdb-5.3.so", "libdb5.3"),
];
/// Releases of Debian by the glibc that they have. Source: packages of `libc6`.
const DEBIAN: &[(&[u32], &str)] = &[(&[2, 36], "debian:12-slim"), (&[2, 41], "debian:13-slim")];

impl Proof<'_> {
    /// All ways, the best first. `missing` are the libraries that are; none if it is the loader itself.
    pub(super) fn ways_to_libraries(
        &self,
        place: &Place,
        elf: &Elf,
        missing: &[String],
    ) -> io::Result<Vec<Fix>> {
        let mut fixes = self.ways_to_static(place, elf)?;
        let source = self.image.provenance.and_then(|provenance| provenance.source(&place.path));
        if let Some(source) = source
            && let Some(lines) = self.copies(&source, place, elf)?
        {
            let how = if fixes.is_empty() {
                format!("bring what it needs from {}", source.name)
            } else {
                format!("or bring what it needs from {}", source.name)
            };
            fixes.push(Fix { how, text: lines });
            return Ok(fixes);
        }
        let missing: Vec<&String> = missing.iter().filter(|name| !is_in_every_base(name)).collect();
        if !missing.is_empty() {
            let family = elf.interpreter.as_deref().and_then(Family::of).unwrap_or(Family::Glibc);
            fixes.push(self.install(&missing, family)?);
            return Ok(fixes);
        }
        let base = match elf.interpreter.as_deref().and_then(Family::of) {
            Some(Family::Musl) => Some("alpine".to_owned()),
            Some(Family::Glibc) => base_for(elf),
            None => None,
        };
        fixes.extend(base.map(|base| Fix {
            how: format!("{}use a base that has them", if fixes.is_empty() { "" } else { "or " }),
            text: format!("FROM {base}"),
        }));
        if fixes.is_empty() {
            fixes.push(same_base());
        }
        Ok(fixes)
    }

    /// Libraries from packages: those of the image's distribution, or of a base that has a package manager.
    pub(super) fn install(&self, missing: &[&String], family: Family) -> io::Result<Fix> {
        if let Some(fix) = self.packages(missing)? {
            return Ok(fix);
        }
        let list = |name: &dyn Fn(&String) -> String| {
            missing.iter().map(|library| name(library)).collect::<Vec<_>>().join(" ")
        };
        let text = match family {
            Family::Musl => {
                format!("FROM alpine\nRUN apk add --no-cache {}", list(&|library| format!("so:{library}")))
            }
            Family::Glibc => {
                format!("FROM debian:stable-slim\nRUN {}", apt_get(&list(&|library| debian_package(library))))
            }
        };
        let how = "use a base with packages that have them (names by the distribution's rule)".to_owned();
        Ok(Fix { how, text })
    }

    /// The package manager's words for a program, if its package is called the same everywhere.
    pub(super) fn package_of_program(&self, program: &str) -> io::Result<Option<Fix>> {
        if !SAME_NAME.contains(&program) {
            return Ok(None);
        }
        let text = match self.manager()? {
            Some(Manager::Apk) => format!("RUN apk add --no-cache {program}"),
            Some(Manager::Dnf) => format!("RUN dnf install -y {program}"),
            Some(Manager::Apt) => format!("RUN {}", apt_get(program)),
            None => return Ok(None),
        };
        Ok(Some(Fix { how: "install it".to_owned(), text }))
    }

    /// The package manager of the image's distribution.
    fn manager(&self) -> io::Result<Option<Manager>> {
        let release = self.view.read(b"/etc/os-release", RELEASE_BYTES_MAX)?.unwrap_or_default();
        let release = String::from_utf8_lossy(&release).into_owned();
        let mut words = Vec::new();
        for line in release.lines() {
            if let Some((_, value)) = line.split_once('=').filter(|(key, _)| matches!(*key, "ID" | "ID_LIKE"))
            {
                words.extend(value.trim_matches('"').split(' ').map(str::to_owned));
            }
        }
        let is = |names: &[&str]| words.iter().any(|word| names.contains(&word.as_str()));
        Ok(if is(&["alpine", "wolfi", "chainguard"]) {
            Some(Manager::Apk)
        } else if is(&["fedora", "rhel", "centos", "amzn"]) {
            Some(Manager::Dnf)
        } else if is(&["debian", "ubuntu"]) {
            Some(Manager::Apt)
        } else {
            None
        })
    }

    /// The package manager's words for libraries.
    pub(super) fn packages(&self, missing: &[&String]) -> io::Result<Option<Fix>> {
        let join = |name: &dyn Fn(&String) -> String| {
            missing.iter().map(|library| name(library)).collect::<Vec<_>>().join(" ")
        };
        let text = match self.manager()? {
            Some(Manager::Apk) => {
                format!("RUN apk add --no-cache {}", join(&|library| format!("so:{library}")))
            }
            Some(Manager::Dnf) => {
                format!("RUN dnf install -y {}", join(&|library| format!("'{library}()(64bit)'")))
            }
            Some(Manager::Apt) => format!("RUN {}", apt_get(&join(&|library| debian_package(library)))),
            None => return Ok(None),
        };
        Ok(Some(Fix {
            how: "install the packages that have them (names by the distribution's rule)".to_owned(),
            text,
        }))
    }

    /// The name of the stage that a program came from, if that stage has `file`.
    pub(super) fn stage_with(&self, program: &Place, file: &str) -> io::Result<Option<String>> {
        let source = self.image.provenance.and_then(|provenance| provenance.source(&program.path));
        let Some(source) = source else { return Ok(None) };
        let has = View::new(&*source.tree).exists(file.as_bytes())?;
        Ok(has.then_some(source.name))
    }

    /// For Go programs: without cgo they need nothing.
    pub(super) fn ways_to_static(&self, place: &Place, elf: &Elf) -> io::Result<Vec<Fix>> {
        if elf.interpreter.is_none() {
            return Ok(Vec::new());
        }
        let Some(info) = go::read(&*self.view.open(place)?)? else { return Ok(Vec::new()) };
        if info.setting("CGO_ENABLED") == Some("0") {
            return Ok(Vec::new());
        }
        let source = self.image.provenance.and_then(|provenance| provenance.source(&place.path));
        let line = source.and_then(|source| without_cgo(&source.runs));
        let fix = |how: &str, text| Fix { how: how.to_owned(), text };
        Ok(vec![match line {
            Some(line) => fix("build it without cgo; it then needs no libraries", line),
            None => fix(
                "build it without cgo, with this above the line that builds it; it then needs no libraries",
                "ENV CGO_ENABLED=0".to_owned(),
            ),
        }])
    }

    /// COPY lines for what `source` has and the image lacks; `None` if the source lacks something too.
    fn copies(&self, source: &Source, place: &Place, elf: &Elf) -> io::Result<Option<String>> {
        let Some(loader) = elf.interpreter.as_deref() else { return Ok(None) };
        let Some(family) = Family::of(loader) else { return Ok(None) };
        let view = View::new(&*source.tree);
        let Some(loader_place) = view.file(loader)? else { return Ok(None) };
        let start = Start {
            program: place,
            elf: std::rc::Rc::new(elf.clone()),
            loader: (loader, &loader_place),
            library_path: self.variable("LD_LIBRARY_PATH").map(str::as_bytes),
            working_directory: &self.working_directory,
            identity: &Identity::root(),
        };
        let closure = closure(&view, family, &start)?;
        if !closure.problems.is_empty() {
            return Ok(None);
        }
        let mut lines = BTreeSet::new();
        for object in &closure.objects[1..] {
            let destination = closure.destination(object);
            if !self.view.exists(&destination)? {
                let text = |path: &[u8]| format!("/{}", String::from_utf8_lossy(&words::cleaned(path)));
                lines.insert(format!(
                    "COPY --from={} {} {}",
                    source.name,
                    text(&object.path),
                    text(&destination)
                ));
            }
        }
        let lines: Vec<String> = lines.into_iter().collect();
        Ok((!lines.is_empty()).then(|| lines.join("\n")))
    }
}

/// Who installs packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    Apk,
    Apt,
    Dnf,
}

fn apt_get(packages: &str) -> String {
    format!(
        "apt-get update && apt-get install -y --no-install-recommends {packages} && rm -rf /var/lib/apt/lists/*"
    )
}

/// What always helps against libraries of the wrong age.
pub(super) fn same_base() -> Fix {
    Fix {
        how: "build and run on the same base".to_owned(),
        text: "FROM debian:stable-slim AS build\nFROM debian:stable-slim".to_owned(),
    }
}

/// Libraries that come with the C library or with every compiler.
fn is_in_every_base(library: &str) -> bool {
    let stem = library.split(".so").next().unwrap_or(library);
    ["libc", "libm", "libdl", "librt", "libpthread", "libutil", "libresolv", "libgcc_s", "libstdc++"]
        .contains(&stem)
        || library.starts_with("libc.musl")
        || library.starts_with("ld-")
}

/// `libssl3` for `libssl.so.3`, `libpcre2-8-0` for `libpcre2-8.so.0`. Source: Debian Policy 8.1.
fn debian_package(library: &str) -> String {
    let own = OWN_NAMES.iter().find(|(start, _)| library.starts_with(start));
    if let Some((_, package)) = own {
        return (*package).to_owned();
    }
    let (stem, version) = library.split_once(".so.").unwrap_or((library.trim_end_matches(".so"), ""));
    let dash = if stem.ends_with(|c: char| c.is_ascii_digit()) && !version.is_empty() { "-" } else { "" };
    format!("{stem}{dash}{version}").to_lowercase().replace('_', "-")
}

/// The RUN instruction that builds a Go program, with cgo switched off.
fn without_cgo(runs: &[String]) -> Option<String> {
    let run = runs.iter().rev().find(|run| run.contains("go build") || run.contains("go install"))?;
    let command = if run.contains("go build") { "go build" } else { "go install" };
    let line = run.replace("CGO_ENABLED=1", "CGO_ENABLED=0");
    if line.contains("CGO_ENABLED=0") {
        return Some(line);
    }
    Some(line.replacen(command, &format!("CGO_ENABLED=0 {command}"), 1))
}

/// A base whose glibc is new enough for a program.
fn base_for(elf: &Elf) -> Option<String> {
    let needs = elf.dynamic.iter().flat_map(|dynamic| &dynamic.needs);
    let versions = needs.filter_map(|need| String::from_utf8(need.version.clone()).ok());
    let newest =
        versions.filter(|version| version.starts_with("GLIBC_")).max_by_key(|v| words::version_key(v));
    debian_with(&newest.unwrap_or_else(|| "GLIBC_2.2.5".to_owned())).map(str::to_owned)
}

fn debian_with(version: &str) -> Option<&'static str> {
    let wanted = words::version_key(version);
    DEBIAN.iter().find(|(has, _)| *has >= &wanted[..]).map(|(_, base)| *base)
}

/// A base that has a version of glibc's symbols.
pub(super) fn base_with_version(version: &str) -> Option<Fix> {
    let base = version.starts_with("GLIBC_").then(|| debian_with(version)).flatten()?;
    Some(Fix {
        how: "use a base that is as new as the one it was built on (or build it on an older one)".to_owned(),
        text: format!("FROM {base}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_switches_cgo_off() {
        let line = |run: &str| without_cgo(&["RUN make".to_owned(), run.to_owned()]);
        assert_eq!(
            line("RUN go build -o /myserver .").as_deref(),
            Some("RUN CGO_ENABLED=0 go build -o /myserver .")
        );
        assert_eq!(
            line("RUN cd x && CGO_ENABLED=1 go build").as_deref(),
            Some("RUN cd x && CGO_ENABLED=0 go build")
        );
        assert_eq!(line("RUN npm ci"), None);
    }

    #[test]
    fn packages_by_debians_rule() {
        assert_eq!(debian_package("libssl.so.3"), "libssl3");
        assert_eq!(debian_package("libcrypto.so.3"), "libssl3");
        assert_eq!(debian_package("libz.so.1"), "zlib1g");
        assert_eq!(debian_package("libpcre2-8.so.0"), "libpcre2-8-0");
        assert_eq!(debian_package("libGLX_mesa.so.0"), "libglx-mesa0");
    }

    #[test]
    fn the_oldest_debian_that_is_new_enough() {
        assert_eq!(debian_with("GLIBC_2.34"), Some("debian:12-slim"));
        assert_eq!(debian_with("GLIBC_2.2.5"), Some("debian:12-slim"));
        assert_eq!(debian_with("GLIBC_2.99"), None);
    }
}
