//! Where things land.

use jettison_layer::copy::{CopyOptions, make_directories};
use std::os::fd::AsFd;

use super::tree::{Trees, is_root, open, to};

const SOURCE: [&str; 3] = ["f", "dir/a", "dir/sub/b"];

/// One row: what is there, destination, what is there afterwards.
fn check(there: &[&str], source: &str, destination: &str, want: &[&str]) {
    let trees = Trees::new(&SOURCE, there);
    trees.copy(&[source], destination).unwrap();
    assert_eq!(trees.shown(), want, "COPY {source} {destination} over {there:?}");
}

#[test]
fn a_file() {
    check(&[], "f", "/x", &["x=f"]);
    check(&[], "f", "/x/", &["x/", "x/f"]);
    check(&[], "f", "/x/.", &["x/", "x/f"]);
    check(&[], "f", "/", &["f"]);
    check(&[], "f", "", &["f"]);
    check(&[], "f", ".", &["f"]);
    check(&[], "f", "/a/b/c", &["a/", "a/b/", "a/b/c=f"]);
    check(&["x/"], "f", "/x", &["x/", "x/f"]);
    check(&[], "f", "/i/j/..", &["i=f"]);
    check(&["i/"], "f", "/i/j/..", &["i/", "i/f"]);
    check(&[], "f", "/../../x", &["x=f"]);
    check(&["x=old"], "f", "/x", &["x=f"]);
}

#[test]
fn a_directory() {
    let inside = ["x/", "x/a", "x/sub/", "x/sub/b"];
    for destination in ["/x", "/x/", "/x/."] {
        check(&[], "dir", destination, &inside);
        check(&["x/"], "dir", destination, &inside);
    }
    check(&["x/a=old", "x/c", "x/sub/d"], "dir", "/x", &["x/", "x/a", "x/c", "x/sub/", "x/sub/b", "x/sub/d"]);
}

#[test]
fn several_sources_overwrite_one_another() {
    let trees = Trees::new(&["f1.go", "f2.go"], &[]);
    trees.copy(&["f*.go"], "/foo").unwrap();
    assert_eq!(trees.shown(), ["foo=f2.go"]);
}

#[test]
fn links_in_the_destination_are_followed_inside_the_root() {
    check(
        &["tmp/", "symlink -> ../tmp/target"],
        "f",
        "/symlink/",
        &["symlink -> ../tmp/target", "tmp/", "tmp/target/", "tmp/target/f"],
    );
    check(&["x -> /tgt"], "f", "/x", &["tgt=f", "x -> /tgt"]);
    check(&["x -> /p/q/tgt"], "f", "/x", &["p/", "p/q/", "p/q/tgt=f", "x -> /p/q/tgt"]);
    check(&["x -> d", "d/"], "f", "/x", &["d/", "d/f", "x -> d"]);
    check(&["x -> d", "d/"], "dir", "/x", &["d/", "d/a", "d/sub/", "d/sub/b", "x -> d"]);
    check(&["x -> d"], "dir", "/x", &["d/", "d/a", "d/sub/", "d/sub/b", "x -> d"]);
    check(&["x -> ../../../y"], "f", "/x/z", &["x -> ../../../y", "y/", "y/z=f"]);
    check(&["a -> b", "b -> c"], "f", "/a", &["a -> b", "b -> c", "c=f"]);
}

#[test]
fn a_link_inside_the_destination_directory_is_replaced() {
    check(&["d/f -> /victim", "victim=safe"], "f", "/d/", &["d/", "d/f", "victim=safe"]);
    check(
        &["d/a -> /victim", "victim=safe"],
        "dir",
        "/d",
        &["d/", "d/a", "d/sub/", "d/sub/b", "victim=safe"],
    );
}

#[test]
fn a_circle_of_links_is_an_error() {
    let trees = Trees::new(&SOURCE, &["a -> b", "b -> a"]);
    assert!(trees.copy(&["f"], "/a").is_err());
    assert!(trees.copy(&["f"], "/a/x").is_err());
}

#[test]
fn files_of_the_dockerfile() {
    let trees = Trees::new(&SOURCE, &["d/"]);
    let inline = vec![(b"one".to_vec(), b"1\n".to_vec()), (b"../two".to_vec(), b"2\n".to_vec())];
    trees.copy_with(&[], CopyOptions { inline, ..to("/d") }).unwrap();
    assert_eq!(trees.shown(), ["d/", "d/one=1\n", "d/two=2\n"]);
    assert_eq!((trees.mode("d/one"), trees.mtime("d/one")), (0o644, 1_000_000));
    let inline = vec![(b"one".to_vec(), b"1\n".to_vec())];
    trees.copy_with(&[], CopyOptions { inline, ..to("/e/name") }).unwrap();
    assert_eq!(trees.shown()[3..], ["e/", "e/name=1\n"]);
}

#[test]
fn directories_of_workdir() {
    let trees = Trees::new(&[], &["there/", "l -> there"]);
    let owner = if is_root() {
        (1000, 1001)
    } else {
        (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
    };
    let root = open(&trees.to());
    make_directories(root.as_fd(), b"/l/a//b/../c/", owner, 0o700, 5).unwrap();
    make_directories(root.as_fd(), b"/", owner, 0o700, 5).unwrap();
    assert_eq!(trees.shown(), ["l -> there", "there/", "there/a/", "there/a/c/"]);
    for path in ["there/a", "there/a/c"] {
        assert_eq!((trees.mode(path), trees.mtime(path), trees.owner(path)), (0o700, 5, owner), "{path}");
    }
    assert_eq!(trees.mode("there"), 0o755);
}
