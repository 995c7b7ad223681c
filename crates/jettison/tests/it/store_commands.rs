//! `images`, `tag`, `rm`, `prune`, `du`, `fsck`: the store from outside.

use crate::fixture::{Jettison, folder};

#[test]
fn tags_come_and_go() {
    let jettison = Jettison::with_busybox();
    jettison.run(&["tag", "busybox", "other:2"]).ok();
    let listed = jettison.run(&["images"]).ok();
    assert!(listed.contains("busybox:latest") && listed.contains("other:2"), "{listed}");
    assert_eq!(jettison.run(&["run", "other:2", "echo", "hi"]).ok(), "hi");
    jettison.run(&["rm", "other:2"]).ok();
    assert!(!jettison.run(&["images"]).ok().contains("other"));
    let stderr = jettison.run(&["rm", "busybox", "nothing"]).fails(4);
    assert!(stderr.contains("nothing"), "{stderr}");
    assert!(jettison.run(&["images"]).ok().contains("busybox"), "a mistyped name removes nothing");
}

#[test]
fn a_digest_or_its_beginning_names_an_image() {
    let jettison = Jettison::with_busybox();
    let digest = jettison.inspect("busybox")["digest"].as_str().unwrap().to_owned();
    for name in [&digest[..], &digest[7..], &digest[7..19]] {
        assert_eq!(jettison.inspect(name)["digest"], digest.as_str());
    }
    let folder = folder("FROM scratch\nCOPY Dockerfile /\n", &[]);
    let unnamed = jettison.build(folder.path(), &[]);
    assert_eq!(jettison.inspect(&unnamed)["digest"], unnamed.as_str());
}

#[test]
fn prune_keeps_what_has_a_name() {
    let jettison = Jettison::with_busybox();
    let folder = folder("FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=8 2>/dev/null\n", &[]);
    let digest = jettison.build(folder.path(), &["-t", "app"]);
    jettison.build(folder.path(), &["--build-arg", "X=1", "--no-cache"]);
    let report = jettison.run(&["prune", "--all"]).ok();
    assert!(report.contains("freed"), "{report}");
    assert_eq!(jettison.inspect("app")["digest"], digest.as_str());
    assert_eq!(jettison.run(&["run", "app", "sh", "-c", "wc -c < /big"]).ok(), "8388608");
    assert_eq!(jettison.build(folder.path(), &[]), digest, "and a build works afterwards");
}

#[test]
fn prune_removes_what_has_none() {
    let jettison = Jettison::with_busybox();
    jettison.run(&["run", "busybox", "true"]).ok();
    jettison.run(&["rm", "busybox"]).ok();
    jettison.run(&["prune", "--all"]).ok();
    let usage = jettison.run(&["du"]).ok();
    for kind in ["blobs", "unpacked"] {
        let line = usage.lines().find(|l| l.starts_with(kind)).unwrap();
        assert!(line.ends_with("0B"), "{usage}");
    }
}

#[test]
fn fsck_says_what_is_wrong_and_mends_it() {
    let jettison = Jettison::with_busybox();
    let folder = folder("FROM busybox\nRUN echo 1 > /one\n", &[]);
    let digest = jettison.build(folder.path(), &["-t", "app"]);
    let said = jettison.run(&["fsck"]).ok();
    assert!(said.starts_with("checked ") && said.ends_with("2 images"), "{said}");
    let layer = jettison.store.path().join("blobs/sha256").join(&digest[7..]);
    std::fs::write(layer, "{}").unwrap();
    let wrong = jettison.run(&["fsck"]);
    assert!(wrong.stdout.contains(&digest) && wrong.stdout.contains("holds other bytes"), "{}", wrong.stdout);
    let stderr = wrong.fails(5);
    assert!(stderr.contains("2 things are wrong") && stderr.contains("fsck --repair"), "{stderr}");
    let mended = jettison.run(&["fsck", "--repair"]).ok();
    assert!(mended.contains("pulled or made again") && mended.contains("its name is taken away"), "{mended}");
    jettison.run(&["fsck"]).ok();
    assert_eq!(jettison.build(folder.path(), &["-t", "app"]), digest, "it is built again");
}

/// Not the image's fault, so that is not what is said; and what helps is.
#[test]
fn a_damaged_blob_is_named_by_whoever_reads_it() {
    let jettison = Jettison::with_busybox();
    let manifest = jettison.inspect("busybox")["manifest"].clone();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let path = jettison.store.path().join("blobs/sha256").join(&layer[7..]);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let out = jettison.store.path().join("out.tar");
    let save = ["save", "-o", out.to_str().unwrap(), "busybox"];
    for (args, code) in [(&["run", "busybox", "true"][..], 125), (&save, 5)] {
        let stderr = jettison.run(args).fails(code);
        assert!(stderr.contains(&layer[7..]) && stderr.contains("is damaged"), "{args:?}: {stderr}");
        assert!(stderr.contains("fsck --repair"), "{args:?}: {stderr}");
    }
    assert!(!out.exists());
    jettison.run(&["fsck", "--repair"]).ok();
    jettison.run(&["load", "-q", "-i", crate::fixture::busybox_archive().to_str().unwrap()]).ok();
    jettison.run(&["run", "busybox", "true"]).ok();
}
