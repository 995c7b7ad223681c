//! What steps brought, from directories as overlayfs keeps them.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use jettison_inspect::brought::{Brought, Levels, brought};
use rustix::fs::{FileType, Mode};

/// Layers below one folder, written by scripts; `base` of them, base first, are below all steps.
fn counted(base: usize, scripts: &[&str]) -> Brought {
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
    let open = |path: &PathBuf| OwnedFd::from(fs::File::open(path).unwrap());
    let (below, steps) = directories.split_at(base);
    let levels = Levels {
        base: below.iter().rev().map(open).collect(),
        steps: steps.iter().map(|path| Some(open(path))).collect(),
    };
    brought(&levels, 1000).unwrap().expect("it is not too much")
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
