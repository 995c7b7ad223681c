//! One kind of file over another, with BuildKit's messages.

use super::tree::Trees;

fn fails(from: &[&str], there: &[&str], sources: &[&str], destination: &str, want: &str) {
    let trees = Trees::new(from, there);
    let message = trees.copy(sources, destination).unwrap_err().to_string();
    assert_eq!(message, want, "COPY {sources:?} {destination} over {there:?}");
}

#[test]
fn at_the_top() {
    fails(&["f"], &["x=file"], &["f"], "/x/", "mkdir /x: not a directory");
    fails(&["f"], &["x=file"], &["f"], "/x/y", "mkdir /x: not a directory");
    fails(&["d/f"], &["x=file"], &["d"], "/x/", "mkdir /x: not a directory");
    fails(&["d/f"], &["x=file"], &["d"], "/x", "cannot copy to non-directory: /x");
    fails(&["a", "d/f"], &[], &["a", "d"], "/x", "cannot copy to non-directory: /x");
    fails(&["f"], &["x/f/"], &["f"], "/x", "cannot replace to directory /x/f with file");
}

#[test]
fn below() {
    fails(&["d/s/f"], &["x/s=file"], &["d"], "/x", "cannot copy to non-directory: /x/s");
    fails(&["d/s/f"], &["x/t/", "x/s -> t"], &["d"], "/x", "cannot copy to non-directory: /x/s");
    fails(&["d/s=file"], &["x/s/f"], &["d"], "/x", "cannot replace to directory /x/s with file");
    fails(&["d/s -> f"], &["x/s/f"], &["d"], "/x", "cannot replace to directory /x/s with file");
}

#[test]
fn files_and_links_replace_one_another() {
    let trees = Trees::new(&["d/a=new", "d/b -> new"], &["x/a -> old", "x/b=old", "x/old=safe"]);
    trees.copy(&["d"], "/x").unwrap();
    assert_eq!(trees.shown(), ["x/", "x/a=new", "x/b -> new", "x/old=safe"]);
}
