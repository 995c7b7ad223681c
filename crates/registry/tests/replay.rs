//! The corpus of the fuzz targets, on the stable compiler: every file through the same function (`fuzz/entries`).

#[path = "../../../fuzz/entries/registry.rs"]
mod entries;
#[path = "../../../fuzz/entries/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/entries/replay.rs"]
mod replay;

#[test]
fn answer() {
    replay::replay("answer", entries::answer);
}

#[test]
#[ignore = "takes as long as it is told to: cargo xtask fuzz"]
fn mutated_answer() {
    mutate::for_a_while("answer", entries::answer);
}
