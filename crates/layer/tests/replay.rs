//! The corpus of the fuzz targets, on the stable compiler: every file through the same function (`fuzz/entries`).

#[path = "../../../fuzz/entries/layer.rs"]
mod entries;
#[path = "../../../fuzz/entries/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/entries/replay.rs"]
mod replay;

#[test]
fn tar() {
    replay::replay("tar", entries::tar);
}

#[test]
#[ignore = "takes as long as it is told to: cargo xtask fuzz"]
fn mutated_tar() {
    mutate::for_a_while("tar", entries::tar);
}

#[test]
fn gzip() {
    replay::replay("gzip", entries::gzip);
}

#[test]
#[ignore = "takes as long as it is told to: cargo xtask fuzz"]
fn mutated_gzip() {
    mutate::for_a_while("gzip", entries::gzip);
}

#[test]
fn zstd() {
    replay::replay("zstd", entries::zstd);
}

#[test]
#[ignore = "takes as long as it is told to: cargo xtask fuzz"]
fn mutated_zstd() {
    mutate::for_a_while("zstd", entries::zstd);
}
