//! `deny.toml`, as far as it can be checked without a network: licences, bans and sources of all crates that can become
//! part of the program. Advisories are left to `cargo deny` and `cargo audit`, which fetch a database.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;
use crate::repository;

const FILE: &str = "deny.toml";

/// Crates of other systems are never built.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// What is not permitted, and lists that permit nothing that there is.
pub(super) fn problems(root: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
    let words = ["metadata", "--locked", "--format-version", "1", "--filter-platform", PLATFORM];
    let json = process::output(repository::cargo().args(words))?;
    let metadata: Value = serde_json::from_slice(&json).context("cargo metadata is not JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata without packages")?;
    let resolved = metadata["resolve"]["nodes"].as_array().context("cargo metadata without a graph")?;
    let is_built = |package: &&Value| resolved.iter().any(|node| node["id"] == package["id"]);
    Ok(packages.iter().filter(is_built).flat_map(|package| of_package(package, &text)).collect())
}

fn of_package(package: &Value, rules: &str) -> Vec<String> {
    let field = |name: &str| package[name].as_str().unwrap_or_default();
    let (name, licence, source) = (field("name"), field("license"), field("source"));
    let mut problems = Vec::new();
    if !permits(licence, &list(rules, "licenses", "allow")) {
        problems.push(format!("{name}: {FILE} does not permit the licence {licence:?}"));
    }
    if list(rules, "bans", "deny").contains(&name) {
        problems.push(format!("{name}: {FILE} bans it"));
    }
    let registry = source.trim_start_matches("registry+");
    if !source.is_empty() && !list(rules, "sources", "allow-registry").contains(&registry) {
        problems.push(format!("{name}: {FILE} does not permit the source {source:?}"));
    }
    problems
}

/// The texts of `key = [...]` in a section.
fn list<'t>(toml: &'t str, section: &str, key: &str) -> Vec<&'t str> {
    let body = toml.split(&format!("\n[{section}]\n")).nth(1).unwrap_or_default();
    let body = body.split("\n[").next().unwrap_or_default();
    let Some(start) = body.find(&format!("{key} = [")) else { return Vec::new() };
    let items = body[start..].split(']').next().unwrap_or_default();
    items.split('"').skip(1).step_by(2).collect()
}

/// Whether a licence expression (SPDX, or cargo's old `A/B`) can be fulfilled with what is allowed.
fn permits(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let result = either(&words, &mut at, allowed);
    result && at == words.len()
}

fn either(words: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    let mut result = all(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        // Both sides are read, whatever the first one is.
        result = all(words, at, allowed) || result;
    }
    result
}

fn all(words: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    let mut result = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        result = one(words, at, allowed) && result;
    }
    result
}

fn one(words: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let result = either(words, at, allowed);
        // The closing one.
        *at += 1;
        return result;
    }
    if words.get(*at) == Some(&"WITH") {
        let name = format!("{word} WITH {}", words.get(*at + 1).unwrap_or(&""));
        *at += 2;
        return allowed.contains(&name.as_str());
    }
    allowed.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn licence_expressions_are_understood() {
        let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"];
        for good in [
            "MIT",
            "MIT/GPL-3.0",
            "GPL-3.0 OR MIT",
            "(MIT OR GPL-3.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
        ] {
            assert!(permits(good, &allowed), "{good}");
        }
        for bad in
            ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-3.0", "MIT WITH something", "MIT MIT"]
        {
            assert!(!permits(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn what_is_not_permitted_is_named() {
        let rules = "\n[licenses]\nallow = [\n \"MIT\",\n]\n[bans]\nother = 1\ndeny = [\"tokio\"]\n[sources]\nallow-registry = [\"https://x\"]\n";
        let package = |name: &str, licence: &str, source: Value| json!({"name": name, "license": licence, "source": source});
        assert_eq!(of_package(&package("own", "MIT", Value::Null), rules), Vec::<String>::new());
        assert_eq!(
            of_package(&package("good", "MIT", json!("registry+https://x")), rules),
            Vec::<String>::new()
        );
        let found = of_package(&package("tokio", "GPL-3.0", json!("git+https://y")), rules).join("\n");
        assert!(found.contains("licence") && found.contains("bans") && found.contains("source"), "{found}");
    }
}
