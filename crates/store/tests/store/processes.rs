//! Several processes, and those that die: they share a store, and leave nothing behind.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use jettison_store::{ErrorKind, Store};

use crate::support::{NEVER, Place, ROLE, ROOT, names, other_process, place, role, snapshot};

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
            let _guard = store.lock_step("count", &NEVER).unwrap();
            let before: u32 = store.memo("count").unwrap().map_or(0, |text| text.parse().unwrap());
            store.record_memo("count", &(before + 1).to_string()).unwrap();
            store.put_blob(format!("{role} {number}").as_bytes()).unwrap();
            snapshot(&store, None, &role, "x");
        }
        return;
    }
    let Place { folder: _folder, store } = place();
    let children: Vec<_> = ["a", "b", "c"]
        .map(|role| other_process("processes::processes_share_a_store", role, store.root()).spawn().unwrap())
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
        let _step = store.lock_step("step", &NEVER).unwrap();
        println!("ready");
        loop {
            std::thread::park();
        }
    }
    let Place { folder, store } = place();
    let mut child = other_process(
        "processes::a_killed_process_leaves_nothing_behind_the_next_opening",
        "die",
        store.root(),
    )
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
    drop(again.lock_step("step", &NEVER).unwrap());
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
        let mut child = other_process(
            "processes::a_store_that_may_not_be_written_says_so",
            "read",
            &folder.path().join(root),
        );
        match child.uid(65534).gid(65534).output() {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
            Err(error) => eprintln!("skipped: the test program cannot be run as nobody: {error}"),
        }
    }
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
    let held = store.lock_step("running", &NEVER).unwrap();
    fs::write(root.join("locks/steps/0123456789abcdef0123456789abcdef"), "").unwrap();
    fs::write(root.join("tmp/1-0.lock"), "").unwrap();
    drop(Store::open(&root).unwrap());
    assert_eq!(names(&root.join("locks/steps")).len(), 1, "the one that is held");
    drop(held);
    assert_eq!(names(&root.join("locks/steps")), Vec::<String>::new());
    assert_eq!(names(&root.join("tmp")).len(), 2, "the folder of the store that is open, and its lock");
}
