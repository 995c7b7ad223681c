//! Images that lie and Dockerfiles that are too much, as a user meets them. `cargo xtask torture --family hostile` tries
//! a hundred kinds of them; here are those that were believed once.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::fixture::{Jettison, folder, program};

/// The layout of an image whose manifest was changed by `lie`.
fn layout(lie: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("layout");
    let output = format!("type=oci,tar=false,dest={}", at.display());
    Jettison::new()
        .build(folder("FROM scratch\nCOPY f /\n", &[("f", "content")]).path(), &["--output", &output]);
    let mut index = read(&at.join("index.json"));
    let digest = index["manifests"][0]["digest"].as_str().unwrap().replace(':', "/");
    let mut manifest = read(&at.join("blobs").join(digest));
    lie(&mut manifest);
    let bytes = manifest.to_string();
    let named = dir.path().join("manifest");
    fs::write(&named, &bytes).unwrap();
    let sum = program("sha256sum", &[named.to_str().unwrap()]).ok();
    let hex = sum.split(' ').next().unwrap();
    fs::rename(&named, at.join("blobs/sha256").join(hex)).unwrap();
    index["manifests"][0]["digest"] = json!(format!("sha256:{hex}"));
    index["manifests"][0]["size"] = json!(bytes.len());
    fs::write(at.join("index.json"), index.to_string()).unwrap();
    dir
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Such an image went through, and lied to everybody who got it; a size near 2^64 ended the program.
#[test]
fn sizes_that_lie_are_refused_with_both_numbers() {
    for (part, size) in [("layers", json!(7)), ("layers", json!(u64::MAX)), ("config", json!(3))] {
        let dir = layout(|manifest| {
            let descriptor =
                if part == "layers" { &mut manifest["layers"][0] } else { &mut manifest["config"] };
            descriptor["size"] = size.clone();
        });
        let at = dir.path().join("layout");
        let jettison = Jettison::new();
        let context = format!("image=oci-layout://{}", at.display());
        let build = folder("FROM image\nCOPY Dockerfile /x\n", &[]);
        let said = jettison.try_build(build.path(), &["--build-context", &context]).fails(4);
        assert!(said.contains("its descriptor says") && said.contains(&size.to_string()), "{said}");
        let said = jettison.run(&["load", "-i", at.to_str().unwrap()]).fails(4);
        assert!(said.contains("its descriptor says"), "{said}");
        // What the store has already is compared as well.
        jettison.build(folder("FROM scratch\nCOPY f /\n", &[("f", "content")]).path(), &[]);
        jettison.try_build(build.path(), &["--build-context", &context]).fails(4);
    }
}

#[test]
fn an_index_that_cannot_be_read_is_named() {
    let dir = layout(|_| {});
    fs::write(dir.path().join("layout/index.json"), "[".repeat(1000)).unwrap();
    let context = format!("image=oci-layout://{}/layout", dir.path().display());
    let said = Jettison::new()
        .try_build(folder("FROM image\n", &[]).path(), &["--build-context", &context])
        .fails(4);
    assert!(said.contains("index.json"), "{said}");
}

/// A million instructions took more than a gigabyte of memory.
#[test]
fn instructions_beyond_the_limit_are_not_read() {
    let text = format!("FROM scratch\n{}", "LABEL a=b\n".repeat(150_000));
    let said = Jettison::new().try_build(folder(&text, &[]).path(), &[]).fails(3);
    assert!(said.contains("more than 100000 instructions"), "{said}");
}
