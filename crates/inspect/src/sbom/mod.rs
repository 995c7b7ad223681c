//! Which packages an image holds, read from what package managers and compilers leave in its files.
//!
//! [`inventory`] walks a tree once and hands each file of interest to the reader of its ecosystem: one file each, pure
//! functions over bytes. `spdx.rs` and `cyclonedx.rs` write what was found; `purl.rs` and `license.rs` are the words that
//! both share. Nothing here depends on when, where or how often it runs.

mod apk;
mod cargo;
mod cyclonedx;
mod dpkg;
mod go;
mod license;
mod npm;
mod purl;
mod python;
mod rpm;
mod spdx;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

pub use cyclonedx::cyclonedx;
pub use spdx::spdx;

use crate::tree::{Node, NodeKind, Tree, View, join, read_start, split};

/// Most packages of one image. Debian has 60,000 in all.
const PACKAGES_MAX: usize = 200_000;
/// Longest name, version or licence, bytes; what is longer is none.
const FIELD_BYTES_MAX: usize = 1000;
/// Largest file of package metadata that is read, bytes.
const METADATA_BYTES_MAX: u64 = 4 << 20;
/// Largest database of a package manager that is read, bytes. That of a full desktop has 10 MB, rpm's 200.
const DATABASE_BYTES_MAX: u64 = 256 << 20;
/// Programs without any word of their packages that are named.
const SILENT_SHOWN: usize = 5;
/// Longest path that is walked into, bytes: what the kernel takes.
const PATH_BYTES_MAX: usize = 4000;

/// Who says that a package is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ecosystem {
    /// Debian and its children.
    Dpkg,
    /// Alpine and its children.
    Apk,
    /// Fedora, Red Hat, SUSE and their children.
    Rpm,
    /// Modules in a Go program.
    Go,
    /// Crates in a Rust program that `cargo auditable` built.
    Cargo,
    /// Python distributions.
    Python,
    /// npm packages.
    Npm,
}

/// A package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Who says so.
    pub ecosystem: Ecosystem,
    /// Its name, as its ecosystem writes it.
    pub name: String,
    /// Its version; empty if it is not known.
    pub version: String,
    /// Architecture, where packages have one.
    pub architecture: Option<String>,
    /// The source package that it was built from, with its version if that is another.
    pub source: Option<String>,
    /// Who made it.
    pub supplier: Option<String>,
    /// Its licence as it states it.
    pub license: Option<String>,
    /// Bytes of its files as the package manager knows them.
    pub bytes: Option<u64>,
}

impl Package {
    fn new(ecosystem: Ecosystem, name: &str, version: &str) -> Self {
        Self {
            ecosystem,
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: None,
            source: None,
            supplier: None,
            license: None,
            bytes: None,
        }
    }
}

/// The distribution, from `os-release`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// `debian`
    pub id: String,
    /// `12`; empty for rolling ones.
    pub version: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Packages with the files that tell of them.
    pub packages: BTreeMap<Package, BTreeSet<String>>,
    /// The distribution, if it is known.
    pub distribution: Option<Distribution>,
    /// What could not be read, and why; the list is not complete then.
    pub gaps: Vec<String>,
    /// Programs and libraries that say nothing of what they are made of. Where there is a database of packages, that may
    /// know them.
    silent: Vec<String>,
}

/// The image that a list of packages is of.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// Its name.
    pub name: &'a str,
    /// Digest of its manifest, `sha256:…`.
    pub digest: &'a str,
    /// When the list counts as made, RFC 3339 in UTC.
    pub created: &'a str,
    /// Version of jettison.
    pub tool_version: &'a str,
}

/// What documents list: packages that have one URL are one.
#[derive(Debug)]
struct Component<'a> {
    purl: String,
    package: &'a Package,
    locations: BTreeSet<&'a String>,
}

fn components(inventory: &Inventory) -> Vec<Component<'_>> {
    let mut by_purl: BTreeMap<String, Component<'_>> = BTreeMap::new();
    for (package, locations) in &inventory.packages {
        let purl = purl::of(package, inventory.distribution.as_ref());
        let component = by_purl.entry(purl.clone());
        let component = component.or_insert_with(|| Component { purl, package, locations: BTreeSet::new() });
        component.locations.extend(locations);
    }
    by_purl.into_values().collect()
}

/// Lists the packages of a tree.
///
/// # Errors
/// If the tree itself cannot be walked; a file that cannot be read is a gap.
pub fn inventory(tree: &dyn Tree) -> io::Result<Inventory> {
    let mut found = Inventory { distribution: distribution(&View::new(tree))?, ..Inventory::default() };
    let mut directories = vec![Vec::new()];
    while let Some(directory) = directories.pop() {
        let mut names = tree.names(&directory)?;
        names.sort();
        for name in names {
            let path = join(&directory, &name);
            match tree.node(&path)? {
                Some(Node { kind: NodeKind::Directory, .. }) if path.len() < PATH_BYTES_MAX => {
                    directories.push(path);
                }
                Some(node) => found.look_at(tree, &path, &node),
                None => {}
            }
        }
    }
    found.note_silent_programs();
    found.gaps.sort();
    found.gaps.dedup();
    Ok(found)
}

/// The packages of the distribution alone: no file but its databases is opened.
///
/// # Errors
/// Never for a damaged database, which is a gap.
pub fn system_packages(tree: &dyn Tree) -> io::Result<Inventory> {
    let view = View::new(tree);
    let mut found = Inventory { distribution: distribution(&view)?, ..Inventory::default() };
    let mut paths: Vec<Vec<u8>> = DATABASES.iter().map(|(path, _)| path.as_bytes().to_vec()).collect();
    if tree.node(SLICES)?.is_some_and(|node| node.kind == NodeKind::Directory) {
        paths.extend(tree.names(SLICES)?.iter().map(|name| join(SLICES, name)));
    }
    for path in paths {
        // /var/lib/rpm is a link on many systems; what it leads to is in the list itself.
        if let Ok(Some(node)) = tree.node(&path) {
            found.look_at(tree, &path, &node);
        }
    }
    Ok(found)
}

/// How a file is read.
type Reader = fn(&[u8]) -> Result<Vec<Package>, String>;

/// Databases of package managers.
const DATABASES: &[(&str, Reader)] = &[
    ("var/lib/dpkg/status", dpkg::read),
    ("lib/apk/db/installed", apk::read),
    ("usr/lib/apk/db/installed", apk::read),
    ("var/lib/rpm/rpmdb.sqlite", rpm::sqlite),
    ("usr/lib/sysimage/rpm/rpmdb.sqlite", rpm::sqlite),
    ("usr/share/rpm/rpmdb.sqlite", rpm::sqlite),
    ("var/lib/rpm/Packages.db", rpm::ndb),
    ("usr/lib/sysimage/rpm/Packages.db", rpm::ndb),
    ("usr/share/rpm/Packages.db", rpm::ndb),
    ("var/lib/rpm/Packages", rpm::bdb),
    ("usr/lib/sysimage/rpm/Packages", rpm::bdb),
    ("usr/share/rpm/Packages", rpm::bdb),
];

/// Where distroless has a file for each package.
const SLICES: &[u8] = b"var/lib/dpkg/status.d";

/// Who reads the file at a path, and how large it may be.
fn reader(path: &[u8]) -> Option<(Reader, u64)> {
    if let Some((_, reader)) = DATABASES.iter().find(|(known, _)| known.as_bytes() == path) {
        return Some((*reader, DATABASE_BYTES_MAX));
    }
    let (parent, name) = split(path);
    let reader: Reader = match name {
        _ if parent == SLICES && !name.ends_with(b".md5sums") => dpkg::read,
        b"package.json" if npm::is_package(parent) => npm::read,
        b"METADATA" if parent.ends_with(b".dist-info") => python::read,
        b"PKG-INFO" if parent.ends_with(b".egg-info") || parent.ends_with(b"/EGG-INFO") => python::read,
        _ if name.ends_with(b".egg-info") => python::read,
        _ => return None,
    };
    Some((reader, METADATA_BYTES_MAX))
}

/// Whether a list of packages may read the file at this path, and so whoever keeps only parts of an image must keep it.
pub(crate) fn reads(path: &[u8]) -> bool {
    reader(path).is_some()
}

/// The packages in the database of a package manager that lies at `path`; `None` if none does. For whoever has files in
/// passing and no tree.
pub(crate) fn database(
    path: &[u8],
    size: u64,
    content: &mut dyn Read,
) -> Option<Result<Vec<Package>, String>> {
    let (read, limit) = reader(path).filter(|_| is_database(path))?;
    if size > limit {
        return Some(Err(format!("larger than {limit} bytes")));
    }
    let mut bytes = Vec::new();
    let all = content.take(limit).read_to_end(&mut bytes);
    Some(all.map_err(|error| error.to_string()).and_then(|_| read(&bytes)))
}

/// Whether the database of a package manager lies at this path.
pub(crate) fn is_database(path: &[u8]) -> bool {
    split(path).0 == SLICES || DATABASES.iter().any(|(known, _)| known.as_bytes() == path)
}

impl Inventory {
    fn look_at(&mut self, tree: &dyn Tree, path: &[u8], node: &Node) {
        let NodeKind::File { size } = node.kind else { return };
        let packages = match reader(path) {
            Some((_, limit)) if size > limit => Err(format!("larger than {limit} bytes")),
            Some((reader, limit)) => tree
                .open(path)
                .and_then(|content| read_start(&*content, limit))
                .map_err(|error| error.to_string())
                .and_then(|bytes| reader(&bytes)),
            None if path.ends_with(b"rpmdb.sqlite-wal") && size > 0 => {
                Err("changes that rpm did not write into its database are not read".to_owned())
            }
            None => program(tree, path, size).map(|packages| {
                packages.unwrap_or_else(|| {
                    self.silent.push(format!("/{}", String::from_utf8_lossy(path)));
                    Vec::new()
                })
            }),
        };
        let path = format!("/{}", String::from_utf8_lossy(path));
        match packages {
            Ok(packages) => self.add(packages, &path),
            Err(reason) => self.gaps.push(format!("{path}: {reason}")),
        }
    }

    /// Says which programs nobody knows, if there is no database of packages that might.
    fn note_silent_programs(&mut self) {
        let is_system = |package: &Package| {
            matches!(package.ecosystem, Ecosystem::Dpkg | Ecosystem::Apk | Ecosystem::Rpm)
        };
        let silent = std::mem::take(&mut self.silent);
        if silent.is_empty() || self.packages.keys().any(is_system) {
            return;
        }
        let shown = silent[..silent.len().min(SILENT_SHOWN)].join(", ");
        let more = silent.len().saturating_sub(SILENT_SHOWN);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        self.gaps.push(format!(
            "no database of packages, and nothing in the files, says what is in {shown}{more}"
        ));
    }

    fn add(&mut self, packages: Vec<Package>, path: &str) {
        for mut package in packages {
            if self.packages.len() >= PACKAGES_MAX {
                self.gaps.push(format!("more than {PACKAGES_MAX} packages"));
                return;
            }
            if package.name.is_empty() || package.name.len().max(package.version.len()) > FIELD_BYTES_MAX {
                continue;
            }
            for field in
                [&mut package.architecture, &mut package.source, &mut package.supplier, &mut package.license]
            {
                *field = field.take().filter(|text| (1..=FIELD_BYTES_MAX).contains(&text.len()));
            }
            self.packages.entry(package).or_default().insert(path.to_owned());
        }
    }
}

/// What compilers left in a program; `None` if that is nothing.
fn program(tree: &dyn Tree, path: &[u8], size: u64) -> Result<Option<Vec<Package>>, String> {
    /// The smallest program that carries anything has more, bytes.
    const PROGRAM_BYTES_MIN: u64 = 1024;
    if size < PROGRAM_BYTES_MIN {
        return Ok(Some(Vec::new()));
    }
    let content = tree.open(path).map_err(|error| error.to_string())?;
    let mut magic = [0; 4];
    if content.read_at(0, &mut magic).map_err(|error| error.to_string())? < 4 || magic != *b"\x7fELF" {
        return Ok(Some(Vec::new()));
    }
    let mut packages = cargo::read(&*content)?;
    packages.extend(go::read(&*content)?);
    Ok(Some(packages).filter(|packages| !packages.is_empty()))
}

fn distribution(view: &View<'_>) -> io::Result<Option<Distribution>> {
    const OS_RELEASE_BYTES_MAX: u64 = 64 << 10;
    for path in ["etc/os-release", "usr/lib/os-release"] {
        let Some(bytes) = view.read(path.as_bytes(), OS_RELEASE_BYTES_MAX)? else { continue };
        let text = String::from_utf8_lossy(&bytes);
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
        };
        if let Some(id) = value("ID").filter(|id| (1..=FIELD_BYTES_MAX).contains(&id.len())) {
            return Ok(Some(Distribution { id, version: value("VERSION_ID").unwrap_or_default() }));
        }
    }
    Ok(None)
}

/// `Name: value` lines as in mail, until the first empty line; lines that go on begin with a blank.
fn fields<'a>(paragraph: &'a str, separator: &str) -> BTreeMap<&'a str, &'a str> {
    let lines = paragraph.lines().take_while(|line| !line.trim().is_empty());
    let pairs =
        lines.filter(|line| !line.starts_with([' ', '\t'])).filter_map(|line| line.split_once(separator));
    let mut fields = BTreeMap::new();
    for (name, value) in pairs {
        fields.entry(name).or_insert(value.trim());
    }
    fields
}
