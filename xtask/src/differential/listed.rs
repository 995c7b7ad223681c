//! The differences that are meant: the rows of the tables in `docs/differences.md` that begin with a case's name.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Where they are listed, seen from the root of the repository.
pub(super) const FILE: &str = "docs/differences.md";

/// Names of cases, each with its reason.
pub(super) fn read(file: &Path) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    rows(&text)
}

/// Rows of the form ``| `case/name` | reason |``.
fn rows(text: &str) -> Result<BTreeMap<String, String>> {
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        let Some((name, rest)) = line.strip_prefix("| `").and_then(|rest| rest.split_once("` |")) else {
            continue;
        };
        if !name.contains('/') || name.contains(' ') {
            continue;
        }
        let reason = rest.trim().trim_end_matches('|').trim();
        ensure!(!reason.is_empty(), "{name} has no reason in {FILE}");
        ensure!(rows.insert(name.to_owned(), reason.to_owned()).is_none(), "{name} stands twice in {FILE}");
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_begin_with_a_case_count_and_no_others() {
        let text = "| case | why |\n|---|---|\n| `copy/x` | older builder |\n| `ENV` | no case |\nprose\n";
        let rows = rows(text).unwrap();
        assert_eq!(rows.into_iter().collect::<Vec<_>>(), [("copy/x".into(), "older builder".into())]);
    }

    #[test]
    fn a_row_without_a_reason_is_refused_and_so_is_one_that_stands_twice() {
        assert!(rows("| `copy/x` | |\n").is_err());
        assert!(rows("| `copy/x` | a |\n| `copy/x` | b |\n").is_err());
    }
}
