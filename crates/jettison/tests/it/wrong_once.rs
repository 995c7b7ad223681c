//! What came wrong once: nothing that a failure leaves in the store stops the same command when all is right again, nor makes
//! its result another one.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::fixture::{Jettison, busybox_archive, folder, program};
use crate::web::{Page, Web};

/// An image as a registry serves it.
struct Image {
    /// Digest and bytes, as `sha256:…`.
    blobs: Vec<(String, Vec<u8>)>,
    manifest: String,
    config: String,
    layer: String,
}

impl Image {
    /// One small file.
    fn small() -> Self {
        let jettison = Jettison::new();
        let dir = tempfile::tempdir().unwrap();
        let layout = dir.path().join("layout");
        let output = format!("type=oci,tar=false,dest={}", layout.display());
        let digest = jettison
            .build(folder("FROM scratch\nCOPY f /f\n", &[("f", "content")]).path(), &["--output", &output]);
        let blobs = fs::read_dir(layout.join("blobs/sha256")).unwrap().map(|file| {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (format!("sha256:{name}"), fs::read(&path).unwrap())
        });
        let blobs: Vec<_> = blobs.collect();
        let manifest: Value = read(&blobs, &digest);
        let (config, layer) = (text(&manifest["config"]["digest"]), text(&manifest["layers"][0]["digest"]));
        Self { blobs, manifest: digest, config, layer }
    }

    fn bytes(&self, digest: &str) -> Vec<u8> {
        self.blobs.iter().find(|(name, _)| name == digest).unwrap().1.clone()
    }

    /// Puts all of it where it belongs, behind an index with the tag `index` too.
    fn serve(&self, web: &Web) {
        web.put("/v2/", Page::new("{}"));
        for (digest, bytes) in &self.blobs {
            web.put(&blob(digest), Page::new(bytes.clone()));
        }
        let manifest = self.bytes(&self.manifest);
        for name in [self.manifest.as_str(), "tag"] {
            web.put(&document(name), typed(manifest.clone(), "manifest"));
        }
        web.put(&document("index"), typed(self.index(manifest.len()), "index"));
    }

    fn index(&self, size: usize) -> Vec<u8> {
        let manifest = &self.manifest;
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{manifest}","size":{size},"platform":{{"architecture":"amd64","os":"linux"}}}}]}}"#
        )
        .into_bytes()
    }
}

fn read(blobs: &[(String, Vec<u8>)], digest: &str) -> Value {
    serde_json::from_slice(&blobs.iter().find(|(name, _)| name == digest).unwrap().1).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn blob(digest: &str) -> String {
    format!("/v2/app/blobs/{digest}")
}

fn document(name: &str) -> String {
    format!("/v2/app/manifests/{name}")
}

fn typed(bytes: Vec<u8>, kind: &str) -> Page {
    Page::new(bytes).header("Content-Type", &format!("application/vnd.oci.image.{kind}.v1+json"))
}

/// One bit in the middle is another.
fn garbled(mut bytes: Vec<u8>) -> Vec<u8> {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

/// The same text with another digest in the place of `digest`.
fn elsewhere(bytes: &[u8], digest: &str) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.replace(digest, &format!("sha256:{}", "0".repeat(64))).into_bytes()
}

/// What is wrong, the tag that notices it, and what is answered where.
fn mistakes(image: &Image) -> Vec<(&'static str, &'static str, String, Page)> {
    let (manifest, layer) = (image.bytes(&image.manifest), image.bytes(&image.layer));
    let size = format!("\"size\":{}", layer.len());
    let other_size = format!("\"size\":{}", layer.len() + 1);
    let resized = String::from_utf8(manifest.clone()).unwrap().replace(&size, &other_size);
    assert_ne!(resized.as_bytes(), manifest);
    let index = image.index(manifest.len());
    vec![
        (
            "a layer that is not there",
            "tag",
            document("tag"),
            typed(elsewhere(&manifest, &image.layer), "manifest"),
        ),
        ("a layer of another size", "tag", document("tag"), typed(resized.into_bytes(), "manifest")),
        (
            "a config that is not there",
            "tag",
            document("tag"),
            typed(elsewhere(&manifest, &image.config), "manifest"),
        ),
        ("no manifest at all", "tag", document("tag"), Page::new("<html>")),
        (
            "a manifest that is not there",
            "index",
            document("index"),
            typed(elsewhere(&index, &image.manifest), "index"),
        ),
        (
            "another manifest",
            "index",
            document(&image.manifest),
            typed(garbled(manifest.clone()), "manifest"),
        ),
        ("another config", "tag", blob(&image.config), Page::new(garbled(image.bytes(&image.config)))),
        ("another layer", "tag", blob(&image.layer), Page::new(garbled(layer.clone()))),
        ("a longer layer", "tag", blob(&image.layer), Page::new([&layer[..], b"x"].concat())),
        ("half a layer", "tag", blob(&image.layer), Page::new(&layer[..layer.len() / 2])),
        ("half a config", "tag", blob(&image.config), Page::new(&image.bytes(&image.config)[..200])),
    ]
}

#[test]
fn of_a_registry() {
    let (image, web) = (Image::small(), Web::start());
    let lent = "ENV A=1\n";
    let mut expected: Option<[String; 2]> = None;
    for (what, tag, path, page) in mistakes(&image) {
        let name = format!("{}/app:{tag}", web.address);
        let used = folder(&format!("FROM {name} AS a\nFROM scratch\nCOPY --from=a /f /g\n"), &[]);
        let given = folder(&format!("FROM {name}\n{lent}"), &[]);
        let archive = used.path().join("archive");
        let output = format!("type=oci,dest={}", archive.display());
        let (builder, lender, puller) = (Jettison::new(), Jettison::new(), Jettison::new());
        let all = || {
            let built = builder.try_build(used.path(), &["--no-cache"]);
            let lent = lender.try_build(given.path(), &["--output", &output]);
            [built, lent, puller.run(&["pull", "-q", "--unpack", &name])]
        };
        image.serve(&web);
        web.put(&path, page);
        for ran in all() {
            assert_eq!(ran.code, 4, "{what}: {}", ran.stderr);
        }
        image.serve(&web);
        let [built, lent, pulled] = all().map(|ran| {
            assert_eq!(ran.code, 0, "{what}, and then the right one: {}", ran.stderr);
            ran.ok()
        });
        // Under each name it is the same image, and what is built on it is the same too.
        let expected = expected.get_or_insert_with(|| [built.clone(), lent.clone()]);
        assert_eq!([built, lent], *expected, "{what}");
        if tag == "tag" {
            assert_eq!(pulled, image.manifest, "{what}");
        }
        puller.run(&["fsck"]).ok();
    }
}

#[test]
fn of_a_web_server() {
    let (jettison, web) = (Jettison::new(), Web::start());
    let content = vec![b'x'; 5000];
    let dockerfile = folder(&format!("FROM scratch\nADD {} /f\n", web.url("/f")), &[]);
    web.put("/f", Page::new(content.clone()));
    let expected = Jettison::new().build(dockerfile.path(), &[]);
    for page in [
        Page { status: 403, ..Page::new("<html>") }.header("ETag", "\"1\""),
        Page { status: 404, ..Page::new("<html>") }.header("ETag", "\"1\""),
    ] {
        web.put("/f", page);
        jettison.try_build(dockerfile.path(), &[]).fails(4);
        web.put("/f", Page::new(content.clone()).header("ETag", "\"1\""));
        assert_eq!(jettison.build(dockerfile.path(), &["--no-cache"]), expected);
        jettison.run(&["prune", "--all"]).ok();
    }
}

#[test]
fn of_a_context() {
    let (jettison, web) = (Jettison::new(), Web::start());
    let files = folder("FROM scratch\nCOPY f /\n", &[("f", "content")]);
    let archive = files.path().join("context.tar.gz");
    program("tar", &["-czf", path(&archive), "-C", path(files.path()), "Dockerfile", "f"]).ok();
    let right = fs::read(&archive).unwrap();
    let url = web.url("/context.tar.gz");
    web.put("/context.tar.gz", Page::new(right.clone()));
    let expected = Jettison::new().run(&["build", &url]).ok();
    for page in [Page::new(garbled(right.clone())), Page::new(&right[..right.len() / 2]), Page::new("")] {
        web.put("/context.tar.gz", page);
        assert_ne!(jettison.run(&["build", &url]).code, 0);
        web.put("/context.tar.gz", Page::new(right.clone()));
        assert_eq!(jettison.run(&["build", &url]).ok(), expected);
    }
}

#[test]
fn of_an_archive() {
    let jettison = Jettison::new();
    let right = fs::read(busybox_archive()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("archive");
    for wrong in [garbled(right.clone()), right[..right.len() / 2].to_vec(), Vec::new()] {
        fs::write(&archive, wrong).unwrap();
        assert_ne!(jettison.run(&["load", "-i", path(&archive)]).code, 0);
        assert_eq!(jettison.run(&["images", "-q"]).ok(), "");
    }
    jettison.run(&["load", "-i", path(busybox_archive())]).ok();
    jettison.run(&["run", "busybox", "true"]).ok();
    jettison.run(&["fsck"]).ok();
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
