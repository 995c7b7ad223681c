//! A chunk memory changes how long a layer takes, and not one byte of it.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic anywhere, in its preparations too")]

use std::collections::HashMap;
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Mutex;

use jettison_layer::{ChunkHash, ChunkMemory, EncodeOptions, Encoded, NoChunks, encode, walk};
use jettison_oci::{Compression, Digest};
use proptest::prelude::*;

/// Knows what it was told, and counts how often that was of use.
#[derive(Default)]
struct Memory {
    known: HashMap<ChunkHash, Vec<u8>>,
    hits: Mutex<usize>,
}

impl Memory {
    fn learn(&mut self, encoded: &Encoded, blob: &[u8]) {
        for chunk in &encoded.chunks {
            let (start, length) = (chunk.offset as usize, chunk.length as usize);
            self.known.insert(chunk.key, blob[start..start + length].to_vec());
        }
    }
}

impl ChunkMemory for Memory {
    fn get(&self, key: &ChunkHash) -> Option<Vec<u8>> {
        let found = self.known.get(key).cloned();
        *self.hits.lock().unwrap() += usize::from(found.is_some());
        found
    }
}

fn layer(
    root: &Path,
    compression: Compression,
    threads: usize,
    memory: &dyn ChunkMemory,
) -> (Encoded, Vec<u8>) {
    let root = fs::File::open(root).unwrap();
    let entries = walk(root.as_fd()).unwrap();
    let options = EncodeOptions { compression, level: None, clamp_mtime_s: Some(315_532_800), threads };
    let mut blob = Vec::new();
    let encoded = encode(&entries, &root.as_fd(), &options, memory, &mut blob).unwrap();
    assert_eq!(encoded.digest, Digest::sha256(&blob));
    (encoded, blob)
}

/// Bytes that compress to about a half.
fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 60) as u8
    };
    (0..length).map(|_| b"0123456789abcdef"[usize::from(next())]).collect()
}

#[test]
fn an_edit_compresses_only_what_it_touched() {
    let tree = tempfile::tempdir().unwrap();
    for file in 0..40 {
        fs::write(tree.path().join(format!("{file:02}")), content(file, 300_000)).unwrap();
    }
    for compression in [Compression::Gzip, Compression::Zstd] {
        let mut memory = Memory::default();
        let (encoded, blob) = layer(tree.path(), compression, 2, &memory);
        memory.learn(&encoded, &blob);
        let mut changed = content(7, 300_000);
        changed[150_000] ^= 1;
        fs::write(tree.path().join("07"), changed).unwrap();
        let (again, with_memory) = layer(tree.path(), compression, 2, &memory);
        assert_eq!(*memory.hits.lock().unwrap(), encoded.chunks.len() - 1, "all chunks but one");
        assert!((again, with_memory) == layer(tree.path(), compression, 1, &NoChunks));
        fs::write(tree.path().join("07"), content(7, 300_000)).unwrap();
    }
}

#[test]
fn another_compression_or_level_takes_nothing_over() {
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("f"), content(1, 100_000)).unwrap();
    let mut memory = Memory::default();
    let (encoded, blob) = layer(tree.path(), Compression::Gzip, 1, &memory);
    memory.learn(&encoded, &blob);
    assert!(
        layer(tree.path(), Compression::Zstd, 1, &memory)
            == layer(tree.path(), Compression::Zstd, 1, &NoChunks)
    );
    let root = fs::File::open(tree.path()).unwrap();
    let options = EncodeOptions {
        compression: Compression::Gzip,
        level: Some(1),
        clamp_mtime_s: Some(315_532_800),
        threads: 1,
    };
    encode(&walk(root.as_fd()).unwrap(), &root.as_fd(), &options, &memory, &mut Vec::new()).unwrap();
    assert_eq!(*memory.hits.lock().unwrap(), 0);
    assert!(layer(tree.path(), Compression::None, 1, &memory).0.chunks.is_empty());
}

#[test]
fn the_level_is_higher_for_small_layers() {
    let tree = tempfile::tempdir().unwrap();
    let with_level = |level| {
        let root = fs::File::open(tree.path()).unwrap();
        let options = EncodeOptions {
            compression: Compression::Gzip,
            level: Some(level),
            clamp_mtime_s: Some(315_532_800),
            threads: 2,
        };
        encode(&walk(root.as_fd()).unwrap(), &root.as_fd(), &options, &NoChunks, &mut Vec::new()).unwrap()
    };
    fs::write(tree.path().join("text"), content(1, 100_000)).unwrap();
    assert_eq!(layer(tree.path(), Compression::Gzip, 2, &NoChunks).0, with_level(6));
    let numbers: Vec<String> = (0..1_000_000_u64).map(|n| (n * n % 7919).to_string()).collect();
    fs::write(tree.path().join("numbers"), numbers.join(" ")).unwrap();
    // A quarter of it zeros, as in programs.
    let table: Vec<u8> = (0..250_000_u32).flat_map(|n| (n * (n % 61) % 9_999_991).to_le_bytes()).collect();
    fs::write(tree.path().join("table"), table).unwrap();
    // Holes are quick to read and to compress.
    fs::File::create(tree.path().join("zeros")).unwrap().set_len(65 << 20).unwrap();
    let lengths = |encoded: &Encoded| encoded.chunks.iter().map(|chunk| chunk.length).collect::<Vec<_>>();
    let [first, second] = [1, 2].map(|level| lengths(&with_level(level)));
    let both = lengths(&layer(tree.path(), Compression::Gzip, 2, &NoChunks).0);
    let as_in = |one: &[u64], other: &[u64]| {
        (0..both.len()).filter(|n| both[*n] == one[*n] && one[*n] != other[*n]).count()
    };
    assert!((0..both.len()).all(|n| both[n] == first[n] || both[n] == second[n]));
    assert!(as_in(&first, &second) > 0 && as_in(&second, &first) > 0, "{both:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever was encoded before, and with however many threads.
    #[test]
    fn the_bytes_depend_on_the_content_only(
        sizes in prop::collection::vec(0_usize..700_000, 1..8),
        edits in prop::collection::vec((0_usize..8, any::<u64>()), 1..4),
        threads in 1_usize..5,
    ) {
        let tree = tempfile::tempdir().unwrap();
        let mut memory = Memory::default();
        for (file, size) in sizes.iter().enumerate() {
            fs::write(tree.path().join(file.to_string()), content(file as u64, *size)).unwrap();
        }
        for (file, seed) in edits {
            let found = layer(tree.path(), Compression::Gzip, threads, &memory);
            let fresh = layer(tree.path(), Compression::Gzip, 1, &NoChunks);
            prop_assert!(found == fresh);
            memory.learn(&fresh.0, &fresh.1);
            let file = file % sizes.len();
            fs::write(tree.path().join(file.to_string()), content(seed, sizes[file])).unwrap();
        }
    }
}
