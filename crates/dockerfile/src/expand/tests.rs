//! Expansion as tables: BuildKit's `envVarTest` and `TestProcessWithMatches`, and what was verified beside them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Expands each word; `None` stands for an error.
fn check(pairs: &[(&str, &str)], escape: char, cases: &[(&str, Option<&str>)]) {
    let env = env(pairs);
    for (word, expected) in cases {
        let found = expand(word, escape, &env).map(|expanded| expanded.text);
        assert_eq!(found.as_deref().ok(), *expected, "{word:?} gave {found:?}");
    }
}

const USUAL: &[(&str, &str)] = &[("PWD", "/home"), ("SHELL", "bash"), ("KOREAN", "한국어"), ("NULL", "")];

#[test]
fn quotes_and_escapes() {
    check(
        USUAL,
        '\\',
        &[
            ("hello", Some("hello")),
            ("he'll'o", Some("hello")),
            ("he'llo", None),
            ("he\\'llo", Some("he'llo")),
            ("he\\\\'llo", None),
            ("abc\\tdef", Some("abctdef")),
            ("\"abc\\tdef\"", Some("abc\\tdef")),
            ("\"abc\\\\tdef\"", Some("abc\\tdef")),
            ("'abc\\tdef'", Some("abc\\tdef")),
            ("hello\\", Some("hello")),
            ("hello\\\\", Some("hello\\")),
            ("\"hello", None),
            ("\"hello\\\"", None),
            ("\"hel'lo\"", Some("hel'lo")),
            ("'hello\\'", Some("hello\\")),
            ("'hello\\\\there'", Some("hello\\\\there")),
            ("\"''\"", Some("''")),
            ("'\"hello\"'", Some("\"hello\"")),
            ("안'녕'하세요", Some("안녕하세요")),
            ("안\\\\'녕하세요", None),
            ("a b  c", Some("a b  c")),
            ("a << b", Some("a << b")),
            ("", Some("")),
        ],
    );
}

#[test]
fn plain_variables() {
    check(
        USUAL,
        '\\',
        &[
            ("$.", Some("$.")),
            ("$", Some("$")),
            ("a$", Some("a$")),
            ("$1", Some("")),
            ("he$1x", Some("hex")),
            ("he$12x", Some("hex")),
            ("a$@b$*c$#d$?e$-f$$g$!h$0i", Some("abcdefghi")),
            ("he$pwd.", Some("he.")),
            ("he$PWD", Some("he/home")),
            ("he$PWD_", Some("he")),
            ("he\\$PWD", Some("he$PWD")),
            ("he\\\\$PWD", Some("he\\/home")),
            ("\"he\\$PWD\"", Some("he$PWD")),
            ("\"he\\\\$PWD\"", Some("he\\/home")),
            ("'$PWD'", Some("$PWD")),
            ("\"he'$PWD'\"", Some("he'/home'")),
            ("안녕$KOREAN", Some("안녕한국어")),
            ("$KOREAN어", Some("")),
            ("\\${}aaa", Some("${}aaa")),
            ("%s$PWD%d", Some("%s/home%d")),
        ],
    );
}

#[test]
fn braces() {
    check(
        USUAL,
        '\\',
        &[
            ("he${hi}xx", Some("hexx")),
            ("he${PWD}", Some("he/home")),
            ("${}", None),
            ("he${}xx", None),
            ("he${.}", None),
            ("${{aaa}", None),
            ("${:}", None),
            ("${:-bbb}", None),
            ("he${PWD", None),
            ("${", None),
            ("${aaa}}", Some("}")),
            ("he${XXX:-000}xx", Some("he000xx")),
            ("he${PWD:-000}xx", Some("he/homexx")),
            ("he${NULL:-000}xx", Some("he000xx")),
            ("he${NULL-000}xx", Some("hexx")),
            ("he${XXX-000}xx", Some("he000xx")),
            ("he${XXX:-$PWD}xx", Some("he/homexx")),
            ("he${XXX:-${YYY:-yyy}}xx", Some("heyyyxx")),
            ("he${XXX:YYY}", None),
            ("he${PWD:=000}xx", None),
            ("he${PWD=000}xx", None),
            ("he${XXX:+000}xx", Some("hexx")),
            ("he${PWD:+000}xx", Some("he000xx")),
            ("he${NULL:+000}xx", Some("hexx")),
            ("he${NULL+000}xx", Some("he000xx")),
            ("he${PWD:+${SHELL}}xx", Some("hebashxx")),
            ("he${PWD:+${PWD}:}xx", Some("he/home:xx")),
            ("he${XXX:-\\$PWD:}xx", Some("he$PWD:xx")),
            ("he${XXX:-\\${PWD}z}xx", Some("he${PWDz}xx")),
            ("${aaa:-bbb}}", Some("bbb}")),
            ("${aaa:-bbb ${foo}", None),
            ("${aaa:-bbb {foo}", Some("bbb {foo")),
            ("${aaa:-\"b}b\"}", Some("b}b")),
            ("${aaa:-}", Some("")),
            ("${#PWD}", None),
            ("${!PWD}", None),
            ("${PWD:0:1}", None),
            ("${PWD^^}", None),
        ],
    );
}

#[test]
fn demands() {
    let pairs = &[("SET", "plain"), ("EMPTY", ""), ("ARG", "x")];
    check(
        pairs,
        '\\',
        &[
            ("${SET:?message here$ARG}", Some("plain")),
            ("${SET?message}", Some("plain")),
            ("${EMPTY?message}", Some("")),
            ("${EMPTY:?message}", None),
        ],
    );
    let messages = [
        ("${NONE:?message here$ARG}", "NONE: message herex"),
        ("${EMPTY:?message here$ARG}", "EMPTY: message herex"),
        ("${NONE?message here$ARG}", "NONE: message herex"),
        ("${NONE:?}", "NONE: is not allowed to be unset"),
        ("${NONE?}", "NONE: is not allowed to be unset"),
        ("${EMPTY:?}", "EMPTY: is not allowed to be empty"),
    ];
    for (word, expected) in messages {
        assert_eq!(expand(word, '\\', &env(pairs)).unwrap_err().message, expected, "{word}");
    }
}

#[test]
fn prefixes_and_suffixes() {
    check(
        &[
            ("SPECIAL", "()[]{}^$.*?|\\x"),
            ("STARS", "xx**"),
            ("FOO", "xxyy"),
            ("BAR", "x"),
            ("NONE", ""),
            ("QQ", "???y"),
            ("MANY", "a***yy*"),
            ("PATH", "/a/b/c.tar.gz"),
            ("KO", "한국어"),
            ("LINES", "a\nb"),
        ],
        '\\',
        &[
            ("${SPECIAL#()[]{\\}^$.\\*\\?|\\\\}", Some("x")),
            ("${STARS%%\\**}", Some("xx")),
            ("${FOO#*x*y}", Some("y")),
            ("${FOO#*}", Some("xxyy")),
            ("${FOO##*}", Some("")),
            ("${FOO#$BAR}", Some("xyy")),
            ("${FOO#$NONE}", Some("xxyy")),
            ("${FOO#}", Some("xxyy")),
            ("${FOO##*x}", Some("yy")),
            ("${FOO##}", Some("xxyy")),
            ("${QQ#?\\?}", Some("?y")),
            ("${FOO%x}", Some("xxyy")),
            ("${FOO%y}", Some("xxy")),
            ("${MANY%%\\**\\*}", Some("a")),
            ("${FOO%}", Some("xxyy")),
            ("${FOO%%$NONE}", Some("xxyy")),
            ("${PATH##*/}", Some("c.tar.gz")),
            ("${PATH%/*}", Some("/a/b")),
            ("${PATH%.*}", Some("/a/b/c.tar")),
            ("${PATH%%.*}", Some("/a/b/c")),
            ("${PATH#*.}", Some("tar.gz")),
            ("${KO#?}", Some("국어")),
            ("${KO%?}", Some("한국")),
            ("${UNSET#x}", Some("")),
            ("${LINES#*b}", Some("a\nb")),
            ("${FOO#\"x\"}", Some("xyy")),
            ("${FOO#[x]}", Some("xxyy")),
            ("${FOO:#x}", None),
            ("${FOO:%x}", None),
            ("${FOO#\\x}", None),
            ("${FOO%\\x}", None),
            ("${FOO#x", None),
        ],
    );
}

#[test]
fn replacements() {
    let globs = &[("FOO", "/foo*/*/*.txt"), ("NEEDLE", "\\*/")];
    check(globs, '\\', &[("${FOO/$NEEDLE/.} - ${FOO//$NEEDLE/.}", Some("/foo.*/*.txt - /foo..*.txt"))]);
    let slashes = &[("FOO", "/a/foo/b/c.txt"), ("NEEDLE", "/?/"), ("R", "/")];
    check(slashes, '\\', &[("${FOO/$NEEDLE/$R} - ${FOO//$NEEDLE/$R}", Some("/foo/b/c.txt - /foo/c.txt"))]);
    check(
        &[("FOO", "xxyy"), ("TMP", "/tmp/foo.txt"), ("NONE", ""), ("D", "$1"), ("V", "1.2.3")],
        '\\',
        &[
            ("${TMP//\\//\\/}", Some("\\/tmp\\/foo.txt")),
            ("${FOO/$NONE/ww}", Some("wwxxyy")),
            ("${FOO//$NONE/-}", Some("-x-x-y-y-")),
            ("${FOO///}", Some("xxyy")),
            ("${UNSET///}", Some("")),
            ("${FOO//ww}", None),
            ("${FOO//}", None),
            ("${FOO/x/z}", Some("zxyy")),
            ("${FOO//x/z}", Some("zzyy")),
            ("${FOO/x*/z}", Some("z")),
            ("${FOO//*/z}", Some("z")),
            ("${FOO/q/z}", Some("xxyy")),
            ("${FOO/y/}", Some("xxy")),
            ("${FOO//x/$D}", Some("$1$1yy")),
            ("${V//./_}", Some("1_2_3")),
            ("${V/?./_}", Some("_2.3")),
            ("${FOO/\\x/z}", None),
        ],
    );
}

#[test]
fn messages() {
    let cases = [
        ("'a", "unexpected end of statement while looking for matching single-quote"),
        ("\"a", "unexpected end of statement while looking for matching double-quote"),
        ("${}", "syntax error: bad substitution"),
        ("${", "syntax error: missing '}'"),
        ("${a", "syntax error: missing '}'"),
        ("${a:-b", "syntax error: missing '}'"),
        ("${a/b}", "syntax error: missing '/' in ${}"),
        ("${a/b/c", "syntax error: missing '}'"),
        ("${a:b}", "unsupported modifier (:b) in substitution"),
        ("${a:#b}", "unsupported modifier (:#) in substitution"),
        ("${a^}", "unsupported modifier (^) in substitution"),
        ("${PWD#\\q}", "invalid pattern (\\q) in substitution: invalid escape '\\q'"),
    ];
    for (word, expected) in cases {
        assert_eq!(expand(word, '\\', &env(USUAL)).unwrap_err().message, expected, "{word}");
    }
}

#[test]
fn the_other_escape_character() {
    check(
        USUAL,
        '`',
        &[
            ("he`$PWD", Some("he$PWD")),
            ("c:\\a\\b", Some("c:\\a\\b")),
            ("\"a`\"b\"", Some("a\"b")),
            ("\"a\\\"", Some("a\\")),
            ("a``b", Some("a`b")),
        ],
    );
}

#[test]
fn variables_that_are_not_set_are_named_once() {
    let pairs = env(&[("FOO", "x"), ("EMPTY", "")]);
    let cases: &[(&str, &[&str])] = &[
        ("$FOO $EMPTY", &[]),
        ("$A ${B} $A", &["A", "B"]),
        ("${A:-$B}", &["B", "A"]),
        ("'$A' \\$A", &[]),
        ("${FOO:-$A}", &["A"]),
        ("${A#x}${B/x/y}${C:+x}", &["A", "B", "C"]),
    ];
    for (word, expected) in cases {
        assert_eq!(&expand(word, '\\', &pairs).unwrap().unmatched, expected, "{word}");
    }
}

#[test]
fn words_after_expansion() {
    let pairs = env(&[("PORTS", "3000 4000/udp"), ("ONE", "1"), ("NONE", ""), ("WIDE", "  a  b ")]);
    let cases: &[(&str, &[&str])] = &[
        ("80", &["80"]),
        ("$PORTS", &["3000", "4000/udp"]),
        ("x$PORTS", &["x3000", "4000/udp"]),
        ("\"$PORTS\"", &["3000 4000/udp"]),
        ("'a b' c", &["a b", "c"]),
        ("a\\ b c", &["a b", "c"]),
        ("$NONE", &[]),
        ("\"\"", &[]),
        ("a$WIDE$ONE", &["a", "a", "b", "1"]),
        ("  a  b  ", &["a", "b"]),
        ("${X:-p q}", &["p", "q"]),
    ];
    for (word, expected) in cases {
        assert_eq!(&expand_words(word, '\\', &pairs).unwrap(), expected, "{word}");
    }
    assert!(expand_words("'a", '\\', &pairs).is_err());
}

#[test]
fn heredoc_bodies() {
    let pairs = env(&[("NAME", "me"), ("NONE", "")]);
    let cases = [
        ("hi $NAME\n", Some("hi me\n")),
        ("\"$NAME\" '${NAME}'\n", Some("\"me\" 'me'\n")),
        ("don't\n", Some("don't\n")),
        ("\\$NAME \\\\ \\n \\\" \n", Some("$NAME \\ n \" \n")),
        ("a \\\nb\n", Some("a \nb\n")),
        ("`$NAME`", Some("`me`")),
        ("${NONE:-\"d\"}", Some("\"d\"")),
        ("a << b", Some("a << b")),
        ("${", None),
    ];
    for (body, expected) in cases {
        assert_eq!(expand_heredoc(body, &pairs).ok().as_deref(), expected, "{body:?}");
    }
}

#[test]
fn hostile_words_are_refused_not_obeyed() {
    let deep = "${a:-".repeat(20_000) + &"}".repeat(20_000);
    assert!(expand(&deep, '\\', &env(&[])).is_err());
    let nested = "${a:-".repeat(50) + "x" + &"}".repeat(50);
    assert_eq!(expand(&nested, '\\', &env(&[])).unwrap().text, "x");
    let big = "x".repeat(1 << 20);
    let wide = expand(&"$A".repeat(20), '\\', &env(&[("A", &big)])).unwrap_err();
    assert_eq!(wide.message, "expansion is longer than 16777216 bytes");
    assert!(expand(&format!("\"{}\"", "$A".repeat(20)), '\\', &env(&[("A", &big)])).is_err());
    assert!(expand("${A//x/$A}", '\\', &env(&[("A", &big)])).is_err());
    let stars = "*a".repeat(100);
    let value = "a".repeat(50_000);
    let pairs = [("P", stars.as_str()), ("V", value.as_str())];
    assert!(expand("${V%%${P}b}", '\\', &env(&pairs)).is_ok());
}

#[test]
fn closures_are_environments() {
    let env = |name: &str| (name == "A").then(|| "1".to_owned());
    assert_eq!(expand("$A$B", '\\', &env).unwrap().text, "1");
}

proptest! {
    #[test]
    fn no_word_panics(word in "[${}:+?#%/*\\\\'\"<` ab1é\n-]{0,40}", other_escape: bool) {
        let escape = if other_escape { '`' } else { '\\' };
        let env = env(&[("a", "a b*?\\/}"), ("b", "")]);
        let _ = expand(&word, escape, &env);
        let _ = expand_words(&word, escape, &env);
        let _ = expand_heredoc(&word, &env);
    }

    #[test]
    fn arbitrary_words_do_not_panic(word: String) {
        let _ = expand(&word, '\\', &env(&[]));
    }

    /// A replacement that puts back what it found changes nothing; prefix and suffix only cut.
    #[test]
    fn patterns_cut_at_the_ends(value in "[abc/.]{0,12}", pattern in "[abc*?]{0,6}") {
        let pairs = env(&[("V", &value), ("P", &pattern)]);
        for form in ["${V#$P}", "${V##$P}"] {
            let cut = expand(form, '\\', &pairs).unwrap().text;
            prop_assert!(value.ends_with(&cut));
        }
        for form in ["${V%$P}", "${V%%$P}"] {
            let cut = expand(form, '\\', &pairs).unwrap().text;
            prop_assert!(value.starts_with(&cut));
        }
    }
}
