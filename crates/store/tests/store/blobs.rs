//! Blobs: found by their digests, refused with a wrong one, downloads that go on where they broke off.

use std::fs;
use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicU32, Ordering};

use jettison_layer::{Chunk, ChunkHash, ChunkMemory as _};
use jettison_oci::Digest;
use jettison_store::{Error, PruneOptions};

use crate::support::{NEVER, Place, names, place};

#[test]
fn a_blob_is_found_by_its_digest() {
    let Place { folder: _folder, store } = place();
    let (digest, size) = store.put_blob(b"hello").unwrap();
    assert_eq!((&digest, size), (&Digest::sha256(b"hello"), 5));
    assert_eq!(store.has_blob(&digest).unwrap(), Some(5));
    assert_eq!(store.read_blob(&digest, 5).unwrap(), b"hello");
    assert!(matches!(store.read_blob(&digest, 4), Err(Error::TooLarge { size: 5, max: 4, .. })));
    let mut text = String::new();
    store.open_blob(&digest).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    let absent = Digest::sha256(b"absent");
    assert_eq!(store.has_blob(&absent).unwrap(), None);
    assert!(matches!(store.open_blob(&absent), Err(Error::NoBlob(_))));
}

#[test]
fn a_blob_with_the_wrong_digest_is_refused_and_nothing_stays() {
    let Place { folder: _folder, store } = place();
    let mut writer = store.blob_writer().unwrap();
    writer.write_all(b"other bytes").unwrap();
    let refused = writer.commit(Some(&Digest::sha256(b"wanted")));
    assert!(matches!(refused, Err(Error::DigestMismatch { .. })));
    drop(store.blob_writer().unwrap());
    assert_eq!(names(&store.root().join("blobs/sha256")), [""; 0]);
    assert_eq!(store.du().unwrap().temporary_bytes, 0);
}

#[test]
fn a_blob_may_have_a_sha512_digest() {
    let Place { folder: _folder, store } = place();
    let mut hasher = jettison_oci::Hasher::new(jettison_oci::Algorithm::Sha512);
    hasher.update(b"hello");
    let digest = hasher.finish();
    let mut writer = store.blob_writer().unwrap();
    writer.write_all(b"hello").unwrap();
    assert_eq!(writer.commit(Some(&digest)).unwrap().0, digest);
    assert_eq!(store.read_blob(&digest, 10).unwrap(), b"hello");
}

#[test]
fn bytes_that_changed_on_the_disk_are_noticed() {
    let Place { folder: _folder, store } = place();
    let (digest, _) = store.put_blob(b"hello").unwrap();
    fs::write(store.blob_path(&digest), "jello").unwrap();
    assert!(matches!(store.read_blob(&digest, 10), Err(Error::DigestMismatch { .. })));
}

#[test]
fn a_download_goes_on_where_it_was_broken_off() {
    let Place { folder: _folder, store } = place();
    let digest = Digest::sha256(b"hello world");
    let mut partial = store.partial_blob(&digest, &NEVER).unwrap();
    assert_eq!(partial.replay(&mut std::io::sink()).unwrap(), 0);
    partial.write_all(b"hello ").unwrap();
    drop(partial);
    assert_eq!(store.has_blob(&digest).unwrap(), None);

    let mut partial = store.partial_blob(&digest, &NEVER).unwrap();
    let mut seen = Vec::new();
    assert_eq!(partial.replay(&mut seen).unwrap(), 6);
    assert_eq!(seen, b"hello ");
    partial.write_all(b"world").unwrap();
    partial.commit().unwrap();
    assert_eq!(store.read_blob(&digest, 100).unwrap(), b"hello world");
    assert_eq!(names(&store.root().join("partial")), [""; 0]);
}

#[test]
fn a_wrong_download_is_thrown_away() {
    let Place { folder: _folder, store } = place();
    let digest = Digest::sha256(b"wanted");
    let mut partial = store.partial_blob(&digest, &NEVER).unwrap();
    partial.write_all(b"something else").unwrap();
    assert!(matches!(partial.commit(), Err(Error::DigestMismatch { .. })));
    assert_eq!(store.has_blob(&digest).unwrap(), None);
    assert_eq!(store.partial_blob(&digest, &NEVER).unwrap().replay(&mut std::io::sink()).unwrap(), 0);
}

#[test]
fn one_downloads_while_the_others_wait_and_get_it() {
    let Place { folder: _folder, store } = place();
    let digest = Digest::sha256(b"hello world");
    let fetched = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut partial = store.partial_blob(&digest, &NEVER).unwrap();
                let have = partial.replay(&mut std::io::sink()).unwrap();
                if have == 0 {
                    fetched.fetch_add(1, Ordering::SeqCst);
                    partial.write_all(b"hello world").unwrap();
                }
                partial.commit().unwrap();
            });
        }
    });
    assert_eq!(fetched.into_inner(), 1);
    assert_eq!(store.read_blob(&digest, 100).unwrap(), b"hello world");
}

#[test]
fn chunks_are_found_in_the_blobs_that_hold_them_until_these_are_gone() {
    let Place { folder: _folder, store } = place();
    let (blob, _) = store.put_blob(b"first second").unwrap();
    let chunk = |text: &str, offset| Chunk {
        key: ChunkHash::of([text.as_bytes()]),
        offset,
        length: text.len() as u64,
        hash: ChunkHash::of([text.as_bytes()]),
    };
    let chunks = [chunk("first", 0), chunk("second", 6)];
    store.record_chunks(&blob, &chunks).unwrap();
    let memory = store.chunks();
    assert_eq!(memory.get(&chunks[1].key).unwrap(), b"second");
    assert_eq!(memory.get(&chunks[0].key).unwrap(), b"first");
    assert_eq!(memory.get(&ChunkHash::of([&b"third"[..]])), None);
    // Bytes that the disk gives back otherwise are no answer.
    fs::write(store.blob_path(&blob), b"first Second").unwrap();
    assert_eq!(store.chunks().get(&chunks[1].key), None);
    assert_eq!(store.chunks().get(&chunks[0].key).unwrap(), b"first");
    fs::write(store.blob_path(&blob), b"first second").unwrap();
    // A row that says more than the blob holds is no answer.
    store.record_chunks(&blob, &[chunk("longer than it is", 3)]).unwrap();
    assert_eq!(memory.get(&ChunkHash::of([&b"longer than it is"[..]])), None);
    store.prune(&PruneOptions::default()).unwrap();
    assert_eq!(store.chunks().get(&chunks[0].key), None, "no image needs the blob");
    let (other, _) = store.put_blob(b"second first").unwrap();
    store.record_chunks(&other, &[chunk("first", 7)]).unwrap();
    assert_eq!(store.chunks().get(&chunks[0].key).unwrap(), b"first");
}
