//! What must hold for any bytes that lie in an image: an answer, in time and memory that follow from their size. Used by the
//! fuzz targets, and by the test that replays the corpus on the stable compiler.

use jettison_inspect::elf::{dlopen, go, library_names, section};
use jettison_inspect::loader::Cache;
use jettison_inspect::sbom::{self, Subject};
use jettison_inspect::size::Counter;
use jettison_inspect::tree::join;
use jettison_inspect::{Image, LayerTree, MemoryTree, NodeKind, Tree, prove};
use jettison_layer::Limits;
use jettison_oci::{ContainerConfig, Platform};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
/// Where package managers and programs tell of packages.
const DATABASES: [&str; 8] = [
    "/var/lib/dpkg/status",
    "/lib/apk/db/installed",
    "/var/lib/rpm/rpmdb.sqlite",
    "/var/lib/rpm/Packages.db",
    "/var/lib/rpm/Packages",
    "/usr/bin/program",
    "/usr/lib/node_modules/x/package.json",
    "/usr/lib/python3/dist-packages/x.dist-info/METADATA",
];
/// Most bytes that a layer may unpack to here.
const LAYER_BYTES_MAX: u64 = 1 << 20;

/// A file as program, as loader, as library and as the loader's cache.
pub(crate) fn elf(bytes: &[u8]) {
    let tree = MemoryTree::new()
        .file("/app", 0o755, bytes)
        .file(LOADER, 0o755, bytes)
        .file("/lib64/libc.so.6", 0o755, bytes)
        .file("/lib64/libx.so", 0o755, bytes)
        .file("/etc/ld.so.cache", 0o644, bytes);
    start(&tree, "/app");
    let content: &dyn jettison_inspect::tree::Content = &bytes;
    let _ = (go::read(content), section::names(content), dlopen::read(content));
    for name in library_names(content).expect("bytes in memory can be read") {
        assert!(name.starts_with("lib") && name.contains(".so"), "{name}");
    }
    let _ = (Cache::parse(bytes, true), Cache::parse(bytes, false));
}

/// The database that the first byte says. What it lists can be written, and is the same twice.
pub(crate) fn packages(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let tree = MemoryTree::new().file(DATABASES[usize::from(*first) % DATABASES.len()], 0o755, rest);
    let list = || sbom::inventory(&tree).expect("a tree in memory can be read");
    let found = list();
    let subject =
        Subject { name: "x", digest: "sha256:0", created: "1980-01-01T00:00:00Z", tool_version: "0" };
    let texts =
        |found| [sbom::spdx(found, &subject), sbom::cyclonedx(found, &subject)].map(|v| v.to_string());
    assert_eq!(texts(&found), texts(&list()));
}

/// Files between zero bytes, `/a` to `/z`, all of them executable: scripts that may name each other.
pub(crate) fn scripts(bytes: &[u8]) {
    let mut tree = MemoryTree::new().file("/usr/bin/env", 0o755, &b"#!/a"[..]).link("/l", "/l");
    for (name, script) in (b'a'..=b'z').zip(bytes.split(|byte| *byte == 0)) {
        tree = tree.file(&format!("/{}", char::from(name)), 0o755, script);
    }
    start(&tree, "/a");
}

/// A layer, uncompressed: counted, and as a tree that is walked to its end.
pub(crate) fn layer(bytes: &[u8]) {
    let limits = Limits { bytes_max: LAYER_BYTES_MAX, ..Limits::default() };
    let mut counter = Counter::default();
    let is_counted = counter.add(&mut &bytes[..], &limits).is_ok();
    let usage = counter.finish(10);
    assert!(usage.bytes <= LAYER_BYTES_MAX, "{}", usage.bytes);
    let mut tree = LayerTree::new(tempfile::tempfile().expect("a file can be made"));
    if tree.add(&mut &bytes[..], &limits).is_err() {
        return;
    }
    assert!(is_counted, "one reader takes what the other refuses");
    let mut pending = vec![Vec::new()];
    while let Some(folder) = pending.pop() {
        for name in tree.names(&folder).expect("a folder that is there") {
            assert!(!name.is_empty() && !name.contains(&b'/'), "{name:?}");
            let path = join(&folder, &name);
            match tree.node(&path).expect("an entry that is there").map(|node| node.kind) {
                Some(NodeKind::Directory) => pending.push(path),
                Some(NodeKind::File { size }) => {
                    assert_eq!(tree.open(&path).map(|c| c.size()).ok(), Some(size));
                }
                _ => {}
            }
        }
    }
    start(&tree, "/app");
}

fn start(tree: &dyn Tree, program: &str) {
    let config = ContainerConfig { cmd: Some(vec![program.to_owned()]), ..ContainerConfig::default() };
    let platform = Platform::new("linux", "amd64", None);
    let image = Image { tree, config: &config, platform: &platform, provenance: None };
    let report = prove(&image).expect("what is in memory can be read");
    assert_eq!(report.command, [program]);
}
