//! docs/benchmarks.md: one section for each part that can be measured by itself. `--write` replaces the sections that were
//! measured and leaves the others.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result};

use crate::repository;

const FILE: &str = "docs/benchmarks.md";

/// A part of the page, in their order there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Side by side with other builders.
    Builders,
    /// How much of a build is the compiler's own time.
    Compiler,
    /// How costs grow.
    Linear,
    /// Memory with a layer of 8 GB.
    Memory,
    /// `jettison check`.
    Check,
    /// The start-proof.
    Verify,
}

use Section::{Builders, Check, Compiler, Linear, Memory, Verify};

const SECTIONS: [(Section, &str); 6] = [
    (Builders, "Beside other builders"),
    (Compiler, "One source line changed: the compiler and the rest"),
    (Linear, "How costs grow"),
    (Memory, "Memory with a layer of 8 GB"),
    (Check, "`jettison check` of 500 lines"),
    (Verify, "What the start-proof costs"),
];

const HEAD: &str = "# Benchmarks

Made by `cargo xtask bench --write`; do not edit. Each section is from one run on one machine, and its first line says which. Only ratios
from one run mean anything: machines differ, and the same machine differs from hour to hour.

";

/// Puts what was measured into the page.
pub fn write(measured: BTreeMap<Section, String>) -> Result<()> {
    let file = repository::root().join(FILE);
    let before = std::fs::read_to_string(&file).unwrap_or_default();
    std::fs::write(&file, merged(&before, measured))
        .with_context(|| format!("writing {}", file.display()))?;
    println!("written to {}", file.display());
    Ok(())
}

fn merged(before: &str, mut measured: BTreeMap<Section, String>) -> String {
    let mut text = HEAD.to_owned();
    for (section, heading) in SECTIONS {
        let body = measured.remove(&section).or_else(|| body(before, heading));
        if let Some(body) = body {
            let _ = writeln!(text, "## {heading}\n\n{}\n", body.trim());
        }
    }
    text.push_str(PUBLISHED);
    text
}

/// What stands below a heading.
fn body(page: &str, heading: &str) -> Option<String> {
    let (_, after) = page.split_once(&format!("\n## {heading}\n"))?;
    Some(after.split("\n## ").next().unwrap_or_default().to_owned())
}

/// Where something was measured.
pub fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version: String = kernel.trim().chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    format!("{cores} cores ({model}), Linux {version}")
}

/// Quoted, not measured here: what the project aims at.
const PUBLISHED: &str = "## What a BuildKit of August 2026 needs

BuildKit of August 2026 with igzip on its PATH, its daemon running, two other cores, otherwise idle; quoted from the comparison that the
project started from, not measured here. *At most* is the share of BuildKit's time, in one run on one machine, that jettison allows
itself.

| work | seconds | at most |
|---|---:|---:|
| cold build of the example with a base of 1.0 GB from a local registry | 10.0 | 0.33 |
| no-op rebuild | 0.11 | 0.20 |
| one source line changed | 1.51 | the compiler's own time + 80 ms |
| 50 × `RUN true` | 4.25 | 0.12 |
| 50 × `RUN true`, all cached | 0.11 | 0.25 |
| COPY of 20,000 files to scratch with export | 4.25 | 0.20 |
| the same, no-op | 0.56 | 0.15 |
| the same, one file changed | 2.77 | 0.12 |
| COPY --from of a 0.9 GB tree to scratch with export, gzip | 43.4 | 0.15 |
| six independent stages of `sleep 2` | 2.91 | the longest stage + 0.2 s |
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_section_is_replaced_and_the_others_stay() {
        let first =
            merged("", BTreeMap::from([(Check, "outdated\n".to_owned()), (Memory, "22 MB".to_owned())]));
        let second = merged(&first, BTreeMap::from([(Check, "new".to_owned()), (Builders, "x".to_owned())]));
        let places: Vec<_> =
            ["\nx\n", "\n22 MB\n", "\nnew\n", "August"].iter().map(|text| second.find(text)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{second}");
        assert!(!second.contains("outdated"), "{second}");
        assert_eq!(merged(&second, BTreeMap::new()), second);
    }
}
