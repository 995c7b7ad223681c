//! The proof of the proof: our search against the real loader, over every dynamic ELF file of this machine's `/usr`.
//!
//! `LD_TRACE_LOADED_OBJECTS=1` makes the loader print what it would load and run nothing. Not one file may differ.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says why and ends")]

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use jettison_inspect::loader::{Closure, Family, Problem, Start, closure};
use jettison_inspect::{Directory, Identity, View};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
const THREADS: usize = 4;

fn root() -> Directory {
    Directory::new(OwnedFd::from(std::fs::File::open("/").unwrap()))
}

/// Regular files below the folders where programs and libraries lie.
fn candidates() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec", "/usr/local"].map(PathBuf::from).to_vec();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// Name of each library, and where the loader would take it from; empty if it is not found.
type Answer = BTreeMap<String, String>;

fn ask_the_loader(path: &Path) -> Option<Answer> {
    let output = Command::new(LOADER)
        .arg(path)
        .env_clear()
        .env("LD_TRACE_LOADED_OBJECTS", "1")
        .current_dir("/")
        .output()
        .unwrap();
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut answer = Answer::new();
    for line in text.lines().map(str::trim) {
        let line = line.rsplit_once(" (0x").map_or(line, |(before, _)| before);
        match line.split_once(" => ") {
            Some((name, "not found")) => answer.insert(name.to_owned(), String::new()),
            Some((name, path)) => answer.insert(name.to_owned(), path.to_owned()),
            // A name with a slash is the path.
            None if line.starts_with('/') => answer.insert(line.to_owned(), line.to_owned()),
            None => continue,
        };
    }
    Some(answer)
}

fn ask_ourselves(view: &View<'_>, path: &Path) -> Option<Closure> {
    let place = view.file(path.as_os_str().as_bytes()).unwrap()?;
    let elf = view.elf(&place).unwrap().ok()?;
    let loader = view.file(LOADER.as_bytes()).unwrap().unwrap();
    let own = view.elf(&loader).unwrap().unwrap();
    if !elf.is_loadable || elf.dynamic.is_none() || !elf.machine.loads_with(&own.machine) {
        return None;
    }
    let start = Start {
        program: &place,
        elf,
        loader: (LOADER.as_bytes(), &loader),
        library_path: None,
        working_directory: b"/",
        identity: &Identity::root(),
    };
    Some(closure(view, Family::Glibc, &start).unwrap())
}

fn as_answer(closure: &Closure) -> Answer {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut answer = Answer::new();
    for object in &closure.objects[2..] {
        let name = if object.name().contains(&b'/') { &object.path } else { object.name() };
        answer.insert(text(name), text(&object.path));
    }
    for problem in &closure.problems {
        if let Problem::Missing { name, .. } = problem {
            answer.insert(text(name), String::new());
        }
    }
    answer
}

#[test]
fn no_file_of_this_machine_differs() {
    if !Path::new(LOADER).exists() {
        eprintln!("skipped: no {LOADER}");
        return;
    }
    let files = candidates();
    let next = AtomicUsize::new(0);
    let (asked, differences) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let tree = root();
                let view = View::new(&tree);
                while let Some(path) = files.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let Some(ours) = ask_ourselves(&view, path) else { continue };
                    let Some(mut theirs) = ask_the_loader(path) else {
                        // The loader gives up on files that are no libraries (debug symbols, for one).
                        continue;
                    };
                    // The program is listed as itself if it is the loader; the loader is in every list.
                    theirs.retain(|name, _| !name.starts_with("linux-vdso") && !name.contains("ld-linux"));
                    asked.fetch_add(1, Ordering::SeqCst);
                    let ours = as_answer(&ours);
                    if ours != theirs {
                        let text = format!("{}\n  loader: {theirs:?}\n  we:     {ours:?}", path.display());
                        differences.lock().unwrap().push(text);
                    }
                }
            });
        }
    });
    let differences = differences.into_inner().unwrap();
    let asked = asked.into_inner();
    eprintln!("{asked} dynamic ELF files, {} differ", differences.len());
    assert!(differences.is_empty(), "{} of {asked} differ:\n{}", differences.len(), differences.join("\n"));
    assert!(asked > 20, "only {asked} files were found");
}
