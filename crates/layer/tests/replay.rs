//! The corpus of the fuzz targets, on the stable compiler: every file through the same function (`fuzz/entries`).

use std::path::Path;

#[path = "../../../fuzz/entries/layer.rs"]
mod entries;
#[path = "../../../fuzz/entries/mutate.rs"]
mod mutate;

#[allow(clippy::print_stdout, reason = "a panic must say which file it was")]
/// Gives every file of a corpus to `entry`; the last one that is printed is the one that failed.
fn replay(target: &str, entry: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for file in std::fs::read_dir(&folder).expect("the corpus is there") {
        let path = file.expect("a folder can be read").path();
        println!("{}", path.display());
        entry(&std::fs::read(&path).expect("a file can be read"));
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

#[test]
fn tar() {
    replay("tar", entries::tar);
}

#[test]
#[ignore = "takes as long as it is told to: cargo xtask fuzz"]
fn mutated_tar() {
    mutate::for_a_while("tar", entries::tar);
}

#[test]
fn gzip() {
    replay("gzip", entries::gzip);
}

#[test]
#[ignore = "takes as long as it is told to: cargo xtask fuzz"]
fn mutated_gzip() {
    mutate::for_a_while("gzip", entries::gzip);
}

#[test]
fn zstd() {
    replay("zstd", entries::zstd);
}

#[test]
#[ignore = "takes as long as it is told to: cargo xtask fuzz"]
fn mutated_zstd() {
    mutate::for_a_while("zstd", entries::zstd);
}
