//! The corpus of the fuzz targets, on the stable compiler: every file through the same function (`fuzz/entries`).

#[path = "../../../fuzz/entries/dockerfile.rs"]
mod entries;
#[path = "../../../fuzz/entries/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/entries/replay.rs"]
mod replay;

#[test]
fn dockerfile() {
    replay::replay("dockerfile", entries::dockerfile);
}

#[test]
fn words() {
    replay::replay("words", entries::words);
}

#[test]
fn ignore() {
    replay::replay("ignore", entries::ignore);
}

#[test]
fn mounts() {
    replay::replay("mounts", entries::mounts);
}

#[test]
#[ignore = "takes as long as it is told to: cargo xtask fuzz"]
fn mutated_dockerfile() {
    mutate::for_a_while("dockerfile", entries::dockerfile);
}

#[test]
#[ignore = "takes as long as it is told to: cargo xtask fuzz"]
fn mutated_words() {
    mutate::for_a_while("words", entries::words);
}

#[test]
#[ignore = "takes as long as it is told to: cargo xtask fuzz"]
fn mutated_ignore() {
    mutate::for_a_while("ignore", entries::ignore);
}

#[test]
#[ignore = "takes as long as it is told to: cargo xtask fuzz"]
fn mutated_mounts() {
    mutate::for_a_while("mounts", entries::mounts);
}
