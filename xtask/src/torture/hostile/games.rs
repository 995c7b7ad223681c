//! Random archives of a few names that mean each other: links to links to the outside, files where folders were,
//! whiteouts of parents, devices, duplicates, absolute and climbing paths, overlayfs' own attributes.

use anyhow::Result;
use serde_json::{Value, json};

use super::layout::{self, Layout, TAR};
use super::tar::Tar;
use super::{Case, Expect, Maker, Place, bombs, images};

pub const CASES: &[Maker] = &[
    ("game: random layer", layer),
    ("game: another random layer", layer),
    ("game: random archive", archive),
    ("game: another random archive", archive),
    ("game: random archive of an image", docker),
    ("game: attributes of overlayfs", overlay),
    ("game: devices", devices),
];

/// Names of members; `@` is the canary's folder.
const NAMES: &[&str] = &[
    "a",
    "a/b",
    "a/b/c",
    "b",
    "b/c",
    "c",
    "c/canary",
    "./a",
    "/a",
    "//b",
    "a/../b",
    "../a",
    "@/canary",
    "@",
    "a/.wh.b",
    ".wh.a",
    "b/.wh..wh..opq",
    ".wh..wh..opq",
    ".wh..",
    "a/.wh.canary",
    "c/.wh.canary",
    "",
    ".",
    "/",
];

const TARGETS: &[&str] = &[
    "a",
    "b",
    "../b",
    "/",
    "@",
    "@/canary",
    "..",
    "../../../../../../..",
    "a/b",
    "c",
    "/proc/self/root",
    "",
];

const KINDS: &[u8] = b"0000555522221111347SxgVA";

fn random_tar(place: &mut Place) -> Tar {
    let canary = place.canary.display().to_string();
    let mut tar = Tar::default();
    for _ in 0..2 + place.random.below(12) {
        let name = place.random.pick::<&str>(NAMES).replace('@', &canary);
        let target = place.random.pick::<&str>(TARGETS).replace('@', &canary);
        if place.random.once_in(8) {
            tar = tar.pax("path", &name);
        }
        if place.random.once_in(12) {
            tar = tar.pax("linkpath", &target);
        }
        let kind = *place.random.pick(KINDS);
        let body: &[u8] = if kind == b'0' { b"evil" } else { b"" };
        // Now and then the header lies about what follows.
        let size = if place.random.once_in(20) { 700 } else { body.len() as u64 };
        tar = tar.member(name.as_bytes(), kind, target.as_bytes(), size, body);
    }
    tar
}

fn layer(place: &mut Place) -> Result<Case> {
    let layout = Layout::new(&place.folder.join("layout"))?;
    let plain = random_tar(place).end();
    layout.image(TAR, &plain, &plain, |_| {})?;
    images::given(place, &layout, Expect::Anything)
}

fn archive(place: &mut Place) -> Result<Case> {
    let tar = random_tar(place).end();
    bombs::add(place, &tar, None)
}

/// Docker's own form of archive, whose paths are members themselves.
fn docker(place: &mut Place) -> Result<Case> {
    let plain = Tar::default().file("f", "x").end();
    let config = json!({"architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layout::digest(&plain)]}});
    let (config_path, layer_path) = (place.random.pick::<&str>(NAMES), place.random.pick::<&str>(TARGETS));
    let canary = place.canary.display().to_string();
    let manifest: Value = json!([{"Config": config_path.replace('@', &canary), "RepoTags": ["game:1"],
        "Layers": [layer_path.replace('@', &canary)]}]);
    let tar = random_tar(place)
        .file("manifest.json", &manifest.to_string())
        .file("a", &config.to_string())
        .member(b"b", b'0', b"", plain.len() as u64, &plain);
    let path = place.write("docker.tar", tar.end())?;
    Ok(Case::new(["load", "-q", "-i", &path], Expect::Anything))
}

/// A layer may not tell overlayfs where to look, nor hide what lies below in another way than by whiteouts.
fn overlay(place: &mut Place) -> Result<Case> {
    let mut tar = Tar::default();
    for space in ["user", "trusted"] {
        for (name, value) in [("redirect", "/etc"), ("opaque", "y"), ("metacopy", ""), ("origin", "x")] {
            tar = tar.pax(&format!("SCHILY.xattr.{space}.overlay.{name}"), value);
            tar = tar.directory(&format!("{space}-{name}"));
        }
    }
    tar = tar.pax("SCHILY.xattr.user.overlay.redirect", "/bin/busybox").file("redirected", "own");
    tar = tar.pax("SCHILY.xattr.user.overlay.opaque", "y").directory("etc");
    place.write("context/archive.tar", tar.end())?;
    let arguments = place.build(
        "FROM base0\nADD archive.tar /\nRUN test \"$(cat /redirected)\" = own && test -f /etc/passwd \
         && test -z \"$(ls /user-redirect /trusted-redirect | grep passwd)\"\n",
    )?;
    Ok(Case::works(arguments))
}

/// Devices of the machine never work in a step.
fn devices(place: &mut Place) -> Result<Case> {
    let mut tar = Tar::default();
    for (number, kind) in [(1, b'3'), (2, b'4'), (3, b'3')] {
        let mut header = super::tar::header(format!("dev{number}").as_bytes(), kind, b"", 0);
        // Major and minor number: memory, the first disk, the kernel's log.
        let (major, minor) = [(1, 1), (254, 0), (1, 11)][number - 1];
        header[329..337].copy_from_slice(format!("{major:07o}\0").as_bytes());
        header[337..345].copy_from_slice(format!("{minor:07o}\0").as_bytes());
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.0.extend_from_slice(&header);
    }
    place.write("context/archive.tar", tar.end())?;
    let arguments = place.build(
        "FROM base0\nADD archive.tar /\nRUN for d in /dev1 /dev2 /dev3; do \
         if dd if=$d of=/dev/null bs=1 count=1 2>/dev/null; then exit 9; fi; done\n",
    )?;
    // Refusing the archive would do as well; reading a device would not.
    Ok(Case::works(arguments))
}
