//! Snapshots: a draft is seen by nobody until it is committed, and stands on its parent.

use std::fs;

use jettison_oci::Digest;

use crate::support::{Place, names, place, snapshot};

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

/// A step for which mount points were made in `/etc` leaves the directory in its upper one.
#[test]
fn a_snapshot_with_a_directory_as_it_was_takes_no_part_in_mounts() {
    let Place { folder: _folder, store } = place();
    let draft = store.begin_snapshot(None).unwrap();
    fs::create_dir(draft.fs().join("etc")).unwrap();
    fs::write(draft.fs().join("etc/passwd"), "x").unwrap();
    let etc = fs::metadata(draft.fs().join("etc")).unwrap().modified().unwrap();
    let base = draft.commit().unwrap();
    let with_etc = |time: std::time::SystemTime| {
        let draft = store.begin_snapshot(Some(&base)).unwrap();
        fs::create_dir(draft.fs().join("etc")).unwrap();
        fs::File::open(draft.fs().join("etc")).unwrap().set_modified(time).unwrap();
        draft.commit().unwrap()
    };
    let (idle, dated) = (with_etc(etc), with_etc(std::time::UNIX_EPOCH));
    assert_eq!(store.chain(&idle).unwrap(), store.chain(&base).unwrap());
    assert_eq!(store.chain(&dated).unwrap().len(), 2, "the next step sees the time");
    let many = store.begin_snapshot(Some(&base)).unwrap();
    for number in 0..100 {
        fs::create_dir(many.fs().join(format!("{number}"))).unwrap();
    }
    assert_eq!(store.chain(&many.commit().unwrap()).unwrap().len(), 2);
}

#[test]
fn a_snapshot_that_is_all_there_is_need_not_be_mounted() {
    let Place { folder: _folder, store } = place();
    let base = snapshot(&store, None, "a", "x");
    let idle = store.begin_snapshot(Some(&base)).unwrap().commit().unwrap();
    assert_eq!(store.lone_directory(&base).unwrap(), Some(store.snapshot_directory(&base)));
    assert_eq!(store.lone_directory(&idle).unwrap(), Some(store.snapshot_directory(&base)));
    let top = snapshot(&store, Some(&idle), "b", "x");
    assert_eq!(store.lone_directory(&top).unwrap(), None, "two are merged");
    // What hides nothing that is there is not seen in a merged view either.
    let draft = store.begin_snapshot(None).unwrap();
    fs::create_dir(draft.fs().join("d")).unwrap();
    let whiteout = draft.fs().join("d/gone");
    let kind = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(rustix::fs::CWD, &whiteout, kind, rustix::fs::Mode::empty(), 0).unwrap();
    let hiding = draft.commit().unwrap();
    assert_eq!(store.lone_directory(&hiding).unwrap(), None);
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
