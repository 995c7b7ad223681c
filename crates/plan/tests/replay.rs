//! The corpus of the fuzz targets, on the stable compiler: every file through the same function (`fuzz/entries`).

#[path = "../../../fuzz/entries/plan.rs"]
mod entries;
#[path = "../../../fuzz/entries/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/entries/replay.rs"]
mod replay;

#[test]
fn check() {
    replay::replay("check", entries::check);
}

#[test]
#[ignore = "takes as long as it is told to: cargo xtask fuzz"]
fn mutated_check() {
    mutate::for_a_while("check", entries::check);
}
