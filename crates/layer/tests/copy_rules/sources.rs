//! Which files a source means.

use jettison_layer::select::{NothingKnown, SelectError, Selector};
use rustix::fs::{Mode, OFlags};

use super::tree::{Filter, NOTHING, Trees, to};

/// One row: tree, sources, destination, what is there afterwards.
fn check(from: &[&str], sources: &[&str], destination: &str, want: &[&str]) {
    let trees = Trees::new(from, &[]);
    trees.copy(sources, destination).unwrap();
    assert_eq!(trees.shown(), want, "COPY {sources:?} {destination}");
}

#[test]
fn a_directory_copies_its_contents() {
    let tree = ["sub/dir1/a", "sub/dir1/b/c"];
    for source in ["sub/dir1", "sub/dir1/", "sub/dir1/.", "/sub/dir1", "./sub/../sub/dir1", "../../sub/dir1"]
    {
        check(&tree, &[source], "/d", &["d/", "d/a", "d/b/", "d/b/c"]);
    }
}

#[test]
fn a_slash_behind_a_file_means_nothing() {
    check(&["f"], &["f/"], "/g", &["g=f"]);
}

#[test]
fn links_are_followed_on_the_way_and_at_the_end() {
    let tree = ["real/f", "link -> real", "abs -> /real", "up -> ../../../real", "flink -> real/f"];
    for link in ["link", "abs", "up"] {
        check(&tree, &[&format!("{link}/f")], "/x/", &["x/", "x/f"]);
        check(&tree, &[link], "/x/", &["x/", "x/f"]);
    }
    check(&tree, &["flink"], "/x/", &["x/", "x/flink=real/f"]);
}

#[test]
fn a_wildcard_keeps_the_name_of_the_link() {
    check(&["real/f=text", "l1 -> real/f"], &["l*"], "/x/", &["x/", "x/l1=text"]);
    check(&["real/f=text", "l1 -> real"], &["l*"], "/x/", &["x/", "x/f=text"]);
}

#[test]
fn links_inside_a_directory_stay_links() {
    check(&["d/f", "d/l -> f", "d/gone -> nowhere"], &["d"], "/", &["f", "gone -> nowhere", "l -> f"]);
}

#[test]
fn wildcards() {
    let tree = ["a1.go", "a2.go", "b.txt", "d/x.go", "d/e/y.go", "w[1]", "q*"];
    check(&tree, &["*.go"], "/x/", &["x/", "x/a1.go", "x/a2.go"]);
    check(&tree, &["*/*.go"], "/x/", &["x/", "x/x.go"]);
    check(&tree, &["**/x.go"], "/x/", &["x/", "x/x.go"]);
    check(&tree, &["**/y.go", "b.txt"], "/x/", &["x/", "x/b.txt"]);
    check(&tree, &["a[^1].go"], "/x/", &["x/", "x/a2.go"]);
    check(&tree, &["w[[]1]"], "/x/", &["x/", "x/w[1]"]);
    check(&tree, &["w\\[1]"], "/x/", &["x/", "x/w[1]"]);
    check(&tree, &["q\\*"], "/x/", &["x/", "x/q*"]);
    // A matched directory gives its contents and is not searched further.
    check(&tree, &["d*"], "/x/", &["x/", "x/e/", "x/e/y.go", "x/x.go"]);
    // Links that a wildcard matched on the way are not entered.
    check(&["d/f", "l -> d"], &["*/f"], "/x/", &["x/", "x/f"]);
}

#[test]
fn a_wildcard_without_match_is_silent() {
    check(&["foo"], &["foo", "nomatch*", "gone/x*"], "/x/", &["x/", "x/foo"]);
    check(&["foo"], &["nomatch*"], "/x/", &[]);
}

/// Both BuildKits refuse it: what they were sent is the link, and not what it leads to.
#[test]
fn a_link_that_a_wildcard_matches_must_lead_somewhere() {
    let trees = Trees::new(&["f", "l -> gone"], &[]);
    match trees.select(&["[fl]"]) {
        Err(SelectError::NotFound { matched, dangling, .. }) => {
            assert_eq!((matched, dangling), (Some(b"l".to_vec()), Some(b"gone".to_vec())));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_source_is_an_error_with_the_nearest_name() {
    let trees = Trees::new(&["src/server.go", "f", "dangling -> gone"], &[]);
    let near = |sources: &[&str]| match trees.select(sources) {
        Err(SelectError::NotFound { source_index, nearest, .. }) => {
            (source_index, nearest.map(|n| String::from_utf8(n).unwrap()))
        }
        other => panic!("{sources:?}: {other:?}"),
    };
    assert_eq!(near(&["f", "src/sever.go"]), (1, Some("src/server.go".to_owned())));
    assert_eq!(near(&["nothing-like-it"]), (0, None));
    assert_eq!(near(&["dangling"]).0, 0);
    assert_eq!(near(&["f/below"]).0, 0);
}

#[test]
fn a_bad_pattern_is_an_error_even_if_nothing_is_there() {
    let trees = Trees::new(&[], &[]);
    assert!(matches!(trees.select(&["a["]), Err(SelectError::BadPattern { source_index: 0, .. })));
}

fn select_ignoring(trees: &Trees, source: &str, ignore: &Filter) -> Result<Vec<String>, SelectError> {
    let patterns = [source.as_bytes().to_vec()];
    let selector =
        Selector { patterns: &patterns, excludes: &NOTHING, ignore, parents: false, files: &NothingKnown };
    let selection = trees.select_with(&selector)?;
    let entries = selection.sources.iter().flat_map(|s| &s.entries);
    Ok(entries.map(|e| String::from_utf8(e.path.clone()).unwrap()).collect())
}

#[test]
fn what_is_ignored_is_not_there() {
    let trees = Trees::new(&["keep", "secret/key", "link -> secret/key", "hidden -> keep"], &[]);
    let ignore = Filter(|path| path.starts_with("secret") || path == "hidden", false);
    assert_eq!(select_ignoring(&trees, ".", &ignore).unwrap(), ["keep", "link"]);
    for source in ["secret", "secret/key", "link", "hidden"] {
        assert!(
            matches!(select_ignoring(&trees, source, &ignore), Err(SelectError::NotFound { .. })),
            "{source}"
        );
    }
    assert_eq!(select_ignoring(&trees, "secre*", &ignore).unwrap(), [""; 0]);
}

#[test]
fn what_is_brought_back_brings_its_parents_and_nothing_else() {
    let trees = Trees::new(&["n/m/o.go", "n/m/p.go", "n/x/q", "z"], &[]);
    let ignore = Filter(|path| path != "n/m/o.go", true);
    assert_eq!(select_ignoring(&trees, ".", &ignore).unwrap(), ["n", "n/m", "n/m/o.go"]);
    assert_eq!(select_ignoring(&trees, "n/m", &ignore).unwrap(), ["o.go"]);
    assert!(select_ignoring(&trees, "n/x", &ignore).is_err());
}

#[test]
fn exclude_counts_from_each_copied_directory_and_never_for_named_files() {
    let trees = Trees::new(&["d/a.mp3", "d/b.txt", "d/s/c.mp3", "t.mp3"], &[]);
    let patterns = [b"d".to_vec(), b"t.mp3".to_vec(), b"*.mp3".to_vec()];
    let excludes = Filter(|path| path == "a.mp3" || path == "t.mp3", false);
    let selector = Selector {
        patterns: &patterns,
        excludes: &excludes,
        ignore: &NOTHING,
        parents: false,
        files: &NothingKnown,
    };
    let selection = trees.select_with(&selector).unwrap();
    trees.carry(&selection, &to("/x/")).unwrap();
    assert_eq!(trees.shown(), ["x/", "x/b.txt", "x/s/", "x/s/c.mp3", "x/t.mp3"]);
}

#[test]
fn parents_keep_the_path() {
    let tree = ["a/b/c/f", "a/b2/c/f", "a/b/g.txt", "top.txt", "a/l -> b"];
    for (source, want) in [
        ("a/b/c", &["a/", "a/b/", "a/b/c/", "a/b/c/f"][..]),
        ("./a/b/c/f", &["a/", "a/b/", "a/b/c/", "a/b/c/f"]),
        ("/../a/b/c/.", &["a/", "a/b/", "a/b/c/", "a/b/c/f"]),
        ("a/./b/c", &["b/", "b/c/", "b/c/f"]),
        ("a/./b/./c", &["b/", "b/c/", "b/c/f"]),
        ("a/b*/./c", &["c/", "c/f"]),
        ("a/./*/c", &["b/", "b/c/", "b/c/f", "b2/", "b2/c/", "b2/c/f"]),
        ("**/*.txt", &["a/", "a/b/", "a/b/g.txt", "top.txt"]),
        ("a/**/f", &["a/", "a/b/", "a/b/c/", "a/b/c/f", "a/b2/", "a/b2/c/", "a/b2/c/f"]),
        ("a/b/./", &["c/", "c/f", "g.txt"]),
        ("a/l", &["a/", "a/l -> b"]),
        ("a/l/./c", &["c/", "c/f"]),
        ("nomatch*", &[]),
    ] {
        let trees = Trees::new(&tree, &[]);
        let options = jettison_layer::copy::CopyOptions { parents: true, ..to("/out") };
        trees.copy_with(&[source], options).unwrap();
        let want: Vec<String> =
            std::iter::once("out/".to_owned()).chain(want.iter().map(|w| format!("out/{w}"))).collect();
        assert_eq!(trees.shown(), want, "COPY --parents {source} /out");
    }
}

#[test]
fn parents_need_a_source_without_wildcards_to_exist() {
    let trees = Trees::new(&["a/b"], &[]);
    for source in ["gone", "a/gone", "gone/./b", "a/./gone", "a/b/./c"] {
        assert!(matches!(trees.select_of(&[source], true), Err(SelectError::NotFound { .. })), "{source}");
    }
    assert!(trees.select_of(&["a/./gone*", "go*/./x"], true).is_ok());
}

/// Its files could be opened by no path: neither would the rest of a build find them.
#[test]
fn a_tree_that_is_too_deep_is_an_error() {
    let trees = Trees::new(&["top/file"], &[]);
    let name = "d".repeat(200);
    let mut here = rustix::fs::open(trees.from().join("top"), OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..25 {
        rustix::fs::mkdirat(&here, name.as_str(), Mode::RWXU).unwrap();
        here = rustix::fs::openat(&here, name.as_str(), OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    let error = trees.select(&["top"]).unwrap_err().to_string();
    assert!(error.contains("File name too long"), "{error}");
}

#[test]
fn what_parents_do_not_reach_through_a_link_is_not_called_ignored() {
    let trees = Trees::new(&["a/b", "l -> a"], &[]);
    match trees.select_of(&["l/b"], true) {
        Err(SelectError::NotFound { ignored, beyond_link, nearest, dangling, .. }) => {
            assert_eq!((ignored, beyond_link, nearest, dangling), (false, true, None, None));
        }
        other => panic!("{other:?}"),
    }
}
