//! What another jettison, or a damaged disk, has put into the index: it is said which row cannot be understood, and nothing
//! that it names is lost. `a_newer_store_is_refused` beside this has the case of a whole format.

use jettison_oci::{Descriptor, media_type};
use jettison_store::{Error, PruneOptions, Store};

#[test]
fn an_image_that_cannot_be_understood_is_named_and_keeps_its_blobs() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let store = Store::open(&root).unwrap();
    let (digest, size) = store.put_blob(b"a manifest of the future").unwrap();
    let descriptor = Descriptor::new(media_type::OCI_MANIFEST, digest.clone(), size);
    store.tag(&"good".parse().unwrap(), &descriptor).unwrap();
    for (name, row) in
        [("docker.io/library/future:1", "{\"kind\":\"holographic\"}"), ("no name : at all", "")]
    {
        let index = rusqlite::Connection::open(root.join("index.db")).unwrap();
        index.execute("INSERT INTO images VALUES (?1, ?2, ?3, 0)", [name, row, &digest.to_string()]).unwrap();
        let named = |error: Error| assert!(error.to_string().contains(name), "{error}");
        named(store.images().unwrap_err());
        named(store.prune(&PruneOptions::default()).unwrap_err());
        assert!(store.has_blob(&digest).unwrap().is_some(), "nothing is removed");
        assert!(store.image(&"good".parse().unwrap()).unwrap().is_some(), "the others work");
        let report = store.fsck(false).unwrap();
        let found =
            report.findings.iter().filter(|finding| finding.to_string().contains("cannot be understood"));
        assert_eq!(found.count(), 1);
        store.fsck(true).unwrap();
        store.tag(&"good".parse().unwrap(), &descriptor).unwrap();
        store.images().unwrap();
    }
}
