//! A tree out of layers: what later layers hide, replace and link.

use std::process::Command;

use jettison_inspect::{Identity, LayerTree, Tree, View};

/// A tar of what a shell script makes in an empty folder.
pub(crate) fn tar(script: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let ran = Command::new("sh").args(["-ec", script]).current_dir(&folder).status().unwrap();
    assert!(ran.success());
    let output = Command::new("tar")
        .args(["--sort=name", "--sparse", "-cf", "-", "."])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}

fn tree(layers: &[&str]) -> LayerTree {
    let mut tree = LayerTree::new(tempfile::tempfile().unwrap());
    for script in layers {
        tree.add(&mut &tar(script)[..], &jettison_layer::Limits::default()).unwrap();
    }
    tree
}

fn names(tree: &LayerTree, path: &str) -> String {
    let names = tree.names(path.as_bytes()).unwrap();
    let mut names: Vec<String> = names.iter().map(|n| String::from_utf8_lossy(n).into_owned()).collect();
    names.sort();
    names.join(" ")
}

#[test]
fn whiteouts_hide_what_is_below_and_nothing_of_their_own_layer() {
    let base = "mkdir -p a b; touch a/1 a/2 b/1 c";
    assert_eq!(names(&tree(&[base, "mkdir a; touch a/.wh.1"]), "a"), "2");
    assert_eq!(names(&tree(&[base, "touch .wh.a"]), ""), "b c");
    assert_eq!(names(&tree(&[base, "mkdir a; touch a/.wh..wh..opq a/3"]), "a"), "3");
    assert_eq!(names(&tree(&[base, "touch .wh.a; mkdir a; touch a/9"]), "a"), "9");
    assert_eq!(names(&tree(&[base, "touch a"]), ""), "a b c");
    assert_eq!(names(&tree(&[base, "touch a"]), "a"), "");
}

#[test]
fn links_and_contents() {
    let tree = tree(&[
        "mkdir -p usr/bin etc; ln -s usr/bin bin; printf '#!/bin/sh\\n' > usr/bin/x; chmod 755 usr/bin/x; ln usr/bin/x usr/bin/y; seq 1000 > usr/z",
        "mkdir -p etc; echo root:x:0:0:: > etc/passwd",
    ]);
    let view = View::new(&tree);
    let y = view.walk(b"/bin/y", &Identity::root()).unwrap().found().unwrap();
    assert_eq!(y.path, b"usr/bin/y");
    assert_eq!(view.read(b"/bin/y", 100).unwrap().unwrap(), b"#!/bin/sh\n");
    assert_eq!(view.read(b"/etc/passwd", 100).unwrap().unwrap(), b"root:x:0:0::\n");
    // Of what no proof looks at only the beginning is kept, and reading on is an error, not an end.
    let z = view.file(b"/usr/z").unwrap().unwrap();
    let z = view.open(&z).unwrap();
    let mut bytes = [0; 300];
    assert_eq!(z.read_at(0, &mut bytes).unwrap(), 256);
    assert!(bytes.starts_with(b"1\n2\n") && z.read_at(256, &mut bytes).is_err());
}

#[test]
fn a_layer_that_writes_through_a_link_of_a_lower_one() {
    let tree = tree(&["mkdir -p usr/bin; ln -s usr/bin bin", "mkdir bin2; touch bin2/x"]);
    assert_eq!(names(&tree, "bin2"), "x");
}

#[test]
fn files_with_holes_are_whole() {
    let tree = tree(&[
        "mkdir -p var/lib/dpkg; printf abc > var/lib/dpkg/status; truncate -s 1M var/lib/dpkg/status; printf xyz >> var/lib/dpkg/status",
    ]);
    let bytes = View::new(&tree).read(b"/var/lib/dpkg/status", 2 << 20).unwrap().unwrap();
    assert_eq!(bytes.len(), (1 << 20) + 3);
    assert!(bytes.starts_with(b"abc\0") && bytes.ends_with(b"\0xyz"));
}

#[test]
fn a_damaged_layer_is_an_error() {
    let whole = tar("echo hello > a");
    for end in [100, 600] {
        let mut tree = LayerTree::new(tempfile::tempfile().unwrap());
        let _ = tree.add(&mut &whole[..end], &jettison_layer::Limits::default());
    }
    let limits = jettison_layer::Limits { entries_max: 1, ..jettison_layer::Limits::default() };
    let mut tree = LayerTree::new(tempfile::tempfile().unwrap());
    assert!(tree.add(&mut &whole[..], &limits).is_err());
}
