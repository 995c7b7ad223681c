//! Bytes from strangers: an answer in bounded time, whatever they are.

use jettison_inspect::elf::{Elf, go};
use jettison_inspect::loader::Cache;
use jettison_inspect::{Image, MemoryTree, prove};
use jettison_oci::{ContainerConfig, Platform};
use proptest::prelude::*;

use crate::elf_file::ElfFile;

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

fn whole() -> Vec<u8> {
    ElfFile::program()
        .interpreter(LOADER)
        .needed("libc.so.6")
        .needed("libx.so")
        .rpath("$ORIGIN:/x/$LIB")
        .needs_versions("libc.so.6", &["GLIBC_2.34", "GLIBC_2.2.5"])
        .needs_versions("libx.so", &["X_1"])
        .defines(&["A", "B"])
        .bytes()
}

fn mutated(bytes: &[u8], changes: &[(usize, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, value) in changes {
        let at = at % bytes.len();
        bytes[at] = *value;
    }
    bytes
}

/// Uses the file as program, as loader and as library.
fn prove_with(bytes: &[u8]) {
    let tree = MemoryTree::new()
        .file("/app", 0o755, bytes)
        .file(LOADER, 0o755, bytes)
        .file("/lib64/libc.so.6", 0o755, bytes)
        .file("/lib64/libx.so", 0o755, bytes)
        .file("/etc/ld.so.cache", 0o644, bytes);
    let config = ContainerConfig { cmd: Some(vec!["/app".into()]), ..ContainerConfig::default() };
    let platform = Platform::new("linux", "amd64", None);
    prove(&Image { tree: &tree, config: &config, platform: &platform, provenance: None }).unwrap();
}

#[test]
fn every_cut_of_an_elf_file() {
    let bytes = whole();
    for end in 0..bytes.len() {
        let _ = Elf::read(&&bytes[..end]);
        prove_with(&bytes[..end]);
    }
}

#[test]
fn sizes_that_lie() {
    // A file that claims segments of terabytes is read no further than it goes.
    let mut bytes = whole();
    for at in (64..64 + 3 * 56).step_by(8) {
        let kept = bytes[at..at + 8].to_vec();
        bytes[at..at + 8].copy_from_slice(&(1_u64 << 60).to_le_bytes());
        let _ = Elf::read(&&bytes[..]);
        prove_with(&bytes);
        bytes[at..at + 8].copy_from_slice(&kept);
    }
}

proptest! {
    #[test]
    fn mutated_elf_files(changes in prop::collection::vec((any::<usize>(), any::<u8>()), 1..8)) {
        prove_with(&mutated(&whole(), &changes));
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let elf = [b"\x7fELF\x02\x01\x01", &bytes[..]].concat();
        let script = [b"#!", &bytes[..]].concat();
        for bytes in [&bytes[..], &elf[..], &script[..]] {
            prove_with(bytes);
            let _ = go::read(&bytes);
        }
    }

    #[test]
    fn mutated_caches(
        count in any::<u32>(),
        body in prop::collection::vec(any::<u8>(), 0..256),
        is_little in any::<bool>(),
        old in any::<bool>(),
    ) {
        let mut bytes = Vec::new();
        if old {
            bytes.extend(b"ld.so-1.7.0\0");
            bytes.extend((count % 8).to_le_bytes());
        }
        bytes.extend(b"glibc-ld.so.cache1.1");
        bytes.extend(count.to_le_bytes());
        bytes.extend(&body);
        let _ = Cache::parse(&bytes, is_little);
    }

    #[test]
    fn any_config(words in prop::collection::vec("[ -~]{0,20}", 0..4), directory in "[ -~]{0,20}", user in "[ -~]{0,8}") {
        let tree = MemoryTree::new().file("/bin/sh", 0o755, ElfFile::program().bytes()).link("/x", "/x");
        let config = ContainerConfig {
            cmd: Some(words),
            working_dir: directory,
            user,
            ..ContainerConfig::default()
        };
        let platform = Platform::new("linux", "amd64", None);
        prove(&Image { tree: &tree, config: &config, platform: &platform, provenance: None }).unwrap();
    }
}
