//! Go programs: the main module, those that it is made of, and the standard library.

use super::{Ecosystem, Package};
use crate::elf::{go, section};
use crate::tree::Content;

/// Sections that Go's linker writes. A file without any section table may be a stripped Go program.
const SECTIONS: [&str; 3] = [".go.buildinfo", ".note.go.buildid", ".gopclntab"];

/// The modules of a program; none if it is not made by Go.
pub(super) fn read(content: &dyn Content) -> Result<Vec<Package>, String> {
    let failed = |error: std::io::Error| error.to_string();
    let names = section::names(content).map_err(failed)?;
    if !names.is_empty() && !names.iter().any(|name| SECTIONS.contains(&name.as_str())) {
        return Ok(Vec::new());
    }
    let Some(info) = go::read(content).map_err(failed)? else { return Ok(Vec::new()) };
    let mut packages = Vec::new();
    if let Some(version) = info.version.split(' ').next().and_then(|version| version.strip_prefix("go")) {
        packages.push(Package::new(Ecosystem::Go, "stdlib", version));
    }
    if let Some((path, version)) = &info.main {
        // `(devel)` is what Go says of a program that was built from a working copy.
        let version = if version == "(devel)" { info.setting("vcs.revision").unwrap_or("") } else { version };
        packages.push(Package::new(Ecosystem::Go, path, version));
    }
    packages.extend(info.modules.iter().map(|(path, version)| Package::new(Ecosystem::Go, path, version)));
    Ok(packages)
}
