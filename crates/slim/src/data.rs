//! What a program may read when it runs: what its command and its environment name, what its texts mention, and the
//! data that the start-proof misses.
//!
//! Files that mention nothing cannot be proved unused, so it is said which ones stay behind; `--keep` keeps them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use jettison_dockerfile::{Kind, Span};
use jettison_inspect::proof::{BUNDLES, ZONES, cleaned};
use jettison_inspect::tree::{read_start, split};
use jettison_inspect::{Report, View};
use memchr::memmem;

use crate::program::Started;
use crate::{Error, Item, Refusal, Subject, go, libraries, shown, stage};

/// Bytes of a program that are searched.
const SEARCHED_BYTES_MAX: u64 = 256 << 20;
/// Most paths that are looked for in a program.
const CANDIDATES_MAX: usize = 4096;
/// Shorter names occur in programs by chance.
const NAME_BYTES_MIN: usize = 4;
/// Most files that are named as left behind.
const LEFT_BEHIND_MAX: usize = 1000;

/// Endings of what a compiler reads or leaves.
const SOURCES: &[&str] = &[
    "go", "c", "h", "cc", "cpp", "cxx", "hpp", "hh", "inc", "rs", "java", "kt", "kts", "scala", "swift",
    "zig", "d", "nim", "hs", "ml", "mli", "cs", "fs", "pas", "f90", "s", "S", "asm", "y", "l", "proto", "o",
    "a", "lo", "la", "class", "rlib", "rmeta", "mod", "sum", "work", "lock", "cmake", "am", "ac", "in", "m4",
    "md",
];
/// Names of what builds and repositories are described with.
const BUILD_FILES: &[&str] = &[
    "Makefile",
    "makefile",
    "GNUmakefile",
    "CMakeLists.txt",
    "meson.build",
    "configure",
    "Cargo.toml",
    "pom.xml",
    "build.gradle",
    "rust-toolchain",
    "rust-toolchain.toml",
    "compose.yaml",
    "docker-compose.yml",
    "docker-compose.yaml",
    "Jenkinsfile",
    "Procfile",
    "COPYING",
    "AUTHORS",
];
const BUILD_FILE_BEGINNINGS: &[&str] = &["Dockerfile", "LICENSE", "README", "CHANGELOG", "CONTRIBUTING"];
/// Folders of tools.
const BUILD_FOLDERS: &[&[u8]] = &[b"vendor", b"node_modules", b"target", b"testdata"];

/// Data for a rule of the start-proof. Of paths with `first` only the first that is there.
struct Pack {
    rule: &'static str,
    paths: &'static [&'static str],
    first: bool,
    /// They are libraries, to be found where libraries are.
    libraries: bool,
    why: &'static str,
}

const PACKS: &[Pack] = &[
    Pack {
        rule: "ca-certificates",
        paths: &BUNDLES,
        first: true,
        libraries: false,
        why: "Certificate authorities: TLS calls of the program fail without them.",
    },
    Pack {
        rule: "time-zones",
        paths: &[ZONES],
        first: true,
        libraries: false,
        why: "Time zones: any other than UTC is unknown without them.",
    },
    Pack { rule: "user-unknown", paths: ACCOUNTS, first: false, libraries: false, why: ACCOUNTS_WHY },
    Pack { rule: "group-unknown", paths: ACCOUNTS, first: false, libraries: false, why: ACCOUNTS_WHY },
    Pack {
        rule: "locale",
        paths: &["/usr/lib/locale"],
        first: false,
        libraries: false,
        why: "Locales: LANG or LC_ALL asks for one that the C library has not built in.",
    },
    Pack {
        rule: "library-loaded-later",
        paths: &["libgcc_s.so.1"],
        first: false,
        libraries: true,
        why: "The C library loads it when a thread ends.",
    },
    Pack {
        rule: "name-service",
        paths: &["libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"],
        first: false,
        libraries: true,
        why: "This C library loads it to look up users and hosts.",
    },
    Pack {
        rule: "iconv",
        paths: &["gconv"],
        first: false,
        libraries: true,
        why: "Conversions of text: without them only UTF-8 and ASCII work.",
    },
];

const ACCOUNTS: &[&str] = &["/etc/passwd", "/etc/group"];
const ACCOUNTS_WHY: &str = "Users and groups: USER and the program look names up there.";

/// Texts of a program that ask for files of the system.
const ASKED_FOR: &[(&[&str], &[&str], &str)] = &[
    (
        &["/etc/passwd", "getpwnam", "getpwuid", "getgrnam", "getgrgid"],
        ACCOUNTS,
        "Users and groups: the program looks names up there.",
    ),
    (&["getservbyname", "getservbyport"], &["/etc/services"], "Names of ports: the program looks them up."),
    (&["getprotobyname"], &["/etc/protocols"], "Names of protocols: the program looks them up."),
];

/// What makes temporary files: in Go programs names of functions, which the linker keeps; in others what they import.
const TEMPORARY_GO: &[&str] =
    &["os.CreateTemp\0", "os.MkdirTemp\0", "io/ioutil.TempFile\0", "io/ioutil.TempDir\0"];
const TEMPORARY: &[&str] = &["mkstemp", "mkostemp", "mkdtemp", "tmpfile", "tmpnam", "/tmp"];

/// Adds what the image's command, environment, volumes, users and texts name, and what is asked for with `--keep`.
/// Answers whether the program makes temporary files.
pub(crate) fn add_named(
    subject: &Subject<'_>,
    view: &View<'_>,
    started: &Started,
    items: &mut Vec<Item>,
) -> Result<bool, Error> {
    let config = subject.config;
    for path in subject.keep {
        if !path.starts_with('/') || !view.exists(path.as_bytes())? {
            return Err(Refusal::new(format!("--keep {path}: the image has no such path"))
                .hint("give an absolute path, as it is in the image")
                .into());
        }
        add(view, items, path.as_bytes(), "Asked for with --keep.")?;
    }
    let working_directory = format!("/{}/", config.working_dir.trim_matches('/'));
    for argument in started.argv.iter().skip(1) {
        let value = argument.split_once('=').map_or(argument.as_str(), |(_, value)| value);
        let path =
            if value.starts_with('/') { value.to_owned() } else { format!("{working_directory}{value}") };
        if value.len() > 1 && is_brought(subject, view, &path)? {
            add(view, items, path.as_bytes(), &format!("The command names it: {argument}"))?;
        }
    }
    // Of those variables that the new image will have: what toolchains are told (GOPATH) is not for the program.
    let kept = stage::config(subject, started);
    for (name, value) in kept.env.iter().filter_map(|entry| entry.split_once('=')) {
        if value.len() > 1 && value.starts_with('/') && name != "PATH" && is_brought(subject, view, value)? {
            add(view, items, value.as_bytes(), &format!("The variable {name} names it."))?;
        }
    }
    for volume in config.volumes.keys() {
        if is_brought(subject, view, volume)? {
            add(view, items, volume.as_bytes(), "A volume begins with what is here, and with its owner.")?;
        }
    }
    let text = read_start(&*view.open(&started.place)?, SEARCHED_BYTES_MAX)?;
    let mentions =
        |needles: &[&str]| needles.iter().any(|needle| memmem::find(&text, needle.as_bytes()).is_some());
    if !config.user.is_empty() && config.user != "root" && config.user != "0" {
        add_all(view, items, ACCOUNTS, ACCOUNTS_WHY)?;
    }
    for (needles, paths, why) in ASKED_FOR {
        if mentions(needles) {
            add_all(view, items, paths, why)?;
        }
    }
    add_mentioned(subject, view, &text, started, items)?;
    Ok(mentions(if go::is_go(&text) { TEMPORARY_GO } else { TEMPORARY }))
}

fn add_all(view: &View<'_>, items: &mut Vec<Item>, paths: &[&str], why: &str) -> io::Result<()> {
    paths.iter().try_for_each(|path| add(view, items, path.as_bytes(), why))
}

/// Adds a path, unless it is there or covered by a folder that is.
fn add(view: &View<'_>, items: &mut Vec<Item>, path: &[u8], why: &str) -> io::Result<()> {
    let mut item = Item::same(path, why);
    let Some(place) = view.walk(path, &jettison_inspect::Identity::root())?.found() else { return Ok(()) };
    if items.iter().any(|known| is_within(&item.destination, &known.destination)) {
        return Ok(());
    }
    item.owner = ((place.node.uid, place.node.gid) != (0, 0)).then_some((place.node.uid, place.node.gid));
    items.push(item);
    Ok(())
}

fn is_within(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn is_brought(subject: &Subject<'_>, view: &View<'_>, path: &str) -> io::Result<bool> {
    let found = view.walk(path.as_bytes(), &jettison_inspect::Identity::root())?.found();
    Ok(found.is_some_and(|place| subject.brought.contains_key(&place.path)))
}

/// A path that the Dockerfile brought and that may be data.
struct Candidate {
    path: Vec<u8>,
    kind: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Folder,
    Data,
    /// Another program, which would need libraries of its own.
    Program,
}

fn add_mentioned(
    subject: &Subject<'_>,
    view: &View<'_>,
    text: &[u8],
    started: &Started,
    items: &mut Vec<Item>,
) -> Result<(), Error> {
    let working_directory = cleaned(subject.config.working_dir.as_bytes());
    for Candidate { path, kind } in candidates(subject)?.into_iter().take(CANDIDATES_MAX) {
        if path == started.place.path {
            continue;
        }
        let absolute = [b"/", &path[..]].concat();
        let is_folder = kind == What::Folder;
        let mut needles = vec![absolute.clone()];
        let relative = match &working_directory[..] {
            b"" => Some(&path[..]),
            folder => path.strip_prefix(folder).and_then(|rest| rest.strip_prefix(b"/")),
        };
        if let Some(relative) = relative.filter(|_| kind != What::Program) {
            let is_telling = is_folder || relative.iter().any(|b| b"./".contains(b));
            if is_telling && relative.len() >= NAME_BYTES_MIN {
                needles.push(relative.to_vec());
            } else if is_folder {
                needles.extend([[relative, b"/"].concat(), [b"./", relative].concat()]);
            }
        }
        needles.retain(|needle| needle.len() >= NAME_BYTES_MIN);
        if let Some(needle) = needles.iter().find(|needle| memmem::find(text, needle).is_some()) {
            if kind == What::Program && !items.iter().any(|known| is_within(&absolute, &known.destination)) {
                let reason = format!(
                    "the program mentions {}, another program: if it starts that, it needs more than can be told here",
                    shown(&absolute)
                );
                return Err(Refusal::new(reason)
                    .hint(format!(
                        "keep it with --keep {}, and its libraries if it has any",
                        shown(&absolute)
                    ))
                    .into());
            }
            let why = format!("The program mentions {:?}: it may read this.", shown(needle));
            add(view, items, &absolute, &why)?;
        }
    }
    Ok(())
}

/// Files that came from a context, or that were made in the working directory, and folders of nothing but such files.
fn candidates(subject: &Subject<'_>) -> Result<Vec<Candidate>, Error> {
    let working_directory = cleaned(subject.config.working_dir.as_bytes());
    let mut files = BTreeMap::new();
    let mut with_sources = BTreeSet::new();
    for (path, span) in subject.brought {
        let is_made_here = !working_directory.is_empty() && is_within(path, &working_directory);
        if !is_copied(subject, *span) && !is_made_here {
            continue;
        }
        let Some(node) = subject.tree.node(path)? else { continue };
        if !node.is_file() {
            continue;
        }
        let is_elf = !is_source(path) && read_start(&*subject.tree.open(path)?, 4)?.starts_with(b"\x7fELF");
        if is_elf || is_source(path) {
            with_sources.extend(folders_above(path).map(<[u8]>::to_vec));
        }
        if is_elf && !libraries::is_library_name(path) {
            files.insert(path.clone(), What::Program);
        } else if !is_elf && !is_source(path) {
            files.insert(path.clone(), What::Data);
        }
    }
    let folders: BTreeSet<&[u8]> = files.keys().flat_map(|path| folders_above(path)).collect();
    let is_data = |folder: &&[u8]| {
        subject.brought.contains_key(*folder) && !with_sources.contains(*folder) && !is_source(folder)
    };
    let folders =
        folders.into_iter().filter(is_data).map(|path| Candidate { path: path.to_vec(), kind: What::Folder });
    let mut all: Vec<Candidate> = folders.collect();
    all.extend(files.into_iter().map(|(path, kind)| Candidate { path, kind }));
    Ok(all)
}

fn folders_above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at])
}

/// Whether an instruction copies from a context.
fn is_copied(subject: &Subject<'_>, span: Span) -> bool {
    let instructions = subject.dockerfile.stages.iter().flat_map(|stage| &stage.instructions);
    let mut of_span = instructions.filter(|instruction| instruction.span == span);
    of_span.any(|i| match &i.kind {
        Kind::Copy(copy) => copy.from.is_none(),
        Kind::Add(_) => true,
        _ => false,
    })
}

/// Whether a path is part of a build and not data, by its name.
fn is_source(path: &[u8]) -> bool {
    let parts: Vec<&[u8]> = path.split(|b| *b == b'/').collect();
    if parts.iter().any(|part| BUILD_FOLDERS.contains(part) || (part.starts_with(b".") && *part != b".env")) {
        return true;
    }
    let name = shown(split(path).1);
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    SOURCES.contains(&ending)
        || BUILD_FILES.contains(&name.as_str())
        || BUILD_FILE_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

/// What the findings of a proof ask for and is not kept yet.
pub(crate) fn wanted(
    view: &View<'_>,
    report: &Report,
    default_directories: &[Vec<u8>],
    items: &[Item],
) -> Result<Vec<Item>, Error> {
    let mut all = items.to_vec();
    for finding in &report.findings {
        for pack in PACKS.iter().filter(|pack| pack.rule == finding.rule) {
            for name in pack.paths {
                let paths: Vec<Vec<u8>> = if pack.libraries {
                    default_directories
                        .iter()
                        .map(|folder| [folder, &b"/"[..], name.as_bytes()].concat())
                        .collect()
                } else {
                    vec![name.as_bytes().to_vec()]
                };
                let mut is_there = false;
                for path in paths {
                    if !is_there && view.exists(&path)? {
                        add(view, &mut all, &path, pack.why)?;
                        is_there = true;
                    }
                }
                if is_there && pack.first {
                    break;
                }
            }
        }
    }
    Ok(all.split_off(items.len()))
}

/// Files of the context that are no sources and are not kept.
pub(crate) fn left_behind(subject: &Subject<'_>, items: &[Item]) -> Vec<String> {
    let is_left = |path: &[u8]| {
        let path = [b"/", path].concat();
        !items.iter().any(|item| is_within(&path, &item.source))
    };
    let of_context = subject.brought.iter().filter(|(path, span)| {
        let is_file = matches!(subject.tree.node(path), Ok(Some(node)) if node.is_file());
        let is_elf =
            || subject.tree.open(path).is_ok_and(|c| read_start(&*c, 4).is_ok_and(|b| b == b"\x7fELF"));
        is_file && is_copied(subject, **span) && !is_source(path) && is_left(path) && !is_elf()
    });
    of_context.map(|(path, _)| format!("/{}", shown(path))).take(LEFT_BEHIND_MAX).collect()
}
