//! What users of a store may rely on: nothing half-written is ever seen, whatever dies when; processes share a store;
//! prune keeps what names need.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic anywhere, in its preparations too")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use jettison_layer::select::{FileDigests as _, FileStat};
use jettison_layer::{Chunk, ChunkMemory as _};
use jettison_oci::{Descriptor, Digest, Manifest, Platform, Reference, media_type, to_canonical_json};
use jettison_store::{Error, ErrorKind, LayerRecord, PruneOptions, Sharing, SnapshotId, StepResult, Store};

/// Set for a copy of this program that plays another process.
const ROLE: &str = "JETTISON_STORE_TEST_ROLE";
const ROOT: &str = "JETTISON_STORE_TEST_ROOT";

struct Place {
    folder: tempfile::TempDir,
    store: Store,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    Place { folder, store }
}

/// Starts this test again as another process with a role.
fn other_process(test: &str, role: &str, root: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role).env(ROOT, root);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn role() -> Option<(String, Store)> {
    let role = std::env::var(ROLE).ok()?;
    let root = std::env::var_os(ROOT).unwrap();
    Some((role, Store::open(Path::new(&root)).unwrap()))
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn snapshot(store: &Store, parent: Option<&SnapshotId>, file: &str, text: &str) -> SnapshotId {
    let draft = store.begin_snapshot(parent).unwrap();
    fs::write(draft.fs().join(file), text).unwrap();
    draft.commit().unwrap()
}

/// An image of one layer, in the store.
fn image(store: &Store, seed: &str) -> (Descriptor, [Digest; 3]) {
    let (layer, layer_size) = store.put_blob(format!("layer {seed}").as_bytes()).unwrap();
    let (config, config_size) = store.put_blob(format!("config {seed}").as_bytes()).unwrap();
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.to_owned()),
        config: Descriptor::new(media_type::OCI_CONFIG, config.clone(), config_size),
        layers: vec![Descriptor::new(media_type::OCI_LAYER_GZIP, layer.clone(), layer_size)],
        annotations: BTreeMap::default(),
        extra: BTreeMap::default(),
    };
    let (digest, size) = store.put_blob(&to_canonical_json(&manifest)).unwrap();
    (Descriptor::new(media_type::OCI_MANIFEST, digest.clone(), size), [digest, config, layer])
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

#[test]
fn a_blob_is_found_by_its_digest() {
    let Place { folder: _folder, store } = place();
    let (digest, size) = store.put_blob(b"hello").unwrap();
    assert_eq!((&digest, size), (&Digest::sha256(b"hello"), 5));
    assert_eq!(store.has_blob(&digest).unwrap(), Some(5));
    assert_eq!(store.read_blob(&digest, 5).unwrap(), b"hello");
    assert!(matches!(store.read_blob(&digest, 4), Err(Error::TooLarge { size: 5, max: 4, .. })));
    let mut text = String::new();
    store.open_blob(&digest).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    let absent = Digest::sha256(b"absent");
    assert_eq!(store.has_blob(&absent).unwrap(), None);
    assert!(matches!(store.open_blob(&absent), Err(Error::NoBlob(_))));
}

#[test]
fn a_blob_with_the_wrong_digest_is_refused_and_nothing_stays() {
    let Place { folder: _folder, store } = place();
    let mut writer = store.blob_writer().unwrap();
    writer.write_all(b"other bytes").unwrap();
    let refused = writer.commit(Some(&Digest::sha256(b"wanted")));
    assert!(matches!(refused, Err(Error::DigestMismatch { .. })));
    drop(store.blob_writer().unwrap());
    assert_eq!(names(&store.root().join("blobs/sha256")), [""; 0]);
    assert_eq!(store.du().unwrap().temporary_bytes, 0);
}

#[test]
fn a_blob_may_have_a_sha512_digest() {
    let Place { folder: _folder, store } = place();
    let mut hasher = jettison_oci::Hasher::new(jettison_oci::Algorithm::Sha512);
    hasher.update(b"hello");
    let digest = hasher.finish();
    let mut writer = store.blob_writer().unwrap();
    writer.write_all(b"hello").unwrap();
    assert_eq!(writer.commit(Some(&digest)).unwrap().0, digest);
    assert_eq!(store.read_blob(&digest, 10).unwrap(), b"hello");
}

#[test]
fn bytes_that_changed_on_the_disk_are_noticed() {
    let Place { folder: _folder, store } = place();
    let (digest, _) = store.put_blob(b"hello").unwrap();
    fs::write(store.blob_path(&digest), "jello").unwrap();
    assert!(matches!(store.read_blob(&digest, 10), Err(Error::DigestMismatch { .. })));
}

#[test]
fn a_download_goes_on_where_it_was_broken_off() {
    let Place { folder: _folder, store } = place();
    let digest = Digest::sha256(b"hello world");
    let mut partial = store.partial_blob(&digest).unwrap();
    assert_eq!(partial.replay(&mut std::io::sink()).unwrap(), 0);
    partial.write_all(b"hello ").unwrap();
    drop(partial);
    assert_eq!(store.has_blob(&digest).unwrap(), None);

    let mut partial = store.partial_blob(&digest).unwrap();
    let mut seen = Vec::new();
    assert_eq!(partial.replay(&mut seen).unwrap(), 6);
    assert_eq!(seen, b"hello ");
    partial.write_all(b"world").unwrap();
    partial.commit(&digest).unwrap();
    assert_eq!(store.read_blob(&digest, 100).unwrap(), b"hello world");
    assert_eq!(names(&store.root().join("partial")), [""; 0]);
}

#[test]
fn a_wrong_download_is_thrown_away() {
    let Place { folder: _folder, store } = place();
    let digest = Digest::sha256(b"wanted");
    let mut partial = store.partial_blob(&digest).unwrap();
    partial.write_all(b"something else").unwrap();
    assert!(matches!(partial.commit(&digest), Err(Error::DigestMismatch { .. })));
    assert_eq!(store.has_blob(&digest).unwrap(), None);
    assert_eq!(store.partial_blob(&digest).unwrap().replay(&mut std::io::sink()).unwrap(), 0);
}

#[test]
fn one_downloads_while_the_others_wait_and_get_it() {
    let Place { folder: _folder, store } = place();
    let digest = Digest::sha256(b"hello world");
    let fetched = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut partial = store.partial_blob(&digest).unwrap();
                let have = partial.replay(&mut std::io::sink()).unwrap();
                if have == 0 {
                    fetched.fetch_add(1, Ordering::SeqCst);
                    partial.write_all(b"hello world").unwrap();
                }
                partial.commit(&digest).unwrap();
            });
        }
    });
    assert_eq!(fetched.into_inner(), 1);
    assert_eq!(store.read_blob(&digest, 100).unwrap(), b"hello world");
}

#[test]
fn a_snapshot_stands_on_its_parent() {
    let Place { folder: _folder, store } = place();
    let base = snapshot(&store, None, "a", "12345");
    let top = snapshot(&store, Some(&base), "b", "123");
    let info = store.snapshot(&top).unwrap().unwrap();
    assert_eq!((info.parent.as_ref(), info.size), (Some(&base), 3));
    let chain = store.chain(&top).unwrap();
    assert_eq!(chain.len(), 2);
    assert!(chain[0].join("b").exists() && chain[1].join("a").exists() && chain[0].is_absolute());
    // Hundreds of them stand in one mount option.
    assert!(chain[0].strip_prefix(store.root()).unwrap().as_os_str().len() < 40);
}

#[test]
fn a_snapshot_that_changed_nothing_takes_no_part_in_mounts() {
    use std::os::unix::fs::PermissionsExt as _;
    let Place { folder: _folder, store } = place();
    let nothing = store.begin_snapshot(None).unwrap().commit().unwrap();
    assert!(!store.snapshot(&nothing).unwrap().unwrap().unchanged, "it says what `/` is");
    let base = snapshot(&store, None, "a", "x");
    let idle = store.begin_snapshot(Some(&base)).unwrap().commit().unwrap();
    let idle = store.begin_snapshot(Some(&idle)).unwrap().commit().unwrap();
    assert!(store.snapshot(&idle).unwrap().unwrap().unchanged);
    assert_eq!(store.chain(&idle).unwrap(), store.chain(&base).unwrap());
    assert_eq!(store.stack(&idle).unwrap().len(), 3);
    let draft = store.begin_snapshot(Some(&idle)).unwrap();
    assert_eq!(draft.lowers(), store.chain(&base).unwrap());
    fs::set_permissions(draft.fs(), fs::Permissions::from_mode(0o500)).unwrap();
    let closed = draft.commit().unwrap();
    assert!(!store.snapshot(&closed).unwrap().unwrap().unchanged, "the mode of `/` is a change");
    let top = snapshot(&store, Some(&closed), "b", "x");
    assert_eq!(store.chain(&top).unwrap().len(), 3);
    assert_eq!(fs::metadata(&store.chain(&top).unwrap()[0]).unwrap().permissions().mode() & 0o777, 0o500);
}

#[test]
fn a_draft_gets_mode_of_its_parent_and_may_change_it_late() {
    use std::os::unix::fs::PermissionsExt as _;
    let Place { folder: _folder, store } = place();
    let draft = store.begin_snapshot(None).unwrap();
    fs::set_permissions(draft.fs(), fs::Permissions::from_mode(0o555)).unwrap();
    let base = draft.commit().unwrap();
    let mut draft = store.begin_snapshot(Some(&base)).unwrap();
    assert_eq!(fs::metadata(draft.fs()).unwrap().permissions().mode() & 0o7777, 0o555);
    assert_eq!(draft.lowers(), store.chain(&base).unwrap());
    draft.set_parent(None).unwrap();
    assert!(draft.lowers().is_empty());
    draft.set_parent(Some(&base)).unwrap();
    let top = draft.commit().unwrap();
    assert_eq!(store.snapshot(&top).unwrap().unwrap().parent, Some(base));
}

#[test]
fn a_dropped_draft_leaves_nothing() {
    let Place { folder: _folder, store } = place();
    let draft = store.begin_snapshot(None).unwrap();
    fs::write(draft.fs().join("file"), "x").unwrap();
    drop(draft);
    let scratch = store.scratch_dir().unwrap();
    fs::write(scratch.path().join("file"), "x").unwrap();
    drop(scratch);
    assert_eq!(store.du().unwrap().temporary_bytes, 0);
    assert_eq!(names(&store.root().join("snapshots")), [""; 0]);
    assert_eq!(names(store.empty_dir()), [""; 0]);
}

#[test]
fn a_snapshot_that_somebody_removed_by_hand_is_no_answer() {
    let Place { folder: _folder, store } = place();
    let id = snapshot(&store, None, "a", "x");
    let chain_id = Digest::sha256(b"chain");
    store.record_layer_snapshot(&chain_id, &id).unwrap();
    assert_eq!(store.layer_snapshot(&chain_id).unwrap(), Some(id.clone()));
    fs::remove_dir_all(store.chain(&id).unwrap()[0].parent().unwrap()).unwrap();
    assert_eq!(store.snapshot(&id).unwrap(), None);
    assert_eq!(store.layer_snapshot(&chain_id).unwrap(), None);
    assert!(store.chain(&id).is_err());
}

#[test]
fn what_was_recorded_is_there_after_opening_again() {
    let Place { folder, store } = place();
    let id = snapshot(&store, None, "a", "x");
    let result = StepResult { snapshot: id.clone() };
    store.record_result("key", &result, "RUN true").unwrap();
    store.record_memo("question", "answer").unwrap();
    let (blob, size) = store.put_blob(b"layer").unwrap();
    let layer =
        LayerRecord { diff_id: Digest::sha256(b"tar"), digest: blob.clone(), size, uncompressed_size: 9 };
    store.record_encoded_layer(&id, "gzip", &layer).unwrap();
    let (name, platform) = (reference("debian:13"), Platform::new("linux", "amd64", None));
    let descriptor = Descriptor::new(media_type::OCI_MANIFEST, blob.clone(), size);
    store.record_source(&name, &platform, &descriptor).unwrap();
    store.record_blob_origin(&blob, "docker.io", "library/debian").unwrap();
    drop(store);

    let store = Store::open(&folder.path().join("store")).unwrap();
    assert_eq!(store.result("key").unwrap(), Some(result));
    assert_eq!(store.result("other").unwrap(), None);
    assert_eq!(store.memo("question").unwrap().as_deref(), Some("answer"));
    assert_eq!(store.encoded_layer(&id, "gzip").unwrap(), Some(layer));
    assert_eq!(store.encoded_layer(&id, "zstd").unwrap(), None);
    assert_eq!(store.source(&name, &platform).unwrap().unwrap().manifest, descriptor);
    assert_eq!(store.blob_origins(&blob, "docker.io").unwrap(), ["library/debian"]);
    fs::remove_file(store.blob_path(&blob)).unwrap();
    assert_eq!(store.encoded_layer(&id, "gzip").unwrap(), None, "its blob is gone");
}

#[test]
fn a_name_moves_to_the_image_that_got_it_last() {
    let Place { folder: _folder, store } = place();
    let (first, _) = image(&store, "1");
    let (second, _) = image(&store, "2");
    let name = reference("app:latest");
    store.tag(&name, &first).unwrap();
    store.tag(&name, &second).unwrap();
    assert_eq!(store.image(&name).unwrap().unwrap().descriptor, second);
    assert_eq!(store.images().unwrap().len(), 1);
    assert!(store.untag(&name).unwrap());
    assert!(!store.untag(&name).unwrap());
}

#[test]
fn digests_of_files_are_remembered_for_exactly_this_stat() {
    let Place { folder, store } = place();
    let stat = FileStat { dev: u64::MAX, ino: 7, size: 3, mtime_ns: -5, ctime_ns: 9 };
    store.put(&stat, &Digest::sha256(b"abc"));
    assert_eq!(store.get(&stat), Some(Digest::sha256(b"abc")));
    drop(store);
    let store = Store::open(&folder.path().join("store")).unwrap();
    assert_eq!(store.get(&stat), Some(Digest::sha256(b"abc")));
    for changed in [
        FileStat { dev: 1, ..stat },
        FileStat { ino: 8, ..stat },
        FileStat { size: 4, ..stat },
        FileStat { mtime_ns: 0, ..stat },
        FileStat { ctime_ns: 10, ..stat },
    ] {
        assert_eq!(store.get(&changed), None, "{changed:?}");
    }
}

#[test]
fn equal_steps_run_one_after_the_other() {
    let Place { folder: _folder, store } = place();
    let inside = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, inside) = (&store, &inside);
            scope.spawn(move || {
                for round in 0..50 {
                    let _other = store.lock_step(&format!("{thread} {round}")).unwrap();
                    let _guard = store.lock_step("same").unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(names(&store.root().join("locks/steps")), [""; 0], "no lock files pile up");
}

#[test]
fn cache_mounts_are_shared_as_they_say() {
    let Place { folder: _folder, store } = place();
    let first = store.cache_mount("id", Sharing::Private, 0o755, 0, 0).unwrap();
    fs::write(first.path().join("file"), "x").unwrap();
    let second = store.cache_mount("id", Sharing::Private, 0o755, 0, 0).unwrap();
    assert_ne!(first.path(), second.path());
    let path = first.path().to_owned();
    drop((first, second));
    let again = store.cache_mount("id", Sharing::Locked, 0o700, 1, 1).unwrap();
    assert_eq!(again.path(), path);
    assert!(again.path().join("file").exists());
    assert_ne!(store.cache_mount("other", Sharing::Shared, 0o755, 0, 0).unwrap().path(), path);
}

#[test]
fn prune_keeps_what_names_need() {
    let Place { folder: _folder, store } = place();
    let (named, needed) = image(&store, "named");
    let (_, unneeded) = image(&store, "unnamed");
    store.tag(&reference("app:1"), &named).unwrap();
    let base = snapshot(&store, None, "a", "x");
    let top = snapshot(&store, Some(&base), "b", "x");
    store.record_result("key", &StepResult { snapshot: top.clone() }, "RUN true").unwrap();
    let forgotten = snapshot(&store, Some(&base), "c", "x");

    let young = PruneOptions { keep_used_s: 3600, ..PruneOptions::default() };
    store.prune(&young).unwrap();
    assert!(store.result("key").unwrap().is_some());
    assert!(store.snapshot(&top).unwrap().is_some() && store.snapshot(&base).unwrap().is_some());
    assert!(store.snapshot(&forgotten).unwrap().is_none(), "nothing refers to it");
    for digest in &needed {
        assert!(store.has_blob(digest).unwrap().is_some());
    }

    let report = store.prune(&PruneOptions::default()).unwrap();
    assert_eq!(report.snapshots, 2);
    assert!(store.result("key").unwrap().is_none());
    assert_eq!(names(&store.root().join("snapshots")), [""; 0]);
    for digest in &needed {
        assert!(store.has_blob(digest).unwrap().is_some());
    }
    for digest in &unneeded {
        assert!(store.has_blob(digest).unwrap().is_none());
    }
}

#[test]
fn prune_waits_for_whoever_uses_the_store() {
    let Place { folder: _folder, store } = place();
    let in_use = store.use_shared().unwrap();
    let (digest, _) = store.put_blob(b"about to be tagged").unwrap();
    std::thread::scope(|scope| {
        let pruning = scope.spawn(|| store.prune(&PruneOptions::default()).unwrap());
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!pruning.is_finished());
        assert!(store.has_blob(&digest).unwrap().is_some());
        drop(in_use);
        assert_eq!(pruning.join().unwrap().blobs, 1);
    });
}

#[test]
fn a_damaged_manifest_does_not_keep_prune_from_working() {
    let Place { folder: _folder, store } = place();
    let (named, _) = image(&store, "named");
    store.tag(&reference("app:1"), &named).unwrap();
    fs::write(store.blob_path(&named.digest), "{").unwrap();
    store.prune(&PruneOptions::default()).unwrap();
}

#[test]
fn many_may_make_the_same_store_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("new");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let root = &root;
            scope.spawn(move || {
                let store = Store::open(root).unwrap();
                store.record_memo(&number.to_string(), "there").unwrap();
            });
        }
    });
    let store = Store::open(&root).unwrap();
    assert!((0..8).all(|number| store.memo(&number.to_string()).unwrap().is_some()));
}

#[test]
fn processes_share_a_store() {
    if let Some((role, store)) = role() {
        for number in 0..20 {
            let _guard = store.lock_step("count").unwrap();
            let before: u32 = store.memo("count").unwrap().map_or(0, |text| text.parse().unwrap());
            store.record_memo("count", &(before + 1).to_string()).unwrap();
            store.put_blob(format!("{role} {number}").as_bytes()).unwrap();
            snapshot(&store, None, &role, "x");
        }
        return;
    }
    let Place { folder: _folder, store } = place();
    let children: Vec<_> = ["a", "b", "c"]
        .map(|role| other_process("processes_share_a_store", role, store.root()).spawn().unwrap())
        .into();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(store.memo("count").unwrap().as_deref(), Some("60"));
    let usage = store.du().unwrap();
    assert_eq!((usage.blobs, usage.snapshots, usage.temporary_bytes), (60, 60, 0));
}

#[test]
fn a_killed_process_leaves_nothing_behind_the_next_opening() {
    if let Some((_, store)) = role() {
        let draft = store.begin_snapshot(None).unwrap();
        fs::create_dir_all(draft.fs().join("deep/tree")).unwrap();
        fs::write(draft.fs().join("deep/tree/file"), "x").unwrap();
        let mut writer = store.blob_writer().unwrap();
        writer.write_all(&[0; 1 << 20]).unwrap();
        let _scratch = store.scratch_dir().unwrap();
        let _step = store.lock_step("step").unwrap();
        println!("ready");
        loop {
            std::thread::park();
        }
    }
    let Place { folder, store } = place();
    let mut child =
        other_process("a_killed_process_leaves_nothing_behind_the_next_opening", "die", store.root())
            .spawn()
            .unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("ready") {
        line.clear();
        assert_ne!(std::io::BufRead::read_line(&mut out, &mut line).unwrap(), 0);
    }
    assert!(store.du().unwrap().temporary_bytes > 0);
    // Opening a store does not touch what the living have in work.
    drop(Store::open(&folder.path().join("store")).unwrap());
    assert!(store.du().unwrap().temporary_bytes > 0);
    child.kill().unwrap();
    child.wait().unwrap();
    let again = Store::open(&folder.path().join("store")).unwrap();
    assert_eq!(again.du().unwrap().temporary_bytes, 0);
    assert_eq!(names(&again.root().join("snapshots")), [""; 0]);
    drop(again.lock_step("step").unwrap());
}

#[test]
fn a_mount_in_a_tree_is_left_alone() {
    if std::env::var(ROLE).is_ok() {
        let root = std::env::var_os(ROOT).unwrap();
        let tree = Path::new(&root).join("tree");
        let error = jettison_store::remove_tree(&tree).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::CrossesDevices, "{error}");
        assert!(tree.join("mounted/precious").exists());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("outside")).unwrap();
    fs::write(folder.path().join("outside/precious"), "x").unwrap();
    fs::create_dir_all(folder.path().join("tree/mounted")).unwrap();
    // A bind mount of the same file system: the device number is the same on both sides.
    let script = "mount --make-rprivate / && mount --bind \"$0/outside\" \"$0/tree/mounted\" && \
                  exec \"$1\" a_mount_in_a_tree_is_left_alone --exact";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(folder.path()).arg(std::env::current_exe().unwrap());
    match command.env(ROLE, "remove").env(ROOT, folder.path()).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) if String::from_utf8_lossy(&output.stdout).contains("running 1 test") => {
            panic!("{}", String::from_utf8_lossy(&output.stdout))
        }
        Ok(output) => eprintln!("skipped: no private mounts: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => eprintln!("skipped: no unshare program: {error}"),
    }
    assert!(folder.path().join("outside/precious").exists());
}

#[test]
fn a_store_that_may_not_be_written_says_so() {
    if std::env::var(ROLE).is_ok() {
        let root = std::env::var_os(ROOT).unwrap();
        let error = Store::open(Path::new(&root)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotWritable, "{error}");
        return;
    }
    // A file is in the way: the same for every user.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "x").unwrap();
    let error = Store::open(&folder.path().join("file/store")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotWritable, "{error}");
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: another user's store can only be tried as root");
        return;
    }
    use std::os::unix::fs::PermissionsExt as _;
    drop(Store::open(folder.path().join("store").as_path()).unwrap());
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for root in ["store", "new"] {
        let mut child =
            other_process("a_store_that_may_not_be_written_says_so", "read", &folder.path().join(root));
        match child.uid(65534).gid(65534).output() {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
            Err(error) => eprintln!("skipped: the test program cannot be run as nobody: {error}"),
        }
    }
}

#[test]
fn a_newer_store_is_refused() {
    let Place { folder, store } = place();
    let root = store.root().to_owned();
    drop(store);
    let index = rusqlite::Connection::open(root.join("index.db")).unwrap();
    index.pragma_update(None, "user_version", 9999).unwrap();
    drop(index);
    let error = Store::open(&folder.path().join("store")).unwrap_err();
    assert!(matches!(error, Error::Newer { found: 9999, .. }), "{error}");
}

#[test]
fn opening_and_asking_is_fast() {
    let Place { folder, store } = place();
    for number in 0..20_000 {
        let stat = FileStat { dev: 1, ino: number, size: 3, mtime_ns: 5, ctime_ns: 9 };
        store.put(&stat, &Digest::sha256(&number.to_le_bytes()));
    }
    drop(store);
    let root = folder.path().join("store");
    let best = |work: &dyn Fn() -> Store| {
        let time = |_| {
            let begun = Instant::now();
            let store = work();
            (begun.elapsed(), store)
        };
        (0..5).map(time).min_by_key(|(elapsed, _)| *elapsed).unwrap()
    };
    let (opening, store) = best(&|| Store::open(&root).unwrap());
    let begun = Instant::now();
    for number in 0..20_000 {
        let stat = FileStat { dev: 1, ino: number, size: 3, mtime_ns: 5, ctime_ns: 9 };
        assert!(store.get(&stat).is_some());
    }
    let asking = begun.elapsed();
    eprintln!("opening {opening:?}, 20,000 digests {asking:?}");
    // Generous: the machine may be busy, and debug builds are slow.
    assert!(opening.as_millis() < 50 && asking.as_millis() < 1000, "{opening:?} {asking:?}");
}

#[test]
fn chunks_are_found_in_the_blobs_that_hold_them_until_these_are_gone() {
    let Place { folder: _folder, store } = place();
    let (blob, _) = store.put_blob(b"first second").unwrap();
    let chunk = |text: &str, offset| Chunk {
        key: Digest::sha256(text.as_bytes()),
        offset,
        length: text.len() as u64,
    };
    let chunks = [chunk("first", 0), chunk("second", 6)];
    store.record_chunks(&blob, &chunks).unwrap();
    let memory = store.chunks();
    assert_eq!(memory.get(&chunks[1].key).unwrap(), b"second");
    assert_eq!(memory.get(&chunks[0].key).unwrap(), b"first");
    assert_eq!(memory.get(&Digest::sha256(b"third")), None);
    // A row that says more than the blob holds is no answer.
    store.record_chunks(&blob, &[chunk("longer than it is", 3)]).unwrap();
    assert_eq!(memory.get(&Digest::sha256(b"longer than it is")), None);
    store.prune(&PruneOptions::default()).unwrap();
    assert_eq!(store.chunks().get(&chunks[0].key), None, "no image needs the blob");
    let (other, _) = store.put_blob(b"second first").unwrap();
    store.record_chunks(&other, &[chunk("first", 7)]).unwrap();
    assert_eq!(store.chunks().get(&chunks[0].key).unwrap(), b"first");
}

/// Finds what `damage` does to a store, and that a repair mends it.
#[track_caller]
fn fsck_mends(damage: impl FnOnce(&Path, &Store), expected: &[&str]) -> Place {
    let place = place();
    let (root, store) = (place.store.root().to_owned(), place.store.clone());
    let (descriptor, _) = image(&store, "kept");
    store.tag(&reference("kept"), &descriptor).unwrap();
    let below = snapshot(&store, None, "a", "content");
    let above = snapshot(&store, Some(&below), "b", "more");
    for (key, id) in [("below", &below), ("above", &above)] {
        store.record_result(key, &StepResult { snapshot: id.clone() }, "step").unwrap();
    }
    assert_eq!(store.fsck(false).unwrap().findings, []);
    damage(&root, &store);
    let found: Vec<String> = store.fsck(true).unwrap().findings.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{found:?} should say {expected:?}");
    }
    let again = store.fsck(false).unwrap().findings;
    assert_eq!(again, [], "a repair mends all");
    place
}

#[test]
fn fsck_finds_and_mends_blobs_that_changed_and_images_that_lack_parts() {
    let place = fsck_mends(
        |root, store| {
            let (_, parts) = image(store, "kept");
            let path = store.blob_path(&parts[1]);
            fs::write(path, "something else").unwrap();
            fs::write(root.join("blobs/sha256/notes.txt"), "").unwrap();
        },
        &[
            "holds other bytes",
            "notes.txt belongs to nothing",
            "the image docker.io/library/kept:latest lacks",
        ],
    );
    assert!(place.store.images().unwrap().is_empty(), "half an image has no name");
}

#[test]
fn fsck_finds_and_mends_snapshots_that_a_power_cut_has_torn() {
    let place = fsck_mends(
        |root, store| {
            let below = store.result("below").unwrap().unwrap().snapshot;
            let file = root.join("snapshots").join(below.to_string()).join("fs/a");
            fs::File::options().write(true).open(file).unwrap().set_len(3).unwrap();
            fs::create_dir_all(root.join("snapshots/0123456789abcdef/fs")).unwrap();
            fs::write(root.join("locks/steps/0123"), "").unwrap();
        },
        &[
            "has 3 bytes, 7 when it was made",
            "which is gone or damaged",
            "0123456789abcdef belongs",
            "results above",
            "results below",
            "locks/steps/0123",
        ],
    );
    assert_eq!(place.store.result("below").unwrap(), None);
}

#[test]
fn snapshots_that_a_power_cut_has_torn_are_no_answer_after_the_restart() {
    let Place { folder: _folder, store } = place();
    let root = store.root().to_owned();
    let torn = {
        let store = store;
        let whole = snapshot(&store, None, "a", "content");
        let torn = snapshot(&store, None, "a", "content");
        // Many, for names are random and a torn one may come before or after what stands on it.
        for number in 0..8 {
            let above = snapshot(&store, Some(&torn), "b", "content");
            store.record_result(&format!("above {number}"), &StepResult { snapshot: above }, "step").unwrap();
        }
        store.record_result("whole", &StepResult { snapshot: whole }, "step").unwrap();
        store.record_result("torn", &StepResult { snapshot: torn.clone() }, "step").unwrap();
        // As if the machine had been another time's.
        store.record_memo("boot", "before").unwrap();
        torn
    };
    let file = root.join("snapshots").join(torn.to_string()).join("fs/a");
    fs::File::options().write(true).open(file).unwrap().set_len(0).unwrap();
    let store = Store::open(&root).unwrap();
    assert!(store.result("whole").unwrap().is_some());
    assert_eq!(store.result("torn").unwrap(), None);
    for number in 0..8 {
        assert_eq!(store.result(&format!("above {number}")).unwrap(), None, "it stands on nothing");
    }
    assert_eq!(store.fsck(false).unwrap().findings, []);
}

/// A process that has no descriptors left cannot remove its folder, but the lock beside it.
#[test]
fn a_folder_in_work_whose_lock_is_gone_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    drop(Store::open(&root).unwrap());
    fs::create_dir_all(root.join("tmp/1-0/dir0")).unwrap();
    fs::write(root.join("tmp/1-0/dir0/file"), "left").unwrap();
    let store = Store::open(&root).unwrap();
    assert_eq!(names(&root.join("tmp")).len(), 2, "our own folder and its lock, nothing else");
    drop(store);
    assert_eq!(names(&root.join("tmp")), Vec::<String>::new());
}

/// Its step was done, so nobody would take that lock again.
#[test]
fn the_lock_of_a_step_that_was_killed_after_it_was_done_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let store = Store::open(&root).unwrap();
    let held = store.lock_step("running").unwrap();
    fs::write(root.join("locks/steps/0123456789abcdef0123456789abcdef"), "").unwrap();
    fs::write(root.join("tmp/1-0.lock"), "").unwrap();
    drop(Store::open(&root).unwrap());
    assert_eq!(names(&root.join("locks/steps")).len(), 1, "the one that is held");
    drop(held);
    assert_eq!(names(&root.join("locks/steps")), Vec::<String>::new());
    assert_eq!(names(&root.join("tmp")).len(), 2, "the folder of the store that is open, and its lock");
}

/// The layer that stands for all snapshots that changed nothing belongs to none of them.
#[test]
fn prune_takes_the_layer_of_nothing_and_its_row() {
    let Place { folder: _folder, store } = place();
    let (digest, size) = store.put_blob(b"the layer of nothing").unwrap();
    let record = LayerRecord { diff_id: digest.clone(), digest, size, uncompressed_size: 1024 };
    store.record_encoded_layer(&SnapshotId::nothing(), "gzip", &record).unwrap();
    assert_eq!(store.fsck(false).unwrap().findings.len(), 0);
    store.prune(&PruneOptions::default()).unwrap();
    assert_eq!(store.fsck(false).unwrap().findings.len(), 0);
    assert_eq!(store.encoded_layer(&SnapshotId::nothing(), "gzip").unwrap(), None);
}
