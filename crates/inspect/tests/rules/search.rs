//! Where libraries are found: the orders of glibc and musl, on trees in which the same name lies in many places.

use jettison_inspect::loader::{Family, Problem, Start, closure};
use jettison_inspect::{Identity, MemoryTree, View};

use crate::elf_file::ElfFile;

const GLIBC: &str = "/lib64/ld-linux-x86-64.so.2";
const MUSL: &str = "/lib/ld-musl-x86_64.so.1";

/// Paths of what is loaded behind program and loader, and names of what is missing.
fn found(tree: MemoryTree, program: &ElfFile, loader: &str, library_path: Option<&str>) -> String {
    let own = ElfFile::library("ld-linux-x86-64.so.2").bytes();
    let tree = tree.file("/app/bin/program", 0o755, program.bytes()).file(loader, 0o755, own);
    let view = View::new(&tree);
    let place = view.file(b"/app/bin/program").unwrap().unwrap();
    let loader_place = view.file(loader.as_bytes()).unwrap().unwrap();
    let start = Start {
        program: &place,
        elf: view.elf(&place).unwrap().unwrap(),
        loader: (loader.as_bytes(), &loader_place),
        library_path: library_path.map(str::as_bytes),
        working_directory: b"/work",
        identity: &Identity::root(),
    };
    let closure = closure(&view, Family::of(loader.as_bytes()).unwrap(), &start).unwrap();
    let mut out: Vec<String> =
        closure.objects[2..].iter().map(|o| String::from_utf8_lossy(&o.path).into_owned()).collect();
    out.extend(closure.problems.iter().map(|problem| match problem {
        Problem::Missing { name, .. } => format!("-{}", String::from_utf8_lossy(name)),
        other => format!("{other:?}"),
    }));
    out.join(" ")
}

fn library(name: &str) -> Vec<u8> {
    ElfFile::library(name).bytes()
}

fn program() -> ElfFile {
    ElfFile::program().interpreter(GLIBC)
}

/// A tree with `a.so` in each of these directories.
fn with(directories: &[&str]) -> MemoryTree {
    directories.iter().fold(MemoryTree::new(), |tree, directory| {
        tree.file(&format!("{directory}/a.so"), 0o644, library("a.so"))
    })
}

#[test]
fn glibc_order_of_one_object() {
    let all = ["/rpath", "/environment", "/runpath", "/lib64", "/usr/lib"];
    let file = program().needed("a.so").rpath("/rpath");
    assert_eq!(found(with(&all), &file, GLIBC, Some("/environment")), "/rpath/a.so");
    // With a DT_RUNPATH there is no DT_RPATH, and the environment comes first.
    let file = program().needed("a.so").rpath("/rpath").runpath("/runpath");
    assert_eq!(found(with(&all), &file, GLIBC, Some("/environment")), "/environment/a.so");
    assert_eq!(found(with(&all), &file, GLIBC, None), "/runpath/a.so");
    let file = program().needed("a.so");
    assert_eq!(found(with(&all), &file, GLIBC, None), "/lib64/a.so");
    assert_eq!(found(with(&["/usr/lib", "/opt"]), &file, GLIBC, None), "/usr/lib/a.so");
    assert_eq!(found(with(&["/usr/lib", "/lib64"]), &file.no_default_directories(), GLIBC, None), "-a.so");
}

#[test]
fn rpath_is_inherited_and_runpath_is_not() {
    let middle = ElfFile::library("m.so").needed("a.so");
    let tree = || with(&["/own"]).file("/own/m.so", 0o644, middle.bytes());
    let file = program().needed("m.so").rpath("/own");
    assert_eq!(found(tree(), &file, GLIBC, None), "/own/m.so /own/a.so");
    let file = program().needed("m.so").runpath("/own");
    assert_eq!(found(tree(), &file, GLIBC, None), "/own/m.so -a.so");
    // A library with a DT_RUNPATH of its own inherits nothing.
    let middle = middle.clone().runpath("/else");
    let tree = with(&["/own"]).file("/own/m.so", 0o644, middle.bytes());
    let file = program().needed("m.so").rpath("/own");
    assert_eq!(found(tree, &file, GLIBC, None), "/own/m.so -a.so");
}

#[test]
fn tokens_and_relative_elements() {
    let file = program().needed("a.so").runpath("$ORIGIN/../lib");
    assert_eq!(found(with(&["/app/lib"]), &file, GLIBC, None), "/app/bin/../lib/a.so");
    let file = program().needed("a.so").runpath("/x/$LIB:${ORIGIN}");
    assert_eq!(found(with(&["/x/lib64"]), &file, GLIBC, None), "/x/lib64/a.so");
    // An empty element is the working directory.
    let file = program().needed("a.so");
    assert_eq!(found(with(&["/work"]), &file, GLIBC, Some(":/none")), "/work/./a.so");
    let file = program().needed("./plugins/a.so");
    assert_eq!(found(with(&["/work/plugins"]), &file, GLIBC, None), "/work/./plugins/a.so");
}

#[test]
fn a_loader_knows_its_own_directories() {
    let loader = ElfFile::library("ld").tail(b"\0/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0\0");
    let tree =
        with(&["/usr/lib/x86_64-linux-gnu", "/lib64"]).file("/lib/ld-linux.so.2", 0o755, loader.bytes());
    let view = View::new(&tree);
    assert!(view.exists(b"/lib/ld-linux.so.2").unwrap());
    // The loader of the test is written over by `found`, so this one is used under another name.
    let file = ElfFile::program().interpreter("/lib/ld-linux.so.2").needed("a.so").bytes();
    let tree = tree.file("/p", 0o755, file);
    let view = View::new(&tree);
    let place = view.file(b"/p").unwrap().unwrap();
    let loader = view.file(b"/lib/ld-linux.so.2").unwrap().unwrap();
    let start = Start {
        program: &place,
        elf: view.elf(&place).unwrap().unwrap(),
        loader: (b"/lib/ld-linux.so.2", &loader),
        library_path: None,
        working_directory: b"/",
        identity: &Identity::root(),
    };
    let closure = closure(&view, Family::Glibc, &start).unwrap();
    assert_eq!(closure.objects[2].path, b"/usr/lib/x86_64-linux-gnu/a.so");
}

#[test]
fn each_object_once() {
    let a = ElfFile::library("a.so").needed("b.so").needed("ld-linux-x86-64.so.2");
    let b = ElfFile::library("b.so").needed("a.so");
    let tree = MemoryTree::new()
        .file("/lib64/a.so", 0o644, a.bytes())
        .file("/lib64/b.so", 0o644, b.bytes())
        .link("/lib64/alias.so", "a.so");
    let file = program().needed("a.so").needed("alias.so").needed("b.so");
    assert_eq!(found(tree, &file, GLIBC, None), "/lib64/a.so /lib64/b.so");
}

#[test]
fn set_user_id_programs_do_not_listen_to_the_environment() {
    let tree = with(&["/environment"]).file("/app/program", 0o4755, program().needed("a.so").bytes()).file(
        GLIBC,
        0o755,
        library("ld"),
    );
    let view = View::new(&tree);
    let place = view.file(b"/app/program").unwrap().unwrap();
    let loader = view.file(GLIBC.as_bytes()).unwrap().unwrap();
    let who = Identity { uid: 1000, gids: vec![1000] };
    let start = Start {
        program: &place,
        elf: view.elf(&place).unwrap().unwrap(),
        loader: (GLIBC.as_bytes(), &loader),
        library_path: Some(b"/environment"),
        working_directory: b"/",
        identity: &who,
    };
    assert_eq!(closure(&view, Family::Glibc, &start).unwrap().problems.len(), 1);
}

#[test]
fn musl_order() {
    let all = ["/environment", "/rpath", "/lib", "/usr/local/lib"];
    let file = || ElfFile::program().interpreter(MUSL).needed("a.so");
    assert_eq!(found(with(&all), &file().rpath("/rpath"), MUSL, Some("/environment")), "/environment/a.so");
    assert_eq!(found(with(&all), &file().rpath("/rpath"), MUSL, None), "/rpath/a.so");
    assert_eq!(found(with(&all), &file(), MUSL, None), "/lib/a.so");
    assert_eq!(found(with(&["/usr/local/lib"]), &file(), MUSL, None), "/usr/local/lib/a.so");
    let configured = with(&["/opt/x", "/lib"]).file("/etc/ld-musl-x86_64.path", 0o644, "/opt/x\n/opt/y\n");
    assert_eq!(found(configured, &file(), MUSL, None), "/opt/x/a.so");
    // Both kinds of paths are inherited, and the C library is the loader.
    let middle = ElfFile::library("m.so").needed("a.so").needed("libc.so").needed("libpthread.so.0");
    let tree = with(&["/own"]).file("/own/m.so", 0o644, middle.bytes());
    let file = ElfFile::program().interpreter(MUSL).needed("m.so").runpath("/own");
    assert_eq!(found(tree, &file, MUSL, None), "/own/m.so /own/a.so");
}
