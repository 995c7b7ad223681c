//! The corpus of the fuzz targets, on the stable compiler: every file through the same function (`fuzz/entries`).

#[path = "../../../fuzz/entries/inspect.rs"]
mod entries;
#[path = "../../../fuzz/entries/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/entries/replay.rs"]
mod replay;

/// Whatever a file is, its beginnings are damaged ones of the same kind.
fn and_its_beginnings(bytes: &[u8], entry: fn(&[u8])) {
    for cut in 1..=8 {
        entry(&bytes[..bytes.len() * cut / 8]);
    }
}

#[test]
fn elf() {
    replay::replay("elf", |bytes| and_its_beginnings(bytes, entries::elf));
}

#[test]
fn packages() {
    replay::replay("packages", |bytes| and_its_beginnings(bytes, entries::packages));
}

#[test]
fn scripts() {
    replay::replay("scripts", |bytes| and_its_beginnings(bytes, entries::scripts));
}

#[test]
fn layer() {
    replay::replay("layer", |bytes| and_its_beginnings(bytes, entries::layer));
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
