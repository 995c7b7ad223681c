//! What changes the digest of a selection, and what does not.

use std::collections::HashMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::sync::Mutex;

use jettison_layer::Error;
use jettison_layer::copy::{CopyError, CopyOptions, copy};
use jettison_layer::select::{FileDigests, FileStat, Mask, content_digest};
use jettison_oci::Digest;

use super::tree::{Trees, needs_root, open, set_time, to};

/// A memory that counts what it is asked and told.
#[derive(Default)]
struct Memory(Mutex<(HashMap<FileStat, Digest>, usize)>);

impl FileDigests for Memory {
    fn get(&self, stat: &FileStat) -> Option<Digest> {
        let mut inner = self.0.lock().unwrap();
        let found = inner.0.get(stat).cloned();
        inner.1 += usize::from(found.is_some());
        found
    }

    fn put(&self, stat: &FileStat, digest: &Digest) {
        self.0.lock().unwrap().0.insert(*stat, digest.clone());
    }
}

const TREE: [&str; 5] = ["d/a=1", "d/b=2", "d/s/c=3", "d/l -> a", "e/x"];

fn digest_with(trees: &Trees, sources: &[&str], parents: bool, mask: Mask, threads: usize) -> Digest {
    let mut selection = trees.select_of(sources, parents).unwrap();
    content_digest(&mut selection, open(&trees.from()).as_fd(), &Memory::default(), mask, threads).unwrap()
}

fn digest(trees: &Trees, sources: &[&str]) -> Digest {
    digest_with(trees, sources, false, Mask::default(), 1)
}

/// Whether `change` changes the digest of `sources`.
fn changes(sources: &[&str], change: impl Fn(&std::path::Path)) -> bool {
    let trees = Trees::new(&TREE, &[]);
    let before = digest(&trees, sources);
    change(&trees.from());
    before != digest(&trees, sources)
}

fn chmod(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn content_names_types_modes_and_links_count() {
    assert!(changes(&["d"], |root| fs::write(root.join("d/a"), "9").unwrap()), "content of the same size");
    assert!(changes(&["d"], |root| fs::rename(root.join("d/a"), root.join("d/z")).unwrap()), "name");
    assert!(changes(&["d"], |root| fs::remove_file(root.join("d/a")).unwrap()), "removal");
    assert!(changes(&["d"], |root| fs::write(root.join("d/new"), "").unwrap()), "addition");
    assert!(changes(&["d"], |root| fs::create_dir(root.join("d/new")).unwrap()), "empty directory");
    assert!(changes(&["d"], |root| chmod(&root.join("d/a"), 0o755)), "mode");
    assert!(changes(&["d"], |root| chmod(&root.join("d/s"), 0o700)), "mode of a directory");
    assert!(
        changes(&["d"], |root| {
            fs::remove_file(root.join("d/l")).unwrap();
            symlink("b", root.join("d/l")).unwrap();
        }),
        "link target"
    );
    assert!(
        changes(&["d"], |root| {
            fs::remove_file(root.join("d/a")).unwrap();
            symlink("1", root.join("d/a")).unwrap();
        }),
        "type"
    );
    assert!(
        changes(&["d"], |root| {
            fs::remove_file(root.join("d/b")).unwrap();
            fs::hard_link(root.join("d/a"), root.join("d/b")).unwrap();
        }),
        "hard link"
    );
    assert!(changes(&["d*"], |root| fs::rename(root.join("d"), root.join("d2")).unwrap()), "matched name");
    assert!(
        changes(&["d/?"], |root| fs::rename(root.join("d/b"), root.join("d/c")).unwrap()),
        "matched file"
    );
}

#[test]
fn times_unselected_files_and_the_directory_itself_do_not_count() {
    assert!(!changes(&["d"], |root| set_time(&root.join("d/a"), 77)), "time of a file");
    assert!(!changes(&["d"], |root| set_time(&root.join("d/s"), 77)), "time of a directory");
    assert!(!changes(&["d"], |root| fs::write(root.join("e/x"), "other").unwrap()), "unselected");
    assert!(!changes(&["d"], |root| chmod(&root.join("d"), 0o700)), "mode of the source directory");
    assert!(!changes(&["d/a"], |root| chmod(&root.join("d"), 0o700)), "mode of what is above a file");
}

#[test]
fn times_count_as_far_as_an_image_shows_them() {
    let trees = Trees::new(&TREE, &[]);
    let of = || digest_with(&trees, &["d"], false, Mask { times_before_s: Some(1000), ..Mask::default() }, 1);
    let at = |path: &str, time| {
        set_time(&trees.from().join(path), time);
        of()
    };
    for path in ["d/a", "d/s", "d"] {
        let late = at(path, 2000);
        assert_eq!(late, at(path, 3000), "{path}: both become 1000");
        assert_ne!(late, at(path, 77), "{path}");
        at(path, 2000);
    }
}

#[test]
fn a_mount_shows_what_the_directory_itself_is() {
    let trees = Trees::new(&TREE, &[]);
    let of = || digest_with(&trees, &["d"], false, Mask { mount: true, ..Mask::default() }, 1);
    let before = of();
    chmod(&trees.from().join("d"), 0o700);
    assert_ne!(before, of());
}

#[test]
fn what_was_changed_for_a_moment_has_another_stamp() {
    let trees = Trees::new(&TREE, &[]);
    let stamp = || trees.select(&["d", "e*"]).unwrap().stamp;
    let before = stamp();
    fs::write(trees.from().join("unselected"), "").unwrap();
    fs::set_permissions(trees.from().join("d"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(before, stamp());
    let path = trees.from().join("d/a");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    for content in ["9", "1"] {
        fs::write(&path, content).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }
    assert_ne!(before, stamp());
}

#[test]
fn parents_count_with_their_modes() {
    let trees = Trees::new(&TREE, &[]);
    let of = || digest_with(&trees, &["d/s/c"], true, Mask::default(), 1);
    let before = of();
    chmod(&trees.from().join("d/s"), 0o700);
    assert_ne!(before, of());
}

#[test]
fn what_is_overwritten_is_masked() {
    let trees = Trees::new(&TREE, &[]);
    let mask = Mask { owner: true, mode: true, ..Mask::default() };
    let before = digest_with(&trees, &["d"], false, mask, 1);
    for (path, mode) in [("d/a", 0o600), ("d/s", 0o700)] {
        chmod(&trees.from().join(path), mode);
    }
    assert_eq!(before, digest_with(&trees, &["d"], false, mask, 1));
    if needs_root() {
        return;
    }
    let unmasked = digest(&trees, &["d"]);
    std::os::unix::fs::chown(trees.from().join("d/a"), Some(5), Some(6)).unwrap();
    assert_eq!(before, digest_with(&trees, &["d"], false, mask, 1));
    assert_ne!(unmasked, digest(&trees, &["d"]));
}

#[test]
fn joined_texts_are_no_equal_inputs() {
    let digests: Vec<Digest> = [
        &["d/a-b=c"][..],
        &["d/a=b-c"],
        &["d/a-=bc"],
        &["d/a/", "d/b/"],
        &["d/a/b/"],
        &["d/ab/"],
        &["d/a=", "d/b="],
        &["d/ab="],
    ]
    .iter()
    .map(|tree| digest(&Trees::new(tree, &[]), &["d"]))
    .collect();
    for (n, one) in digests.iter().enumerate() {
        assert!(!digests[n + 1..].contains(one), "{n}");
    }
}

#[test]
fn the_number_of_threads_does_not_count() {
    let trees = Trees::new(&[], &[]);
    fs::create_dir(trees.from().join("d")).unwrap();
    for n in 0..200 {
        fs::write(trees.from().join(format!("d/{n}")), n.to_string()).unwrap();
    }
    let one = digest_with(&trees, &["d"], false, Mask::default(), 1);
    assert_eq!(one, digest_with(&trees, &["d"], false, Mask::default(), 8));
}

#[test]
fn young_files_are_neither_remembered_nor_believed() {
    let trees = Trees::new(&["f=1"], &[]);
    let memory = Memory::default();
    let of = || {
        let mut selection = trees.select_knowing(&["f"], false, &memory).unwrap();
        content_digest(&mut selection, open(&trees.from()).as_fd(), &memory, Mask::default(), 1).unwrap()
    };
    let first = of();
    assert_eq!(memory.0.lock().unwrap().0.len(), 0, "its change time is now, whatever its mtime says");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!((of(), of()), (first.clone(), first.clone()));
    let (known, answers) = {
        let inner = memory.0.lock().unwrap();
        (inner.0.len(), inner.1)
    };
    assert_eq!((known, answers), (1, 1), "one read, one look");
    // Same size, same mtime: BuildKit builds stale content here.
    fs::write(trees.from().join("f"), "2").unwrap();
    set_time(&trees.from().join("f"), 500_000);
    assert_ne!(of(), first);
}

#[test]
fn a_known_file_that_gets_an_extended_attribute_is_another_one() {
    let trees = Trees::new(&["d/f=1", "d/g=2"], &[]);
    let set = |name: &str| {
        let path = trees.from().join(name);
        rustix::fs::setxattr(&path, "user.note", b"x", rustix::fs::XattrFlags::empty()).is_ok()
    };
    if !set("d/g") {
        eprintln!("skipped: no extended attributes on this file system");
        return;
    }
    let memory = Memory::default();
    let of = || {
        let mut selection = trees.select_knowing(&["d"], false, &memory).unwrap();
        content_digest(&mut selection, open(&trees.from()).as_fd(), &memory, Mask::default(), 1).unwrap()
    };
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let first = of();
    assert_eq!(memory.0.lock().unwrap().0.len(), 1, "one that has an attribute is not remembered");
    assert_eq!(of(), first, "known and unknown files give one digest");
    assert_eq!(digest(&trees, &["d"]), first);
    assert!(set("d/f"));
    assert_ne!(of(), first);
}

/// Between the key and the copy. Of a file that had just been written the content counts, for its times say nothing; one
/// that had been left alone must not have been touched.
#[test]
fn what_is_copied_is_what_was_hashed() {
    let copied = |pause: u64, text: &str| {
        let trees = Trees::new(&TREE, &[]);
        std::thread::sleep(std::time::Duration::from_millis(pause));
        let mut selection = trees.select_of(&["d"], false).unwrap();
        let from = open(&trees.from());
        content_digest(&mut selection, from.as_fd(), &Memory::default(), Mask::default(), 1).unwrap();
        fs::write(trees.from().join("d/a"), text).unwrap();
        let options = CopyOptions { destination: b"/".to_vec(), ..CopyOptions::default() };
        let copied = copy(&selection, from.as_fd(), open(&trees.to()).as_fd(), &options);
        copied.map_err(|error| error.to_string())
    };
    let changed = Err("\"d/a\" changed while it was read".to_owned());
    assert_eq!(copied(0, "1"), Ok(()));
    assert_eq!(copied(0, "9"), changed);
    assert_eq!(copied(1200, "9"), changed);
}

/// Renaming a directory and back changes no time of what is in it, so the stamp does not tell; the files do.
#[test]
fn a_directory_that_another_one_stood_in_for_is_not_copied() {
    for (copied, unpack) in [("d", false), ("d/f", false), (".", false), ("d/a.tar", true)] {
        let (trees, other) = (Trees::new(&["d/f=one"], &[]), Trees::new(&["d/f=two"], &[]));
        for root in [trees.from(), other.from()] {
            let packed = Command::new("tar").args(["-cf", "a.tar", "f"]).current_dir(root.join("d")).status();
            assert!(packed.unwrap().success());
        }
        let selection = trees.select(&[copied]).unwrap();
        let swap = || {
            let (here, there, between) = (trees.from(), other.from(), trees.to().with_file_name("between"));
            fs::rename(here.join("d"), &between).unwrap();
            fs::rename(there.join("d"), here.join("d")).unwrap();
            fs::rename(&between, there.join("d")).unwrap();
        };
        let options = |destination| CopyOptions { unpack, ..to(destination) };
        swap();
        let wrong = trees.carry(&selection, &options("/out/"));
        assert!(matches!(wrong, Err(CopyError::Layer(Error::Changed { .. }))), "{copied}: {wrong:?}");
        swap();
        assert_eq!(trees.select(&[copied]).unwrap().stamp, selection.stamp, "nothing else tells");
        trees.carry(&selection, &options("/again/")).unwrap();
    }
}
