//! What steps brought, from directories as overlayfs keeps them.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jettison_inspect::brought::{Brought, Layer, Levels, Wrote, brought};
use jettison_layer::Kind;
use jettison_layer::copy::{Listed, Listing};
use rustix::fs::{FileType, Mode};

/// Layers below one folder, written by scripts; `base` of them, base first, are below all steps.
fn counted(base: usize, scripts: &[&str]) -> Brought {
    counted_as(base, scripts, |_, directory| Wrote::Directory(open(directory)), false)
}

/// The same; `wrote` says in what form a step left its directory.
fn counted_as(
    base: usize,
    scripts: &[&str],
    wrote: impl Fn(usize, &PathBuf) -> Wrote,
    squashed: bool,
) -> Brought {
    let root = tempfile::tempdir().unwrap();
    let mut directories: Vec<PathBuf> = Vec::new();
    for (number, script) in scripts.iter().enumerate() {
        let directory = root.path().join(number.to_string());
        fs::create_dir(&directory).unwrap();
        for line in script.split("; ") {
            write(&directory, line);
        }
        directories.push(directory);
    }
    let (below, steps) = directories.split_at(base);
    let levels = Levels {
        base: below.iter().rev().map(open).collect(),
        steps: steps.iter().enumerate().map(|(number, path)| wrote(number, path)).collect(),
        squashed,
    };
    brought(&levels, 1000).unwrap().expect("it is not too much")
}

fn open(path: &PathBuf) -> OwnedFd {
    fs::File::open(path).unwrap().into()
}

/// A directory as the listing of a layer that was made of it; of directories only those without files are named.
fn listing(root: &Path) -> Wrote {
    let (mut names, mut pending) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let (path, kind) = entry.map(|entry| (entry.path(), entry.file_type().unwrap())).unwrap();
            let relative = path.strip_prefix(root).unwrap().as_os_str().as_encoded_bytes().to_vec();
            let kind = match kind {
                kind if kind.is_dir() => {
                    pending.push(path);
                    continue;
                }
                kind if kind.is_file() => Kind::File { size: fs::metadata(&path).unwrap().len() },
                _ => Kind::Whiteout,
            };
            names.push(Listed { source: Some(relative.clone()), path: relative, kind });
        }
    }
    names.sort_by(|a, b| a.path.cmp(&b.path));
    Wrote::Layer(Layer::new(Arc::new(Listing { names, from: open(&root.to_owned()) })))
}

/// `PATH BYTES` writes a file, `-PATH` deletes one as overlayfs does, `!PATH` makes a directory that hides what is below.
fn write(directory: &Path, line: &str) {
    let parent = |path: &Path| fs::create_dir_all(path.parent().unwrap()).unwrap();
    if let Some(gone) = line.strip_prefix('-') {
        let path = directory.join(gone);
        parent(&path);
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    } else if let Some(opaque) = line.strip_prefix('!') {
        let path = directory.join(opaque);
        fs::create_dir_all(&path).unwrap();
        rustix::fs::setxattr(&path, "user.overlay.opaque", b"y", rustix::fs::XattrFlags::empty()).unwrap();
    } else if let Some((path, bytes)) = line.split_once(' ') {
        let path = directory.join(path);
        parent(&path);
        fs::write(path, vec![b'x'; bytes.parse().unwrap()]).unwrap();
    }
}

fn text(brought: &Brought) -> String {
    let list = |list: &[jettison_inspect::size::FileUsage]| {
        list.iter().map(|entry| format!(" {} {}", entry.path, entry.bytes)).collect::<Vec<_>>().concat()
    };
    let mut text = format!("folders{}", list(&brought.folders));
    for hidden in &brought.hidden {
        text.push_str(&format!("\n{} of {:?} by {}", hidden.bytes, hidden.of, hidden.by));
    }
    for duplicate in &brought.duplicates {
        text.push_str(&format!("\n{} wasted: {}", duplicate.wasted_bytes, duplicate.paths.join(" ")));
    }
    text
}

#[test]
fn what_lies_on_a_base_is_told_apart_from_it() {
    let brought = counted(
        2,
        &["usr/lib/a 100; usr/lib/b 10; etc/x 5", "usr/lib/b 20", "usr/lib/b 30; app 7; usr/share/doc/c 1"],
    );
    insta::assert_snapshot!(text(&brought), @r"
    folders /usr/lib 30 /app 7 /usr/share 1
    20 of None by 0
    ");
}

#[test]
fn deleted_and_overwritten() {
    let brought = counted(
        1,
        &["d/a 100; d/e/b 10; f 1000", "d/c 3; g 40; h/i 50", "-d; -f; g 4; !h", "d/a 1; f 2; h/i 6"],
    );
    insta::assert_snapshot!(text(&brought), @r"
    folders /h 6 /g 4 /f 2 /d 1
    1110 of None by 1
    93 of Some(0) by 1
    ");
}

#[test]
fn a_file_where_a_folder_was_and_the_other_way_round() {
    let brought = counted(1, &["d/a 100; f 10", "d 5; f/x 6", "!d; d/y 7; -f"]);
    insta::assert_snapshot!(text(&brought), @r"
    folders /d 7
    110 of None by 0
    11 of Some(0) by 1
    ");
}

#[test]
fn the_same_content_several_times() {
    let brought = counted(0, &["a/x 9000; b 9000; c 999; d 999; e 2000", "f/g 9000; e 2001; h 2000"]);
    insta::assert_snapshot!(text(&brought), @r"
    folders /a 9000 /b 9000 /f 9000 /e 2001 /h 2000 /c 999 /d 999
    2000 of Some(0) by 1
    18000 wasted: /a/x /b /f/g
    ");
}

/// What the last step wrote straight into a layer counts as if there were files of it.
#[test]
fn a_layer_without_files() {
    for (base, scripts) in [
        (0, &["a/x 9000; a/b/c/y 10; b 9000; c 5"][..]),
        (1, &["usr/lib/a 100; d/e 70; f 3", "d/g 4; h 5000", "usr/lib/a 30; app/h 5000; -d; f 20"][..]),
        (2, &["usr/lib/a 100; d/e 70", "!usr; usr/x 1", "usr/lib/b 5; usr/x 9; d/e/f 7"][..]),
    ] {
        let last = scripts.len() - base - 1;
        let mixed = counted_as(
            base,
            scripts,
            |number, path| if number == last { listing(path) } else { Wrote::Directory(open(path)) },
            false,
        );
        assert_eq!(mixed, counted(base, scripts), "{scripts:?}");
        assert!(!mixed.folders.is_empty(), "{scripts:?}");
    }
}

/// Of steps that are one layer nothing is hidden but what lies below them.
#[test]
fn steps_that_are_one_layer() {
    let scripts = ["d/a 100; f 1000", "d/c 3; g 40", "-d; g 4", "f 2"];
    let brought = counted_as(1, &scripts, |_, path| Wrote::Directory(open(path)), true);
    insta::assert_snapshot!(text(&brought), @r"
    folders /g 4 /f 2
    1100 of None by 0
    ");
}
