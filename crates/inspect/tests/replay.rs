//! The corpus of the fuzz targets, on the stable compiler: every file through the same function (`fuzz/entries`).

use std::path::Path;

#[path = "../../../fuzz/entries/inspect.rs"]
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
        let bytes = std::fs::read(&path).expect("a file can be read");
        entry(&bytes);
        // Whatever it is, its beginnings are damaged ones of the same kind.
        for cut in 1..8 {
            entry(&bytes[..bytes.len() * cut / 8]);
        }
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

#[test]
fn elf() {
    replay("elf", entries::elf);
}

#[test]
fn packages() {
    replay("packages", entries::packages);
}

#[test]
fn scripts() {
    replay("scripts", entries::scripts);
}

#[test]
fn layer() {
    replay("layer", entries::layer);
}

#[test]
#[ignore = "takes as long as it is told to: cargo xtask fuzz"]
fn mutated_elf() {
    mutate::for_a_while("elf", entries::elf);
}

#[test]
#[ignore = "takes as long as it is told to: cargo xtask fuzz"]
fn mutated_packages() {
    mutate::for_a_while("packages", entries::packages);
}

#[test]
#[ignore = "takes as long as it is told to: cargo xtask fuzz"]
fn mutated_scripts() {
    mutate::for_a_while("scripts", entries::scripts);
}

#[test]
#[ignore = "takes as long as it is told to: cargo xtask fuzz"]
fn mutated_layer() {
    mutate::for_a_while("layer", entries::layer);
}
