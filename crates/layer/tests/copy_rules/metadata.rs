//! Owner, mode and time of what was copied, and of what was made on the way.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use jettison_layer::copy::{Chmod, CopyOptions, mode::Clauses};
use rustix::fs::XattrFlags;

use super::tree::{Trees, needs_root, open, set_time, to};

const SOURCE: [&str; 4] = ["d/f", "d/s/g", "d/l -> f", "top"];

fn mode(trees: &Trees, path: &str, mode: u32) {
    fs::set_permissions(trees.from().join(path), fs::Permissions::from_mode(mode)).unwrap();
}

fn octal(mode: u32) -> Chmod {
    Chmod::Octal(mode)
}

fn symbolic(text: &str) -> Chmod {
    Chmod::Symbolic(Clauses::parse(text).unwrap())
}

#[test]
fn files_keep_mode_and_time() {
    let trees = Trees::new(&SOURCE, &[]);
    for bits in [0o600, 0o755, 0o4755, 0o2711, 0o1644] {
        mode(&trees, "top", bits);
        trees.copy(&["top"], "/x").unwrap();
        assert_eq!(trees.mode("x"), bits);
    }
    let time = fs::metadata(trees.to().join("x")).unwrap();
    assert_eq!((time.mtime(), time.mtime_nsec()), (500_000, 7));
}

#[test]
fn a_made_top_directory_is_0755_with_the_time_of_the_source() {
    let trees = Trees::new(&SOURCE, &[]);
    mode(&trees, "d", 0o700);
    mode(&trees, "d/s", 0o1711);
    trees.copy(&["d"], "/p/x").unwrap();
    assert_eq!((trees.mode("p"), trees.mtime("p")), (0o755, 1_000_000));
    assert_eq!((trees.mode("p/x"), trees.mtime("p/x")), (0o755, 500_000));
    assert_eq!((trees.mode("p/x/s"), trees.mtime("p/x/s")), (0o1711, 500_000));
    assert_eq!(trees.mtime("p/x/l"), 500_000);
    trees.copy(&["top"], "/made/for/file").unwrap();
    assert_eq!((trees.mode("made/for"), trees.mtime("made/for")), (0o755, 1_000_000));
}

#[test]
fn an_existing_top_directory_keeps_its_mode_and_nested_ones_do_not() {
    let trees = Trees::new(&SOURCE, &["x/s/old"]);
    fs::set_permissions(trees.to().join("x"), fs::Permissions::from_mode(0o711)).unwrap();
    fs::set_permissions(trees.to().join("x/s"), fs::Permissions::from_mode(0o777)).unwrap();
    mode(&trees, "d", 0o700);
    mode(&trees, "d/s", 0o750);
    set_time(&trees.from().join("d"), 600_000);
    trees.copy(&["d"], "/x").unwrap();
    assert_eq!((trees.mode("x"), trees.mtime("x")), (0o711, 600_000));
    assert_eq!((trees.mode("x/s"), trees.mtime("x/s")), (0o750, 500_000));
}

#[test]
fn an_octal_chmod_applies_to_everything_but_links() {
    let trees = Trees::new(&SOURCE, &[]);
    trees.copy_with(&["top"], CopyOptions { chmod: Some(octal(0o777)), ..to("/parent/foo") }).unwrap();
    trees.copy_with(&["top"], CopyOptions { chmod: Some(octal(0o770)), ..to("/parent/sub/foo") }).unwrap();
    assert_eq!((trees.mode("parent"), trees.mode("parent/foo")), (0o777, 0o777));
    assert_eq!((trees.mode("parent/sub"), trees.mode("parent/sub/foo")), (0o770, 0o770));
    trees.copy_with(&["d"], CopyOptions { chmod: Some(octal(0o4711)), ..to("/x") }).unwrap();
    for path in ["x", "x/f", "x/s", "x/s/g"] {
        assert_eq!(trees.mode(path), 0o4711, "{path}");
    }
    assert_eq!(trees.mode("x/l"), 0o777);
}

#[test]
fn a_symbolic_chmod_leaves_made_directories_alone() {
    let trees = Trees::new(&SOURCE, &[]);
    mode(&trees, "d/f", 0o600);
    mode(&trees, "d/s", 0o700);
    trees.copy_with(&["d"], CopyOptions { chmod: Some(symbolic("go=u,a-w")), ..to("/p/x") }).unwrap();
    assert_eq!((trees.mode("p"), trees.mode("p/x")), (0o755, 0o755));
    assert_eq!((trees.mode("p/x/f"), trees.mode("p/x/s")), (0o444, 0o555));
    let inline = vec![(b"script".to_vec(), Vec::new())];
    trees.copy_with(&[], CopyOptions { inline, chmod: Some(symbolic("+x")), ..to("/i/") }).unwrap();
    assert_eq!((trees.mode("i"), trees.mode("i/script")), (0o755, 0o755));
}

#[test]
fn owners() {
    if needs_root() {
        return;
    }
    let chown = |path: &str| std::os::unix::fs::lchown(path, Some(7), Some(8)).unwrap();
    let trees = Trees::new(&SOURCE, &["there/"]);
    for path in ["d", "d/f", "d/s", "d/l", "top"] {
        chown(trees.from().join(path).to_str().unwrap());
    }
    chown(trees.to().join("there").to_str().unwrap());
    // From a stage: owners are kept, those of made directories are root.
    trees.copy(&["d"], "/stage").unwrap();
    trees.copy(&["d"], "/there").unwrap();
    let of = |paths: &[&str]| paths.iter().map(|p| trees.owner(p)).collect::<Vec<_>>();
    assert_eq!(of(&["stage", "stage/f", "stage/s", "stage/l"]), [(0, 0), (7, 8), (7, 8), (7, 8)]);
    assert_eq!(of(&["there"]), [(7, 8)]);
    // From a context: root.
    trees.copy_with(&["d"], CopyOptions { force_owner: Some((0, 0)), ..to("/context") }).unwrap();
    assert_eq!(of(&["context/f", "context/s", "context/l"]), [(0, 0); 3]);
    // --chown: everything that is new, and parents.
    let chowned = CopyOptions { chown: Some((3, 4)), force_owner: Some((0, 0)), ..to("/p/q/") };
    trees.copy_with(&["d", "top"], chowned).unwrap();
    assert_eq!(of(&["p", "p/q", "p/q/f", "p/q/s", "p/q/s/g", "p/q/l", "p/q/top"]), [(3, 4); 7]);
    // Set-id bits survive the change of owner.
    mode(&trees, "top", 0o6755);
    trees.copy_with(&["top"], CopyOptions { chown: Some((3, 4)), ..to("/suid") }).unwrap();
    assert_eq!(trees.mode("suid"), 0o6755);
}

#[test]
fn parents_bring_the_metadata_of_directories() {
    let trees = Trees::new(&["a/b/f"], &[]);
    mode(&trees, "a", 0o711);
    mode(&trees, "a/b", 0o750);
    trees.copy_with(&["a/b/f"], CopyOptions { parents: true, ..to("/x") }).unwrap();
    assert_eq!((trees.mode("x"), trees.mode("x/a"), trees.mode("x/a/b")), (0o755, 0o711, 0o750));
    assert_eq!((trees.mtime("x/a"), trees.mtime("x/a/b")), (500_000, 500_000));
}

#[test]
fn hard_links_stay_within_one_source() {
    let trees = Trees::new(&["d/a=text"], &[]);
    fs::hard_link(trees.from().join("d/a"), trees.from().join("d/b")).unwrap();
    fs::create_dir(trees.from().join("d/s")).unwrap();
    fs::hard_link(trees.from().join("d/a"), trees.from().join("d/s/c")).unwrap();
    trees.copy(&["d"], "/x").unwrap();
    let inode = |path: &str| fs::metadata(trees.to().join(path)).unwrap().ino();
    assert_eq!((inode("x/a"), inode("x/a")), (inode("x/b"), inode("x/s/c")));
    trees.copy(&["d/a", "d/b"], "/y/").unwrap();
    assert_ne!(inode("y/a"), inode("y/b"));
    assert_eq!(
        trees.shown(),
        ["x/", "x/a=text", "x/b=text", "x/s/", "x/s/c=text", "y/", "y/a=text", "y/b=text"]
    );
}

#[test]
fn special_files() {
    let trees = Trees::new(&["d/f"], &[]);
    let _listener = std::os::unix::net::UnixListener::bind(trees.from().join("d/socket")).unwrap();
    let dir = open(&trees.from().join("d"));
    rustix::fs::mknodat(&dir, "fifo", rustix::fs::FileType::Fifo, 0o640.into(), 0).unwrap();
    trees.copy(&["d", "d/socket", "d/fifo"], "/x/").unwrap();
    let metadata = |path: &str| fs::symlink_metadata(trees.to().join(path)).unwrap();
    assert!(metadata("x/socket").is_file() && metadata("x/socket").len() == 0);
    assert!(metadata("x/fifo").file_type().is_fifo());
}

#[test]
fn devices_of_a_stage() {
    if needs_root() {
        return;
    }
    let trees = Trees::new(&["d/f"], &[]);
    let dir = open(&trees.from().join("d"));
    let kind = rustix::fs::FileType::CharacterDevice;
    if let Err(errno) = rustix::fs::mknodat(&dir, "null", kind, 0o666.into(), rustix::fs::makedev(1, 3)) {
        eprintln!("skipped: cannot make devices: {errno}");
        return;
    }
    trees.copy(&["d"], "/x").unwrap();
    let metadata = fs::symlink_metadata(trees.to().join("x/null")).unwrap();
    assert!(metadata.file_type().is_char_device());
    assert_eq!(metadata.rdev(), rustix::fs::makedev(1, 3));
}

#[test]
fn extended_attributes() {
    let trees = Trees::new(&["d/f"], &[]);
    let set = |path: &str, name: &str| {
        let file = fs::File::open(trees.from().join(path)).unwrap();
        rustix::fs::fsetxattr(&file, name, b"value", XattrFlags::empty())
    };
    if let Err(errno) = set("d/f", "user.test") {
        eprintln!("skipped: no extended attributes here: {errno}");
        return;
    }
    set("d/f", "user.overlay.opaque").unwrap();
    trees.copy(&["d"], "/x").unwrap();
    let file = fs::File::open(trees.to().join("x/f")).unwrap();
    let mut value = [0; 16];
    assert_eq!(rustix::fs::fgetxattr(file.as_fd(), "user.test", &mut value[..]), Ok(5));
    assert!(rustix::fs::fgetxattr(file.as_fd(), "user.overlay.opaque", &mut value[..]).is_err());
}

#[test]
fn more_directories_than_open_files() {
    let trees = Trees::new(&["f"], &[]);
    for n in 0..1500 {
        fs::create_dir_all(trees.from().join(format!("d/{n}"))).unwrap();
    }
    trees.copy(&["d"], "/x").unwrap();
    assert_eq!(trees.shown().len(), 1501);
}

#[test]
fn large_files_with_holes_and_empty_ones() {
    let trees = Trees::new(&["empty="], &[]);
    let mut bytes = vec![0_u8; 3 << 20];
    bytes[1 << 20] = 1;
    *bytes.last_mut().unwrap() = 2;
    fs::write(trees.from().join("big"), &bytes).unwrap();
    trees.copy(&["big", "empty"], "/x/").unwrap();
    assert_eq!(fs::read(trees.to().join("x/big")).unwrap(), bytes);
    assert_eq!(fs::read(trees.to().join("x/empty")).unwrap(), b"");
}
