//! Whatever links a tree holds, nothing is read or written outside of it.

use std::fs;
use std::path::Path;

use jettison_layer::copy::CopyOptions;
use proptest::prelude::*;

use super::tree::{Trees, make, to};

/// Directories and links of a farm: names from a small set, so that they meet.
fn farm() -> impl Strategy<Value = Vec<String>> {
    let name = prop::sample::select(vec!["a", "b", "c", "a/b", "b/c", "c/a", "a/b/c"]);
    let target = prop::sample::select(vec![
        "..",
        "../..",
        "../../../../outside",
        "/outside",
        "/",
        "/a",
        "a",
        "b/c",
        "../b",
        "/proc/self/root/tmp",
        "../outside/x",
        "c/../../../..",
        "",
    ]);
    prop::collection::vec((name, target), 0..8).prop_map(|pairs| {
        pairs
            .into_iter()
            .map(
                |(name, target)| {
                    if target.is_empty() { format!("{name}/") } else { format!("{name} -> {target}") }
                },
            )
            .collect()
    })
}

/// Makes what can be made: a farm may contradict itself.
fn plant(root: &Path, lines: &[String]) {
    for line in lines {
        let name = line.split(" -> ").next().unwrap().trim_end_matches('/');
        let parent = root.join(name).parent().unwrap().to_owned();
        // Only below real directories: the farm itself must not be planted through its links.
        let real = parent
            .ancestors()
            .take_while(|p| *p != root)
            .all(|p| !p.is_symlink() && (!p.exists() || p.is_dir()));
        if real && fs::symlink_metadata(root.join(name)).is_err() {
            make(root, line);
        }
    }
}

fn outside(trees: &Trees) -> std::path::PathBuf {
    trees.to().parent().unwrap().join("outside")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_written_outside(
        there in farm(),
        from in farm(),
        destination in "/?((a|b|c|\\.\\.|x)/){0,4}(a|b|c|x|\\.)?",
        source in prop::sample::select(vec!["f", "a", "a/b", "b/c", ".", "*", "a/*", "../a"]),
        parents in any::<bool>(),
    ) {
        let trees = Trees::new(&["f=text"], &[]);
        let outside = outside(&trees);
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        plant(&trees.to(), &there);
        plant(&trees.from(), &from);
        let options = CopyOptions {
            parents,
            inline: vec![(b"../../inline".to_vec(), b"text".to_vec())],
            ..to(&destination)
        };
        if let Ok(selection) = trees.select_of(&[source], parents) {
            for source in &selection.sources {
                let entries = source.entries.iter().chain([&source.root]);
                prop_assert!(entries.into_iter().all(|e| !e.path.ends_with(b"secret")), "{selection:?}");
            }
            // It may fail; it may not escape.
            let _ = trees.carry(&selection, &options);
        }
        let names = |path: &Path| {
            let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        prop_assert_eq!(names(&outside), ["secret"]);
        prop_assert_eq!(names(outside.parent().unwrap()), ["from", "outside", "to"]);
        prop_assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), "secret");
    }
}
