//! `save` and `load`: what goes out comes back, and archives that lie change nothing.

use std::fs;

use crate::fixture::{Jettison, busybox_archive, folder, have, program};

#[test]
fn save_and_load_keep_the_digest() {
    let jettison = Jettison::with_busybox();
    let out = tempfile::tempdir().unwrap();
    let before = jettison.inspect("busybox")["digest"].clone();
    for format in ["docker", "oci"] {
        let path = out.path().join(format!("{format}.tar"));
        jettison.run(&["save", "--format", format, "-o", path.to_str().unwrap(), "busybox"]).ok();
        let other = Jettison::new();
        let loaded = other.run(&["load", "-i", path.to_str().unwrap()]).ok();
        assert!(loaded.contains("loaded busybox:latest"), "{loaded}");
        assert_eq!(other.inspect("busybox")["digest"], before);
        assert_eq!(other.run(&["run", "busybox", "echo", "hi"]).ok(), "hi");
    }
}

#[test]
fn load_reads_a_layout_folder() {
    let jettison = Jettison::with_busybox();
    let out = tempfile::tempdir().unwrap();
    let dir = out.path().join("layout");
    let folder = folder("FROM busybox\nRUN echo 1 > /v\n", &[]);
    let digest = jettison
        .build(folder.path(), &["-t", "app:1", "-o", &format!("type=oci,dest={},tar=false", dir.display())]);
    let other = Jettison::new();
    other.run(&["load", "-i", dir.to_str().unwrap()]).ok();
    assert_eq!(other.inspect("app:1")["digest"], digest.as_str());
}

#[test]
fn an_archive_with_a_damaged_blob_is_refused() {
    if !have("tar") {
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let dir = out.path().join("unpacked");
    fs::create_dir(&dir).unwrap();
    program("tar", &["-xf", busybox_archive().to_str().unwrap(), "-C", dir.to_str().unwrap()]).ok();
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.join("manifest.json")).unwrap()).unwrap();
    let layer = dir.join(manifest[0]["Layers"][0].as_str().unwrap());
    let mut bytes = fs::read(&layer).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&layer, bytes).unwrap();
    let jettison = Jettison::new();
    let ran = jettison.run(&["load", "-i", dir.to_str().unwrap()]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("digest"), "{}", ran.stderr);
    assert_eq!(jettison.run(&["images", "-q"]).ok(), "");
}

#[test]
fn what_is_no_archive_is_refused() {
    let jettison = Jettison::new();
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("x");
    for content in ["", "hello", "\u{1f}\u{8b}"] {
        fs::write(&path, content).unwrap();
        let ran = jettison.run(&["load", "-i", path.to_str().unwrap()]);
        assert!(ran.code > 0 && !ran.stderr.contains("panicked"), "{ran:?}");
    }
}
