//! Patterns and paths as tables (after moby/patternmatcher's own tests, and what the reference says about lists).

use super::*;

/// How a pattern takes to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Match {
    No,
    Itself,
    Parent,
}

use Match::{Itself, No, Parent};

/// Checks a pattern against a path, alone and with the path's parents.
fn check(cases: &[(&str, &str, Match)]) {
    for (pattern, path, expected) in cases {
        let patterns = Patterns::from_lines([pattern]).unwrap();
        let itself = patterns.patterns.iter().any(|entry| entry.pattern.matches(path.as_bytes()));
        assert_eq!(itself, *expected == Itself, "{pattern} itself {path}");
        assert_eq!(patterns.excludes(path), *expected != No, "{pattern} excludes {path}");
    }
}

#[test]
fn any_number_of_levels() {
    check(&[
        ("**", "file", Itself),
        ("**/", "file", Itself),
        ("**", "dir/file", Itself),
        ("**/**", "dir/file", Itself),
        ("dir/**", "dir/file", Itself),
        ("dir/**/", "dir/file", Itself),
        ("dir/**", "dir/dir2/file", Itself),
        ("dir/**", "dir", No),
        ("**/dir", "dir", Itself),
        ("**/dir", "dir/file", Parent),
        ("**/dir2/*", "dir/dir2/file", Itself),
        ("**/dir2/*", "dir/dir2/file/x", Parent),
        ("**/dir2/**", "dir/dir2/dir3/file", Itself),
        ("**file", "file", Itself),
        ("**file", "dir/file", Itself),
        ("**file", "dir/afile", Itself),
        ("**/file", "dir/afile", No),
        ("**file*", "dir/afile1", No),
        ("**/file", "dir/dir/file", Itself),
        ("**/file*", "dir/dir/file.txt", Itself),
        ("**/file*txt", "dir/dir/file.txt", Itself),
        ("**/file*.txt*", "dir/dir/file.txt", Itself),
        ("**/**/*.txt", "dir/dir/file.txt", Itself),
        ("**/**/*.txt", "file.txt", Itself),
        ("**/**/*.txt2", "dir/dir/file.txt", No),
        ("**/*.txt", "file.txt", Itself),
        ("a**/*.txt", "a/file.txt", Itself),
        ("a**/*.txt", "a/dir/dir/file.txt", Itself),
        ("a/*.txt**", "a/file.txt", Itself),
        ("a**b", "ab", Itself),
        ("a**b", "a/x/b", Itself),
        ("a**b", "axb", No),
        ("x**", "xy/z", Itself),
        ("?**", "xy/z", Itself),
        ("**/foo/bar", "foo/bar", Itself),
        ("**/foo/bar", "dir/dir2/foo/bar", Itself),
        ("abc/**", "abc/def/ghi", Itself),
        ("**/.foo", ".foo", Itself),
        ("**/.foo", "bar.foo", No),
        ("**/a(b)c", "x/a(b)c", Itself),
    ]);
}

#[test]
fn one_level() {
    check(&[
        ("a/*.txt", "a/dir/file.txt", No),
        ("a/*.txt", "a/file.txt", Itself),
        ("a[b-d]e", "ae", No),
        ("a[b-d]e", "ace", Itself),
        ("a[b-d]e", "aae", No),
        ("a[^b-d]e", "aze", Itself),
        ("a[!b]e", "a!e", Itself),
        ("a[!b]e", "aze", No),
        (".*", ".foo", Itself),
        (".*", "foo", No),
        ("abc.def", "abcdef", No),
        ("abc.def", "abcZdef", No),
        ("abc?def", "abcZdef", Itself),
        ("abc?def", "abcdef", No),
        ("abc?def", "abc/def", No),
        ("a(b)c/def", "a(b)c/def", Itself),
        ("a(b)c/def", "a(b)c/xyz", No),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", Itself),
        ("a\\\\", "a\\", Itself),
        ("a\\*b", "a*b", Itself),
        ("a\\*b", "axb", No),
        ("\\a", "a", Itself),
        ("*", "a", Itself),
        ("*", "a/b", Parent),
        ("*c", "abc", Itself),
        ("a*", "ab/c", Parent),
        ("a*/b", "abc/b", Itself),
        ("a*/b", "a/c/b", No),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", Itself),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", No),
        ("a*b?c*x", "abxbbxdbxebxczzx", Itself),
        ("a*b?c*x", "abxbbxdbxebxczzy", No),
        ("a?b", "a☺b", Itself),
        ("a[^a]b", "a☺b", Itself),
        ("a???b", "a☺b", No),
        ("[a-ζ]*", "α", Itself),
        ("*[a-ζ]", "A", No),
        ("[\\]a]", "]", Itself),
        ("[\\-x]", "-", Itself),
        ("[\\-x]", "a", No),
        ("[*?]", "*", Itself),
        ("[*?]", "a", No),
        ("x[a.]", "x.", Itself),
        ("*x", "xxx", Itself),
        ("docs/", "docs", Itself),
        ("docs", "docs/a/b", Parent),
        ("docs", "mydocs", No),
        ("/docs", "docs", No),
        (".", "a", No),
        ("../a", "a", No),
        ("a{b,c}", "ab", No),
        ("한*", "한국", Itself),
    ]);
}

#[test]
fn names_that_are_not_utf8() {
    let excludes = |pattern: &[u8], path: &[u8]| Patterns::from_lines([pattern]).unwrap().excludes(path);
    assert!(excludes(b"a?b", b"a\xffb"));
    assert!(!excludes(b"a?b", b"a\xff\xfeb"));
    assert!(excludes(b"a\xff*", b"a\xffb"));
    assert!(!excludes(b"a\xff*", b"a\xfeb"));
    assert!(excludes(b"*\n*", b"a\nb"));
}

#[test]
fn lists() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        // (ignore file, excluded, kept)
        ("**\n!util/docker/web", &["util", "util/docker", "a"], &["util/docker/web", "util/docker/web/foo"]),
        ("**\n!util/docker/web\nutil/docker/web/foo", &["util/docker/web/foo"], &["util/docker/web/bar"]),
        ("docs\n!docs/README.md", &["docs", "docs/a"], &["docs/README.md", "src"]),
        ("docs/*\n!docs/README.md", &["docs/a"], &["docs", "docs/README.md"]),
        ("!a.go\n*.go", &["a.go", "b.go"], &["a.c"]),
        ("*.go\n!a.go", &["b.go"], &["a.go"]),
        ("*\n!n/*/o.go", &["n", "n/m", "n/m/p.go", "x"], &["n/m/o.go"]),
        ("a/**", &["a/b", "a/b/c"], &["a"]),
        ("!a\n!b", &[], &["a", "b", "c"]),
        ("../a", &[], &["a"]),
        ("/a", &["a", "a/b"], &["b/a"]),
        ("# a\n#b\n \n", &[], &["a", "b", "#b"]),
        // The parent's result counts for each pattern on its own (buildx#850).
        ("foo\n!foo/bar\nfoo/bar/baz", &["foo/x", "foo/bar/baz", "foo/bar/baz/y"], &["foo/bar", "foo/bar/x"]),
        ("*\n!src\n**/*.o", &["src/a.o", "src/b/c.o", "x"], &["src", "src/a.c"]),
    ];
    for (text, excluded, kept) in cases {
        let patterns = Patterns::parse(text.as_bytes()).unwrap();
        for path in *excluded {
            assert!(patterns.excludes(path), "{text:?} excludes {path}");
        }
        for path in *kept {
            assert!(!patterns.excludes(path), "{text:?} keeps {path}");
        }
    }
}

#[test]
fn the_root_is_never_excluded() {
    let patterns = Patterns::parse(b"**\n*").unwrap();
    assert!(!patterns.excludes(""));
    assert!(!patterns.excludes("."));
    assert!(patterns.excludes("a/"));
}

#[test]
fn lists_know_what_they_are() {
    let of = |text: &str| Patterns::parse(text.as_bytes()).unwrap();
    assert!(of("# nothing\n").is_empty());
    assert!(!of("a").is_empty());
    assert!(!of("a").has_negations());
    assert!(of("a\n! b").has_negations());
}

#[test]
fn mistakes() {
    let syntax = "syntax error in pattern";
    let cases = [
        ("!", "illegal exclusion pattern"),
        ("a\\", syntax),
        ("[]a]", syntax),
        ("[-]", syntax),
        ("[x-]", syntax),
        ("[-x]", syntax),
        ("[a-b-c]", syntax),
        ("[", syntax),
        ("[^", syntax),
        ("[^bc", syntax),
        ("a[", syntax),
        ("[Local-Only]", syntax),
        ("![", syntax),
    ];
    for (pattern, reason) in cases {
        let error = Patterns::from_lines([pattern]).unwrap_err();
        assert_eq!(error, PatternError { pattern: pattern.to_owned(), reason, line: 1 }, "{pattern}");
    }
}

#[test]
fn long_patterns_take_no_time() {
    let pattern = "*a".repeat(200);
    let patterns = Patterns::from_lines([pattern]).unwrap();
    assert!(!patterns.excludes("a".repeat(10_000) + "b"));
}

proptest::proptest! {
    #[test]
    fn walking_is_the_same_as_asking(
        text in "([!a*?/\\[\\]-]{1,6}\n){1,5}",
        path in "[ab]{1,2}(/[ab]{1,2}){0,3}",
    ) {
        if let Ok(patterns) = Patterns::parse(text.as_bytes()) {
            let mut matches = ParentMatches::default();
            let mut walked = false;
            for at in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
                (walked, matches) = patterns.check(&path[..at], &matches);
            }
            proptest::prop_assert_eq!(walked, patterns.excludes(&path));
        }
    }

    #[test]
    fn no_pattern_panics(text: Vec<u8>, path: Vec<u8>) {
        if let Ok(patterns) = Patterns::parse(&text) {
            patterns.excludes(&path);
        }
    }
}
