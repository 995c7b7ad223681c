//! Replays the corpus of a target on the stable compiler: every file of it through the target's function. Tests of the crates
//! include this file (`crates/*/tests/replay.rs`), as they include `mutate.rs`, which makes new files.

use std::path::Path;

/// Gives every file of the corpus to `entry`; the last one that is printed is the one that failed.
#[allow(clippy::print_stdout, reason = "a panic must say which file it was")]
pub(crate) fn replay(target: &str, entry: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for file in std::fs::read_dir(&folder).expect("the corpus is there") {
        let path = file.expect("a folder can be read").path();
        println!("{}", path.display());
        entry(&std::fs::read(&path).expect("a file can be read"));
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}
