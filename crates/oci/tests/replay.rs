//! The corpus of the fuzz targets, on the stable compiler: every file through the same function (`fuzz/entries`).

#[path = "../../../fuzz/entries/oci.rs"]
mod entries;
#[path = "../../../fuzz/entries/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/entries/replay.rs"]
mod replay;

#[test]
fn reference() {
    replay::replay("reference", entries::reference);
}

#[test]
#[ignore = "takes as long as it is told to: cargo xtask fuzz"]
fn mutated_reference() {
    mutate::for_a_while("reference", entries::reference);
}

#[test]
fn manifest() {
    replay::replay("manifest", entries::manifest);
}

#[test]
#[ignore = "takes as long as it is told to: cargo xtask fuzz"]
fn mutated_manifest() {
    mutate::for_a_while("manifest", entries::manifest);
}
