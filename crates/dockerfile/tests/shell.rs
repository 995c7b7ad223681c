//! Words against the shell: where BuildKit's expansion and `sh` mean the same, they must come to the same.
//!
//! Left out is what differs by design: single quotes inside `${…}` inside double quotes, `${v/p/r}`, backquotes,
//! classes in patterns, special parameters.

use std::process::{Command, Stdio};

use jettison_dockerfile::expand::expand;
use proptest::prelude::*;

/// The variables of both sides.
const VARIABLES: [(&str, &str); 4] = [("A", "one"), ("B", ""), ("C", "a/b.c/b"), ("D", "x y")];

fn value(name: &str) -> Option<String> {
    VARIABLES.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
}

/// What `sh` makes of each word, as the value of an assignment: no splitting and no file names there.
fn shell(words: &[String]) -> Option<Vec<String>> {
    let mut script = String::new();
    for (name, value) in VARIABLES {
        script += &format!("{name}='{value}'\n");
    }
    for word in words {
        script += &format!("w={word}\nprintf '%s\\n' \"$w\"\n");
    }
    let output = Command::new("sh").arg("-c").arg(script).env_clear().stdin(Stdio::null()).output().ok()?;
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("what goes in is ASCII");
    Some(text.lines().map(str::to_owned).collect())
}

fn letters() -> impl Strategy<Value = String> {
    "[a-c./_-]{0,4}"
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["A", "B", "C", "D", "U"])
}

/// `${v:-word}` and its like.
fn choice(word: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (name(), prop::sample::select(vec![":-", "-", ":+", "+"]), word)
        .prop_map(|(name, operator, word)| format!("${{{name}{operator}{word}}}"))
}

/// `$v`, `${v}` and the forms with a word or a pattern.
fn variable() -> impl Strategy<Value = String> {
    let trimmed = (name(), prop::sample::select(vec!["#", "##", "%", "%%"]), "[a-c./?*]{0,3}")
        .prop_map(|(name, operator, pattern)| format!("${{{name}{operator}{pattern}}}"));
    prop_oneof![
        name().prop_map(|name| format!("${name}/")),
        name().prop_map(|name| format!("${{{name}}}")),
        choice(letters()),
        choice(choice(letters())),
        trimmed,
    ]
}

fn word() -> impl Strategy<Value = String> {
    let quoted = prop::collection::vec(prop_oneof![letters(), variable(), "\\\\[$\"\\\\]"], 0..4)
        .prop_map(|parts| format!("\"{}\"", parts.concat()));
    let piece = prop_oneof![letters(), variable(), "'[a-c $\"*]{0,4}'", "\\\\[a-c$\"'*.]", quoted,];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

#[allow(clippy::print_stdout, reason = "a test that cannot go on says why")]
fn skip() {
    assert!(std::env::var_os("JETTISON_REQUIRE_ALL").is_none(), "there must be an sh");
    println!("skipped: no sh");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn as_the_shell_expands(words in prop::collection::vec(word(), 48)) {
        let Some(expected) = shell(&words) else {
            skip();
            return Ok(());
        };
        prop_assert_eq!(words.len(), expected.len());
        for (word, expected) in words.iter().zip(expected) {
            let found = expand(word, '\\', &value).map(|expanded| expanded.text);
            prop_assert_eq!(found, Ok(expected), "{}", word);
        }
    }
}
