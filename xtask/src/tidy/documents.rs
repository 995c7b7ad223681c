//! Rules for what is written beside the code: each dependency is argued for, and used; the map names files that
//! exist; the licence is there.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use super::Crate;

const DEPENDENCIES: &str = "docs/dependencies.md";
const MAP: &str = "ARCHITECTURE.md";

/// Folders whose files the map may name.
const MAPPED: &[&str] = &["crates/", "xtask/", "docs/", "examples/", "tests/", ".ci/"];

/// Problems of documents.
pub(super) fn problems(root: &Path, crates: &[Crate]) -> Result<Vec<String>> {
    let read = |name: &str| std::fs::read_to_string(root.join(name));
    let mut problems = Vec::new();
    match read("LICENSE") {
        Ok(text) if text.contains("Apache License") => {}
        _ => problems.push("LICENSE: the text of the Apache License 2.0 is missing".to_owned()),
    }
    let manifest = read("Cargo.toml").context("reading Cargo.toml")?;
    match read(DEPENDENCIES) {
        Ok(text) => problems.extend(dependencies(&text, &declared(&manifest), crates)),
        Err(_) => problems.push(format!("{DEPENDENCIES} is missing")),
    }
    match read(MAP) {
        Ok(text) => problems.extend(missing_paths(&text, |path| root.join(path).exists())),
        Err(_) => problems.push(format!("{MAP} is missing")),
    }
    Ok(problems)
}

/// Names in the `[workspace.dependencies]` of a manifest, without our own crates.
fn declared(manifest: &str) -> BTreeSet<String> {
    let lines = manifest.lines().skip_while(|line| line.trim() != "[workspace.dependencies]").skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim().to_owned())
        .filter(|name| !name.starts_with(['#']) && !name.starts_with("jettison"))
        .collect()
}

fn dependencies(text: &str, declared: &BTreeSet<String>, crates: &[Crate]) -> Vec<String> {
    let documented: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let used: BTreeSet<&str> = crates
        .iter()
        .flat_map(|subject| &subject.dependencies)
        .map(String::as_str)
        .filter(|name| !name.starts_with("jettison"))
        .collect();
    let mut problems = Vec::new();
    for name in used.difference(&documented) {
        problems.push(format!("{DEPENDENCIES}: no line says why there is `{name}`"));
    }
    for name in documented.difference(&used) {
        problems.push(format!("{DEPENDENCIES}: `{name}` is used by no crate"));
    }
    for name in declared.iter().filter(|name| !used.contains(name.as_str())) {
        problems.push(format!("Cargo.toml: `{name}` is declared and used by no crate"));
    }
    problems
}

/// Paths in backticks that begin with a folder of ours and do not exist.
fn missing_paths(text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let spans = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    spans
        .filter(|span| MAPPED.iter().any(|folder| span.starts_with(folder)))
        .filter(|span| !span.contains([' ', '*', '<', '{', '…']))
        .filter(|span| !exists(span))
        .map(|span| format!("{MAP}: names `{span}`, which does not exist"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user_of(names: &[&str]) -> [Crate; 1] {
        let dependencies = names.iter().map(|&name| name.to_owned()).collect();
        [Crate { name: "jettison-oci".to_owned(), dependencies }]
    }

    #[test]
    fn a_dependency_needs_a_line_a_line_needs_a_use_and_a_declaration_too() {
        let declared = declared(
            "[workspace.dependencies]\njettison-oci = {}\nserde = \"1\"\nsha2 = \"0\"\n\n[x]\ny = 1\n",
        );
        assert_eq!(declared.iter().collect::<Vec<_>>(), ["serde", "sha2"]);
        let found = dependencies("| `tar` | x |\n", &declared, &user_of(&["serde", "jettison-x"]));
        assert_eq!(found.len(), 3, "{found:?}");
        let text = "| `serde` | x |\n| `sha2` | x |\n";
        assert!(dependencies(text, &declared, &user_of(&["serde", "sha2"])).is_empty());
    }

    #[test]
    fn the_map_names_only_files_that_exist() {
        let text = "see `crates/oci/src/lib.rs`, `crates/gone.rs`, `cargo test`, `crates/*/tests`";
        let found = missing_paths(text, |path| path == "crates/oci/src/lib.rs");
        assert_eq!(found, ["ARCHITECTURE.md: names `crates/gone.rs`, which does not exist"]);
    }
}
