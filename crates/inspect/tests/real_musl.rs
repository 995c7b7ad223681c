//! The proof of the proof, for musl: our search against its real loader, over programs that a compiler makes for the purpose:
//! DT_RPATH and DT_RUNPATH that libraries inherit, `$ORIGIN`, LD_LIBRARY_PATH, the path file, what is nowhere.
//!
//! Each case is a root of its own, with the loader of this machine in it; the loader runs there (`chroot`), so root only.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says why and ends")]

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use jettison_inspect::loader::{Closure, Family, Problem, Start, closure};
use jettison_inspect::{Directory, Identity, View};

/// Files of a case: where, what it needs, with which option of the linker.
type Files<'a> = &'a [(&'a str, &'a [&'a str], &'a str)];

fn skip(reason: &str) {
    assert!(std::env::var_os("JETTISON_REQUIRE_ALL").is_none(), "must not be skipped here: {reason}");
    eprintln!("skipped: {reason}");
}

fn loader() -> String {
    format!("/lib/ld-musl-{}.so.1", std::env::consts::ARCH)
}

/// What was compiled already, by its kind, what it needs, and the option.
type Compiled = BTreeMap<(bool, String, String), Vec<u8>>;

/// Makes the files of a case; a program if its name is `app`.
fn make(root: &Path, files: Files<'_>, compiled: &mut Compiled) {
    let inside = |path: &str| root.join(path.trim_start_matches('/'));
    fs::create_dir_all(root.join("lib")).unwrap();
    fs::copy(loader(), inside(&loader())).unwrap();
    for (path, needed, option) in files {
        let key = (path.ends_with("app"), needed.join(" "), (*option).to_owned());
        let bytes = compiled.entry(key).or_insert_with(|| compile(path.ends_with("app"), needed, option));
        let to = inside(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(&to, bytes).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn compile(is_program: bool, needed: &[&str], option: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let gcc = |words: &[&str]| {
        let ran = Command::new("musl-gcc").args(words).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    fs::write(path("app.c"), "int main(void) { return 0; }").unwrap();
    fs::write(path("x.c"), "int x;").unwrap();
    let (out, program, library) = (path("out"), path("app.c"), path("x.c"));
    let mut words = if is_program { vec![&*program] } else { vec!["-shared", "-fPIC", &library] };
    words.extend(["-o", &out, "-Wl,--no-as-needed"]);
    words.extend(option.split(' ').filter(|word| !word.is_empty()));
    // What is needed is linked from stubs that nobody will find there again.
    let stubs: Vec<String> = needed.iter().map(|name| path(name)).collect();
    for (name, stub) in needed.iter().zip(&stubs) {
        gcc(&["-shared", "-fPIC", "-o", stub, &library, &format!("-Wl,-soname,{name}")]);
    }
    words.extend(stubs.iter().map(String::as_str));
    gcc(&words);
    fs::read(out).unwrap()
}

/// Name of each library, and where it is taken from; empty if it is not found.
type Answer = BTreeMap<String, String>;

fn ask_the_loader(root: &Path, program: &str, library_path: Option<&str>) -> Answer {
    let mut command = Command::new("chroot");
    command.arg(root).args([&loader(), "--list", program]).env_clear();
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    if let Some(path) = library_path {
        command.env("LD_LIBRARY_PATH", path);
    }
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let mut answer = Answer::new();
    for line in String::from_utf8_lossy(&text).lines().map(str::trim) {
        if let Some((name, path)) = line.split_once(" => ") {
            answer
                .insert(name.to_owned(), path.rsplit_once(" (0x").map_or(path, |(path, _)| path).to_owned());
        } else if let Some(rest) = line.strip_prefix("Error loading shared library ") {
            answer.insert(rest.split(':').next().unwrap().to_owned(), String::new());
        }
    }
    answer.retain(|name, _| !name.contains("ld-musl") && name != "libc.so");
    answer
}

fn ask_ourselves(root: &Path, program: &str, library_path: Option<&str>) -> Answer {
    let tree = Directory::new(OwnedFd::from(fs::File::open(root).unwrap()));
    let view = View::new(&tree);
    let place = view.file(program.as_bytes()).unwrap().unwrap();
    let name = loader();
    let start = Start {
        program: &place,
        elf: view.elf(&place).unwrap().unwrap(),
        loader: (name.as_bytes(), &view.file(name.as_bytes()).unwrap().unwrap()),
        library_path: library_path.map(str::as_bytes),
        working_directory: b"/",
        identity: &Identity::root(),
    };
    let Closure { objects, problems, .. } = closure(&view, Family::Musl, &start).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut answer: Answer =
        objects[2..].iter().map(|object| (text(object.name()), text(&object.path))).collect();
    for problem in &problems {
        if let Problem::Missing { name, .. } = problem {
            answer.insert(text(name), String::new());
        }
    }
    answer
}

fn check(
    files: Files<'_>,
    library_paths: &[Option<&str>],
    path_file: Option<&str>,
    compiled: &mut Compiled,
) -> Answer {
    let root = tempfile::tempdir().unwrap();
    make(root.path(), files, compiled);
    if let Some(text) = path_file {
        fs::create_dir_all(root.path().join("etc")).unwrap();
        fs::write(root.path().join(format!("etc/ld-musl-{}.path", std::env::consts::ARCH)), text).unwrap();
    }
    let program = files[0].0;
    let mut last = Answer::new();
    for library_path in library_paths {
        let theirs = ask_the_loader(root.path(), program, *library_path);
        last = ask_ourselves(root.path(), program, *library_path);
        assert_eq!(last, theirs, "{files:?} {library_path:?} {path_file:?}");
    }
    last
}

const RPATH: &str = "-Wl,--disable-new-dtags,-rpath,/r";
const RUNPATH: &str = "-Wl,--enable-new-dtags,-rpath,/r";
const ORIGIN: &str = "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../r:${ORIGIN}/none";
const UNKNOWN: &str = "-Wl,--enable-new-dtags,-rpath,/r:/$LIB";

#[test]
fn musls_loader_says_the_same() {
    let has = |name: &str| Command::new(name).arg("--version").output().is_ok();
    if !has("musl-gcc") || !Path::new(&loader()).exists() {
        return skip("no musl-gcc with its loader (Debian's musl-tools)");
    }
    if Command::new("chroot").args(["/", "true"]).output().is_ok_and(|ran| !ran.status.success()) {
        return skip("not root");
    }
    let (a, plain) = (&["liba.so"][..], &[None][..]);
    let compiled = &mut Compiled::new();
    for option in [RPATH, RUNPATH, ORIGIN, UNKNOWN, ""] {
        for place in ["/r/liba.so", "/lib/liba.so", "/usr/lib/liba.so", "/opt/liba.so"] {
            let files: Files<'_> = &[("/bin/app", a, option), (place, &[], "")];
            check(files, &[None, Some("/opt"), Some("/nowhere:/opt")], None, compiled);
        }
        // What a library needs is found with the path of the program that loads it.
        let inherited: Files<'_> =
            &[("/bin/app", a, option), ("/usr/lib/liba.so", &["libb.so"], ""), ("/r/libb.so", &[], "")];
        check(inherited, plain, None, compiled);
        // And not the other way round.
        let below: Files<'_> = &[
            ("/bin/app", &["liba.so", "libb.so"], ""),
            ("/lib/liba.so", &[], option),
            ("/r/libb.so", &[], ""),
        ];
        check(below, plain, None, compiled);
    }
    for path_file in ["/opt\n/lib\n", "/opt:/nowhere", ""] {
        for place in ["/opt/liba.so", "/lib/liba.so"] {
            check(&[("/bin/app", a, ""), (place, &[], "")], plain, Some(path_file), compiled);
        }
    }
    let two: Files<'_> = &[("/bin/app", &["liba.so", "libz.so.1"], RPATH), ("/r/liba.so", &[], "")];
    let found = check(two, plain, None, compiled);
    assert_eq!((&*found["libz.so.1"], &*found["liba.so"]), ("", "/r/liba.so"));
}
