//! fsck: whatever happened to a store is found, and mended as far as it can be.

use std::fs;
use std::path::Path;

use jettison_store::{StepResult, Store};

use crate::support::{Place, image, place, reference, snapshot};

/// Finds what `damage` does to a store, and that a repair mends it.
#[track_caller]
fn fsck_mends(damage: impl FnOnce(&Path, &Store), expected: &[&str]) -> Place {
    let place = place();
    let (root, store) = (place.store.root().to_owned(), place.store.clone());
    let (descriptor, _) = image(&store, "kept");
    store.tag(&reference("kept"), &descriptor).unwrap();
    let below = snapshot(&store, None, "a", "content");
    let above = snapshot(&store, Some(&below), "b", "more");
    for (key, id) in [("below", &below), ("above", &above)] {
        store.record_result(key, &StepResult { snapshot: id.clone() }, "step").unwrap();
    }
    assert_eq!(store.fsck(false).unwrap().findings, []);
    damage(&root, &store);
    let found: Vec<String> = store.fsck(true).unwrap().findings.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{found:?} should say {expected:?}");
    }
    let again = store.fsck(false).unwrap().findings;
    assert_eq!(again, [], "a repair mends all");
    place
}

#[test]
fn fsck_finds_and_mends_blobs_that_changed_and_images_that_lack_parts() {
    let place = fsck_mends(
        |root, store| {
            let (_, parts) = image(store, "kept");
            let path = store.blob_path(&parts[1]);
            fs::write(path, "something else").unwrap();
            fs::write(root.join("blobs/sha256/notes.txt"), "").unwrap();
        },
        &[
            "holds other bytes",
            "notes.txt belongs to nothing",
            "the image docker.io/library/kept:latest lacks",
        ],
    );
    assert!(place.store.images().unwrap().is_empty(), "half an image has no name");
}

#[test]
fn fsck_finds_and_mends_snapshots_that_a_power_cut_has_torn() {
    let place = fsck_mends(
        |root, store| {
            let below = store.result("below").unwrap().unwrap().snapshot;
            let file = root.join("snapshots").join(below.to_string()).join("fs/a");
            fs::File::options().write(true).open(file).unwrap().set_len(3).unwrap();
            fs::create_dir_all(root.join("snapshots/0123456789abcdef/fs")).unwrap();
            fs::write(root.join("locks/steps/0123"), "").unwrap();
        },
        &[
            "has 3 bytes, 7 when it was made",
            "which is gone or damaged",
            "0123456789abcdef belongs",
            "results above",
            "results below",
            "locks/steps/0123",
        ],
    );
    assert_eq!(place.store.result("below").unwrap(), None);
}

#[test]
fn snapshots_that_a_power_cut_has_torn_are_no_answer_after_the_restart() {
    let Place { folder: _folder, store } = place();
    let root = store.root().to_owned();
    let torn = {
        let store = store;
        let whole = snapshot(&store, None, "a", "content");
        let torn = snapshot(&store, None, "a", "content");
        // Many, for names are random and a torn one may come before or after what stands on it.
        for number in 0..8 {
            let above = snapshot(&store, Some(&torn), "b", "content");
            store.record_result(&format!("above {number}"), &StepResult { snapshot: above }, "step").unwrap();
        }
        store.record_result("whole", &StepResult { snapshot: whole }, "step").unwrap();
        store.record_result("torn", &StepResult { snapshot: torn.clone() }, "step").unwrap();
        // As if the machine had been another time's.
        store.record_memo("boot", "before").unwrap();
        torn
    };
    let file = root.join("snapshots").join(torn.to_string()).join("fs/a");
    fs::File::options().write(true).open(file).unwrap().set_len(0).unwrap();
    let store = Store::open(&root).unwrap();
    assert!(store.result("whole").unwrap().is_some());
    assert_eq!(store.result("torn").unwrap(), None);
    for number in 0..8 {
        assert_eq!(store.result(&format!("above {number}")).unwrap(), None, "it stands on nothing");
    }
    assert_eq!(store.fsck(false).unwrap().findings, []);
}
