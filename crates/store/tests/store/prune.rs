//! Prune: what names need stays, whatever else is damaged or in use.

use std::fs;

use jettison_store::{LayerRecord, PruneOptions, SnapshotId, StepResult};

use crate::support::{Place, image, names, place, reference, snapshot};

#[test]
fn prune_keeps_what_names_need() {
    let Place { folder: _folder, store } = place();
    let (named, needed) = image(&store, "named");
    let (_, unneeded) = image(&store, "unnamed");
    store.tag(&reference("app:1"), &named).unwrap();
    let base = snapshot(&store, None, "a", "x");
    let top = snapshot(&store, Some(&base), "b", "x");
    store.record_result("key", &StepResult { snapshot: top.clone() }, "RUN true").unwrap();
    let forgotten = snapshot(&store, Some(&base), "c", "x");

    let young = PruneOptions { keep_used_s: 3600, ..PruneOptions::default() };
    store.prune(&young).unwrap();
    assert!(store.result("key").unwrap().is_some());
    assert!(store.snapshot(&top).unwrap().is_some() && store.snapshot(&base).unwrap().is_some());
    assert!(store.snapshot(&forgotten).unwrap().is_none(), "nothing refers to it");
    for digest in &needed {
        assert!(store.has_blob(digest).unwrap().is_some());
    }

    let report = store.prune(&PruneOptions::default()).unwrap();
    assert_eq!(report.snapshots, 2);
    assert!(store.result("key").unwrap().is_none());
    assert_eq!(names(&store.root().join("snapshots")), [""; 0]);
    for digest in &needed {
        assert!(store.has_blob(digest).unwrap().is_some());
    }
    for digest in &unneeded {
        assert!(store.has_blob(digest).unwrap().is_none());
    }
}

/// What results share counts once; one that is too large does not keep a smaller one, used before it, from staying.
#[test]
fn prune_keeps_what_fits_into_its_budget() {
    for (budget, expected) in [
        (0, ""),
        (50_000, ""),
        (250_000, "a d"),
        (350_000, "a b d"),
        (450_000, "a b c d"),
        (u64::MAX, "a b c d"),
    ] {
        let Place { folder: _folder, store } = place();
        let large = |letter: &str| letter.repeat(100_000);
        let base = snapshot(&store, None, "base", &large("x"));
        for (key, text) in [("a", large("a")), ("b", large("b")), ("c", large("c")), ("d", "d".to_owned())] {
            let top = snapshot(&store, Some(&base), key, &text);
            store.record_result(key, &StepResult { snapshot: top }, "RUN true").unwrap();
        }
        let options = PruneOptions { keep_used_s: 3600, keep_bytes: Some(budget), ..PruneOptions::default() };
        store.prune(&options).unwrap();
        let kept: Vec<&str> =
            ["a", "b", "c", "d"].into_iter().filter(|key| store.result(key).unwrap().is_some()).collect();
        assert_eq!(kept.join(" "), expected, "{budget}");
    }
}

#[test]
fn prune_waits_for_whoever_uses_the_store() {
    let Place { folder: _folder, store } = place();
    let in_use = store.use_shared().unwrap();
    let (digest, _) = store.put_blob(b"about to be tagged").unwrap();
    std::thread::scope(|scope| {
        let pruning = scope.spawn(|| store.prune(&PruneOptions::default()).unwrap());
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!pruning.is_finished());
        assert!(store.has_blob(&digest).unwrap().is_some());
        drop(in_use);
        assert_eq!(pruning.join().unwrap().blobs, 1);
    });
}

#[test]
fn a_damaged_manifest_does_not_keep_prune_from_working() {
    let Place { folder: _folder, store } = place();
    let (named, _) = image(&store, "named");
    store.tag(&reference("app:1"), &named).unwrap();
    fs::write(store.blob_path(&named.digest), "{").unwrap();
    store.prune(&PruneOptions::default()).unwrap();
}

/// The layer that stands for all snapshots that changed nothing belongs to none of them.
#[test]
fn prune_takes_the_layer_of_nothing_and_its_row() {
    let Place { folder: _folder, store } = place();
    let (digest, size) = store.put_blob(b"the layer of nothing").unwrap();
    let record = LayerRecord { diff_id: digest.clone(), digest, size, uncompressed_size: 1024 };
    store.record_encoded_layer(&SnapshotId::nothing(), "gzip", &record).unwrap();
    assert_eq!(store.fsck(false).unwrap().findings.len(), 0);
    store.prune(&PruneOptions::default()).unwrap();
    assert_eq!(store.fsck(false).unwrap().findings.len(), 0);
    assert_eq!(store.encoded_layer(&SnapshotId::nothing(), "gzip").unwrap(), None);
}
