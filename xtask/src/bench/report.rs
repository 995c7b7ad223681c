//! Medians and ratios as Markdown.

use std::fmt::Write;

use crate::table;

use super::measure::Measured;

/// What was measured in one phase, by each builder. The first builder is jettison.
pub struct Row {
    label: String,
    runs: Vec<Vec<Measured>>,
}

impl Row {
    /// Nothing measured yet.
    pub fn new(label: String, builders: usize) -> Self {
        Self { label, runs: vec![Vec::new(); builders] }
    }

    /// One run more.
    pub fn add(&mut self, builder: usize, measured: Measured) {
        self.runs[builder].push(measured);
    }

    fn medians(&self, value: impl Fn(&Measured) -> f64) -> Vec<f64> {
        self.runs.iter().map(|runs| median(runs.iter().map(&value).collect())).collect()
    }

    fn archives(&self) -> Option<Vec<u64>> {
        self.runs.iter().map(|runs| runs.last()?.archive_bytes).collect()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// The tables: seconds with ratios, memory, sizes of archives.
pub fn markdown(builders: &[&str], rows: &[Row]) -> String {
    let mut text = String::from("Seconds, median:\n\n");
    let ratios = builders.iter().skip(1).map(|name| format!("{name} ÷ {}", builders[0]));
    let header: Vec<String> = std::iter::once(String::new())
        .chain(builders.iter().map(|&name| name.to_owned()))
        .chain(ratios)
        .collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let seconds = rows.iter().map(|row| {
        let medians = row.medians(|measured| measured.seconds);
        let ratios = medians.iter().skip(1).map(|&other| table::ratio(other, medians[0]));
        let shown = medians.iter().map(|&value| table::seconds(value));
        std::iter::once(row.label.clone()).chain(shown).chain(ratios).collect()
    });
    text.push_str(&table::markdown(&header, &seconds.collect::<Vec<_>>()));
    let narrow = &header[..=builders.len()];
    text.push_str(
        "\nMost memory, MB, all processes of the builder (its daemon and what RUN starts included):\n\n",
    );
    let memory = rows.iter().map(|row| {
        let medians = row.medians(|measured| measured.peak_bytes as f64 / 1e6);
        std::iter::once(row.label.clone()).chain(medians.iter().map(|value| format!("{value:.0}"))).collect()
    });
    text.push_str(&table::markdown(narrow, &memory.collect::<Vec<_>>()));
    let archives: Vec<Vec<String>> = rows
        .iter()
        .filter_map(|row| Some((row, row.archives()?)))
        .map(|(row, sizes)| {
            std::iter::once(row.label.clone())
                .chain(sizes.iter().map(|&bytes| table::thousands(bytes)))
                .collect()
        })
        .collect();
    if !archives.is_empty() {
        text.push_str("\nBytes of the archives:\n\n");
        text.push_str(&table::markdown(narrow, &archives));
    }
    text
}

/// docs/benchmarks.md.
pub fn page(versions: &[String], runs: usize, tables: &str) -> String {
    let mut text = String::from("# Benchmarks\n\nMade by `cargo xtask bench --write`; do not edit. ");
    let _ = writeln!(text, "Median of {runs} runs on {}.\n", machine());
    for version in versions {
        let _ = writeln!(text, "- {version}");
    }
    text.push_str(
        "\nAll pull from the same registry on the same machine. Builders take turns within each run. BuildKit's daemon is\n\
         already running and its memory counts. Archives are what `docker load` reads, layers not compressed: the form\n\
         that all can write. Pushes go to an empty registry, layers compressed by gzip.\n\n",
    );
    text.push_str(tables);
    text.push_str(PUBLISHED);
    text
}

/// Quoted, not measured here: what the project aims at.
const PUBLISHED: &str = "
## What a newer BuildKit needs

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

fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version: String = kernel.trim().chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    format!("{cores} cores ({model}), Linux {version}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(seconds: f64, archive_bytes: Option<u64>) -> Measured {
        Measured { seconds, peak_bytes: 20_000_000, archive_bytes }
    }

    #[test]
    fn medians_ratios_and_sizes_are_shown() {
        let mut row = Row::new("files".to_owned(), 2);
        for seconds in [1.0, 9.0, 2.0] {
            row.add(0, measured(seconds, Some(1000)));
            row.add(1, measured(seconds * 3.0, Some(2000)));
        }
        let shown = markdown(&["jettison", "BuildKit"], &[row]);
        for line in [
            "|       | jettison | BuildKit | BuildKit ÷ jettison |",
            "| files |     2.00 |     6.00 |                3.0× |",
            "| files |       20 |       20 |",
            "| files |    1,000 |    2,000 |",
        ] {
            assert!(shown.lines().any(|l| l == line), "{line}\nis not in\n{shown}");
        }
    }

    #[test]
    fn a_median_of_two_lies_between_them() {
        assert!((median(vec![3.0, 1.0]) - 2.0).abs() < 1e-9);
    }
}
