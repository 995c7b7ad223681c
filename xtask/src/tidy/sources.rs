//! Rules for source files: each says what it is, none is large, names mean something, nothing is left unfinished,
//! and what the compiler cannot check lies in one crate.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Most lines of a file. Aim at 500.
const LINES_MAX: usize = 900;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["util", "utils", "manager", "managers", "helper", "helpers"];

/// Marks of unfinished work. Put together here, so that this file does not contain them.
const UNFINISHED: &[&str] = &[concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME")];

/// The keyword, and the crate in which it is allowed.
const KEYWORD: &str = concat!("un", "safe");
const ITS_CRATE: &str = "crates/sandbox/";

/// What must stand above it, and how many lines above at most.
const REASON: &str = concat!("SAF", "ETY");
const REASON_LINES: usize = 12;

/// Problems of all source files.
pub(super) fn problems(root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for folder in ["crates", "xtask", "examples", "tests", "fuzz"] {
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    let mut problems = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        problems.extend(of_file(&shown, &text).into_iter().map(|problem| format!("{shown}{problem}")));
    }
    Ok(problems)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() && !matches!(entry.file_name().to_str(), Some("target" | ".git")) {
            collect(&path, files)?;
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// Problems of one file, each beginning with `:line` where there is one.
fn of_file(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if !text.starts_with("//!") {
        problems
            .push(":1: does not open with `//!`: what it is, why it is here, where to read next".to_owned());
    }
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > LINES_MAX {
        problems.push(format!(
            ": {} lines, which is more than {LINES_MAX}: it has more than one purpose",
            lines.len()
        ));
    }
    let name = Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let folders = path.split('/').chain([name]).flat_map(|part| part.split(['_', '-']));
    if let Some(word) = folders.into_iter().find(|word| EMPTY_NAMES.contains(word)) {
        problems.push(format!(": {word:?} in a name says nothing; name what is inside"));
    }
    for (index, line) in lines.iter().enumerate() {
        let number = index + 1;
        for mark in UNFINISHED.iter().filter(|mark| line.contains(**mark)) {
            problems.push(format!(":{number}: {mark} marks unfinished work"));
        }
        let inline = line.trim().strip_prefix("mod ").and_then(|rest| rest.split([' ', ';', '{']).next());
        if inline.is_some_and(|module| module.split('_').any(|word| EMPTY_NAMES.contains(&word))) {
            problems.push(format!(":{number}: a module name that says nothing"));
        }
        if uses_keyword(line) {
            if !path.starts_with(ITS_CRATE) {
                problems.push(format!(":{number}: {KEYWORD} belongs into {ITS_CRATE} and nowhere else"));
            } else if !lines[index.saturating_sub(REASON_LINES)..=index].iter().any(|l| l.contains(REASON)) {
                problems.push(format!(":{number}: {KEYWORD} without a {REASON} comment above it"));
            }
        }
    }
    problems
}

/// Whether a line of code opens a block or an implementation with the keyword. (A function's is in its signature,
/// and its documentation is clippy's business.)
fn uses_keyword(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.match_indices(KEYWORD).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + KEYWORD.len()..].trim_start();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '"')
            && ["{", "impl ", "extern "].iter().any(|start| after.starts_with(start))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_file_has_no_problems() {
        assert!(of_file("crates/oci/src/digest.rs", "//! Digests.\n\nfn f() {}\n").is_empty());
    }

    #[test]
    fn each_rule_finds_its_problem() {
        let cases = [
            ("crates/a/src/x.rs", "fn f() {}\n".to_owned(), ":1: does not open"),
            ("crates/a/src/x.rs", format!("//! X.\n{}", "\n".repeat(LINES_MAX)), "more than 900"),
            ("crates/a/src/string_utils.rs", "//! X.\n".to_owned(), "\"utils\" in a name"),
            ("crates/a/src/x.rs", "//! X.\nmod helpers {\n".to_owned(), ":2: a module name"),
            ("crates/a/src/x.rs", format!("//! X.\n{}\n", UNFINISHED[0]), ":2: "),
            ("crates/a/src/x.rs", format!("//! X.\nlet a = {KEYWORD} {{ b() }};\n"), ":2: "),
            ("crates/sandbox/src/x.rs", format!("//! X.\n{KEYWORD} impl Send for A {{}}\n"), "without a"),
        ];
        for (path, text, expected) in cases {
            let found = of_file(path, &text);
            assert!(found.len() == 1 && found[0].contains(expected), "{expected}: {found:?}");
        }
    }

    #[test]
    fn the_keyword_may_be_spoken_of_and_used_with_a_reason() {
        let talk = format!("//! X.\n// {KEYWORD} {{}} is not used here\n#![forbid({KEYWORD}_code)]\n");
        assert!(of_file("crates/a/src/x.rs", &talk).is_empty());
        let reason = format!("//! X.\n// {REASON}: it is only read\nlet a = {KEYWORD} {{ b() }};\n");
        assert!(of_file("crates/sandbox/src/x.rs", &reason).is_empty());
    }
}
