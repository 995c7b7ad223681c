//! How fast a layer is made: `cargo bench -p jettison-layer`.
//!
//! A tree of 2,000 small files and one of 8 MiB, 16 MiB in all, on one thread: as a plain tar, as gzip and zstd, and as gzip
//! when every chunk is remembered. `select` is the look at the same tree with every digest known, as a rebuild without
//! changes does it, `plan` what COPY makes of it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::hint::black_box;
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::time::SystemTime;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jettison_layer::copy::{CopyOptions, plan};
use jettison_layer::select::{
    FileDigests, FileStat, Mask, PathFilter, Selection, Selector, content_digest, select,
};
use jettison_layer::{Chunk, ChunkHash, ChunkMemory, EncodeOptions, NoChunks, encode, walk};
use jettison_oci::{Compression, Digest};

/// Text that compresses about as well as source code does.
fn text(state: &mut u64, length: usize) -> Vec<u8> {
    const WORDS: [&str; 8] = ["func ", "return ", "layer ", "digest\n", "err ", "nil ", "{ ", "}\n"];
    let mut out = Vec::with_capacity(length + 16);
    while out.len() < length {
        // Knuth's MMIX generator.
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let word = (*state >> 40) as usize;
        out.extend_from_slice(WORDS[word % WORDS.len()].as_bytes());
        if word.is_multiple_of(5) {
            out.extend_from_slice(format!("{word:x} ").as_bytes());
        }
    }
    out.truncate(length);
    out
}

fn make_tree(root: &std::path::Path) {
    let mut state = 42;
    for number in 0..2_000 {
        let folder = root.join(format!("d{}", number % 50));
        fs::create_dir_all(&folder).expect("a temporary folder can be written to");
        let path = folder.join(format!("f{number}"));
        fs::write(&path, text(&mut state, 4_096)).expect("a temporary folder can be written to");
        age(&path);
    }
    fs::write(root.join("large"), text(&mut state, 8 << 20)).expect("a temporary folder can be written to");
    age(&root.join("large"));
}

/// What was written just now is not believed to stay as it is.
fn age(path: &std::path::Path) {
    let file = File::options().write(true).open(path).expect("it was just written");
    file.set_modified(SystemTime::UNIX_EPOCH).expect("the file is ours");
}

/// Chunks that were written before.
struct Remembered(HashMap<ChunkHash, Vec<u8>>);

impl Remembered {
    fn of(blob: &[u8], chunks: &[Chunk]) -> Self {
        let range = |chunk: &Chunk| chunk.offset as usize..(chunk.offset + chunk.length) as usize;
        Self(chunks.iter().map(|chunk| (chunk.key, blob[range(chunk)].to_vec())).collect())
    }
}

impl ChunkMemory for Remembered {
    fn get(&self, key: &ChunkHash) -> Option<Vec<u8>> {
        self.0.get(key).cloned()
    }
}

/// Digests of files that were hashed before.
#[derive(Default)]
struct Known(Mutex<HashMap<FileStat, Digest>>);

impl FileDigests for Known {
    fn get(&self, stat: &FileStat) -> Option<Digest> {
        self.0.lock().expect("nobody panics with it").get(stat).cloned()
    }

    fn put(&self, stat: &FileStat, digest: &Digest) {
        self.0.lock().expect("nobody panics with it").insert(*stat, digest.clone());
    }
}

struct Everything;

impl PathFilter for Everything {
    fn excluded(&self, _path: &[u8]) -> bool {
        false
    }

    fn may_reinclude(&self) -> bool {
        false
    }
}

fn encoding(criterion: &mut Criterion, root: &File) {
    let entries = walk(root.as_fd()).expect("the tree can be read");
    let options =
        |compression| EncodeOptions { compression, level: None, clamp_mtime_s: Some(0), threads: 1 };
    let run = |compression, memory: &dyn ChunkMemory, out: &mut Vec<u8>| {
        out.clear();
        let options = options(compression);
        encode(&entries, &root.as_fd(), &options, memory, out).expect("the tree can be read")
    };
    let mut blob = Vec::new();
    let first = run(Compression::Gzip, &NoChunks, &mut blob);
    let remembered = Remembered::of(&blob, &first.chunks);
    let mut group = criterion.benchmark_group("encode 16 MiB");
    group.throughput(Throughput::Bytes(first.uncompressed_size)).sample_size(10);
    for (name, compression) in
        [("tar", Compression::None), ("gzip", Compression::Gzip), ("zstd", Compression::Zstd)]
    {
        group.bench_function(name, |bencher| bencher.iter(|| run(compression, &NoChunks, &mut blob)));
    }
    group.bench_function("gzip, remembered", |bencher| {
        bencher.iter(|| run(Compression::Gzip, black_box(&remembered), &mut blob));
    });
    group.finish();
}

fn copying(criterion: &mut Criterion, root: &File) {
    // The times of change are young: wait until they are believed.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let known = Known::default();
    let patterns = [b".".to_vec()];
    let look = || -> Selection {
        let selector = Selector {
            patterns: &patterns,
            excludes: &Everything,
            ignore: &Everything,
            parents: false,
            files: &known,
        };
        select(root.as_fd(), &selector).expect("the tree can be read")
    };
    let key = |selection: &mut Selection| {
        content_digest(selection, root.as_fd(), &known, Mask::default(), 1).expect("the tree can be read")
    };
    key(&mut look());
    let mut selection = look();
    let mut group = criterion.benchmark_group("COPY of 2,000 files");
    group.sample_size(20);
    group.bench_function("select", |bencher| bencher.iter(look));
    group.bench_function("key", |bencher| bencher.iter(|| key(black_box(&mut selection))));
    let options = CopyOptions { destination: b"/app/".to_vec(), ..CopyOptions::default() };
    group.bench_function("plan", |bencher| {
        bencher.iter(|| {
            let plan = plan(&selection, root.as_fd(), None, &options).expect("nothing is there yet");
            plan.expect("no archive is unpacked").layer(&[], Some(0)).expect("nothing is read").is_some()
        });
    });
    group.finish();
}

fn bench(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    make_tree(folder.path());
    let root = File::open(folder.path()).expect("it was just made");
    encoding(criterion, &root);
    copying(criterion, &root);
}

criterion_group!(benches, bench);
criterion_main!(benches);
