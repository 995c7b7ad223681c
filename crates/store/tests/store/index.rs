//! The index: names, digests of files, results of steps, locks of steps and cache mounts.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use jettison_layer::select::{FileDigests as _, FileStat};
use jettison_oci::{Descriptor, Digest, Platform, media_type};
use jettison_store::{CacheUse, Error, LayerRecord, Sharing, StepResult, Store};

use crate::support::{NEVER, Place, image, names, place, reference, snapshot};

#[test]
fn what_was_recorded_is_there_after_opening_again() {
    let Place { folder, store } = place();
    let id = snapshot(&store, None, "a", "x");
    let result = StepResult { snapshot: id.clone() };
    store.record_result("key", &result, "RUN true").unwrap();
    store.record_memo("question", "answer").unwrap();
    let (blob, size) = store.put_blob(b"layer").unwrap();
    let layer =
        LayerRecord { diff_id: Digest::sha256(b"tar"), digest: blob.clone(), size, uncompressed_size: 9 };
    store.record_encoded_layer(&id, "gzip", &layer).unwrap();
    let (name, platform) = (reference("debian:13"), Platform::new("linux", "amd64", None));
    let descriptor = Descriptor::new(media_type::OCI_MANIFEST, blob.clone(), size);
    store.record_source(&name, &platform, &descriptor).unwrap();
    store.record_blob_origin(&blob, "docker.io", "library/debian").unwrap();
    drop(store);

    let store = Store::open(&folder.path().join("store")).unwrap();
    assert_eq!(store.result("key").unwrap(), Some(result));
    assert_eq!(store.result("other").unwrap(), None);
    assert_eq!(store.memo("question").unwrap().as_deref(), Some("answer"));
    assert_eq!(store.encoded_layer(&id, "gzip").unwrap(), Some(layer));
    assert_eq!(store.encoded_layer(&id, "zstd").unwrap(), None);
    assert_eq!(store.source(&name, &platform).unwrap().unwrap().manifest, descriptor);
    assert_eq!(store.blob_origins(&blob, "docker.io").unwrap(), ["library/debian"]);
    fs::remove_file(store.blob_path(&blob)).unwrap();
    assert_eq!(store.encoded_layer(&id, "gzip").unwrap(), None, "its blob is gone");
}

#[test]
fn a_name_moves_to_the_image_that_got_it_last() {
    let Place { folder: _folder, store } = place();
    let (first, _) = image(&store, "1");
    let (second, _) = image(&store, "2");
    let name = reference("app:latest");
    store.tag(&name, &first).unwrap();
    store.tag(&name, &second).unwrap();
    assert_eq!(store.image(&name).unwrap().unwrap().descriptor, second);
    assert_eq!(store.images().unwrap().len(), 1);
    assert!(store.untag(&name).unwrap());
    assert!(!store.untag(&name).unwrap());
}

#[test]
fn digests_of_files_are_remembered_for_exactly_this_stat() {
    let Place { folder, store } = place();
    let stat = FileStat { dev: u64::MAX, ino: 7, size: 3, mtime_ns: -5, ctime_ns: 9 };
    store.put(&stat, &Digest::sha256(b"abc"));
    assert_eq!(store.get(&stat), Some(Digest::sha256(b"abc")));
    drop(store);
    let store = Store::open(&folder.path().join("store")).unwrap();
    assert_eq!(store.get(&stat), Some(Digest::sha256(b"abc")));
    for changed in [
        FileStat { dev: 1, ..stat },
        FileStat { ino: 8, ..stat },
        FileStat { size: 4, ..stat },
        FileStat { mtime_ns: 0, ..stat },
        FileStat { ctime_ns: 10, ..stat },
    ] {
        assert_eq!(store.get(&changed), None, "{changed:?}");
    }
}

#[test]
fn equal_steps_run_one_after_the_other() {
    let Place { folder: _folder, store } = place();
    let inside = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, inside) = (&store, &inside);
            scope.spawn(move || {
                for round in 0..50 {
                    let _other = store.lock_step(&format!("{thread} {round}"), &NEVER).unwrap();
                    let _guard = store.lock_step("same", &NEVER).unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(names(&store.root().join("locks/steps")), [""; 0], "no lock files pile up");
}

#[test]
fn who_gives_up_waits_for_nobody_but_takes_what_is_free() {
    let Place { folder: _folder, store } = place();
    let given_up = AtomicBool::new(true);
    let digest = Digest::sha256(b"blob");
    let locked = [cache("id", Sharing::Locked)];
    let step = store.lock_step("step", &given_up).unwrap();
    let download = store.partial_blob(&digest, &given_up).unwrap();
    let caches = store.cache_mounts(&locked, &given_up).unwrap();
    assert!(matches!(store.lock_step("step", &given_up), Err(Error::GivenUp)));
    assert!(matches!(store.partial_blob(&digest, &given_up), Err(Error::GivenUp)));
    assert!(matches!(store.cache_mounts(&locked, &given_up), Err(Error::GivenUp)));
    drop((step, download, caches));
    store.lock_step("step", &given_up).unwrap();
}

fn cache(id: &str, sharing: Sharing) -> CacheUse {
    CacheUse { id: id.to_owned(), sharing, mode: 0o755, uid: 0, gid: 0 }
}

#[test]
fn cache_mounts_are_shared_as_they_say() {
    let Place { folder: _folder, store } = place();
    let hold =
        |id: &str, sharing| store.cache_mounts(&[cache(id, sharing)], &NEVER).unwrap().remove(id).unwrap();
    let first = hold("id", Sharing::Private);
    fs::write(first.path().join("file"), "x").unwrap();
    let second = hold("id", Sharing::Private);
    assert_ne!(first.path(), second.path());
    let path = first.path().to_owned();
    drop((first, second));
    let again = hold("id", Sharing::Locked);
    assert_eq!(again.path(), path);
    assert!(again.path().join("file").exists());
    assert_ne!(hold("other", Sharing::Shared).path(), path);
    // Nobody comes to who has a cache for himself, however he shares.
    let beside = hold("id", Sharing::Shared);
    assert_ne!(beside.path(), path);
    assert_eq!(hold("id", Sharing::Shared).path(), beside.path());
    drop((again, beside));
    let shared = hold("id", Sharing::Shared);
    assert_eq!(shared.path(), path);
    assert_ne!(hold("id", Sharing::Private).path(), path);
    let locked = store.cache_mounts(&[cache("id", Sharing::Locked)], &AtomicBool::new(true));
    assert!(matches!(locked, Err(Error::GivenUp)), "it waits for those who share");
    drop(shared);
    assert_eq!(hold("id", Sharing::Locked).path(), path);
}

#[test]
fn a_cache_that_a_step_asks_for_twice_is_one() {
    let Place { folder: _folder, store } = place();
    for sharing in [Sharing::Locked, Sharing::Private, Sharing::Shared] {
        let twice = [cache("id", sharing), cache("other", sharing), cache("id", sharing)];
        assert_eq!(store.cache_mounts(&twice, &NEVER).unwrap().len(), 2, "{sharing:?}");
    }
}

#[test]
fn steps_that_ask_for_the_same_caches_in_another_order_do_not_wait_for_each_other() {
    let Place { folder: _folder, store } = place();
    let inside = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for turn in 0..3 {
            let (store, inside) = (&store, &inside);
            scope.spawn(move || {
                let mut wanted = ["a", "b", "c"].map(|id| cache(id, Sharing::Locked));
                wanted.rotate_left(turn);
                for _ in 0..300 {
                    let _held = store.cache_mounts(&wanted, &NEVER).unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
}

#[test]
fn a_newer_store_is_refused() {
    let Place { folder, store } = place();
    let root = store.root().to_owned();
    drop(store);
    let index = rusqlite::Connection::open(root.join("index.db")).unwrap();
    index.pragma_update(None, "user_version", 9999).unwrap();
    drop(index);
    let error = Store::open(&folder.path().join("store")).unwrap_err();
    assert!(matches!(error, Error::Newer { found: 9999, .. }), "{error}");
}
