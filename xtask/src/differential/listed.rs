//! The differences that are meant: the rows of the tables in `docs/differences.md` that begin with a case's name.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::docker::Release;

/// Where they are listed, seen from the root of the repository.
pub(super) const FILE: &str = "docs/differences.md";

/// Headings of tables that hold for one release alone end so.
const ALONE: [(&str, Release); 2] =
    [("BuildKit 0.8 alone", Release::Installed), ("BuildKit 0.25 alone", Release::Newest)];

/// Names of cases that may differ from what this release builds, each with its reason.
pub(super) fn read(file: &Path, release: Release) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    rows(&text, release)
}

/// Rows of the form ``| `case/name` | reason |`` in the tables that hold for `release`.
fn rows(text: &str, release: Release) -> Result<BTreeMap<String, String>> {
    let mut rows = BTreeMap::new();
    let mut holds_for = None;
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            holds_for = ALONE.iter().find(|(end, _)| heading.ends_with(end)).map(|(_, release)| *release);
        }
        let Some((name, rest)) = line.strip_prefix("| `").and_then(|rest| rest.split_once("` |")) else {
            continue;
        };
        if !name.contains('/') || name.contains(' ') || holds_for.is_some_and(|only| only != release) {
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
        let rows = rows(text, Release::Installed).unwrap();
        assert_eq!(rows.into_iter().collect::<Vec<_>>(), [("copy/x".into(), "older builder".into())]);
    }

    #[test]
    fn a_row_without_a_reason_is_refused_and_so_is_one_that_stands_twice() {
        assert!(rows("| `copy/x` | |\n", Release::Newest).is_err());
        assert!(rows("| `copy/x` | a |\n| `copy/x` | b |\n", Release::Newest).is_err());
    }

    #[test]
    fn a_table_may_hold_for_one_release_alone() {
        let text = "## From every BuildKit\n| `a/b` | all |\n## From BuildKit 0.8 alone\n| `c/d` | old |\n\
                    ## From BuildKit 0.25 alone\n| `c/d` | new |\n";
        let reasons = |release| rows(text, release).unwrap().into_values().collect::<Vec<_>>();
        assert_eq!(reasons(Release::Installed), ["all", "old"]);
        assert_eq!(reasons(Release::Newest), ["all", "new"]);
    }
}
