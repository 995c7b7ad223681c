//! Medians and ratios as Markdown.

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

    /// One size for each builder; none at all if nobody wrote an archive.
    fn archives(&self) -> Option<Vec<Option<u64>>> {
        let sizes: Vec<_> = self.runs.iter().map(|runs| runs.last()?.archive_bytes).collect();
        sizes.iter().any(Option::is_some).then_some(sizes)
    }
}

/// The middle value.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// In place of what somebody cannot do.
const ABSENT: &str = "–";

fn shown(value: f64, format: impl Fn(f64) -> String) -> String {
    if value.is_nan() { ABSENT.to_owned() } else { format(value) }
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
        let shown = medians.iter().map(|&value| shown(value, table::seconds));
        std::iter::once(row.label.clone()).chain(shown).chain(ratios).collect()
    });
    text.push_str(&table::markdown(&header, &seconds.collect::<Vec<_>>()));
    let narrow = &header[..=builders.len()];
    text.push_str(
        "\nMost memory, MB, all processes of the builder (its daemon and what RUN starts included):\n\n",
    );
    let memory = rows.iter().map(|row| {
        let medians = row.medians(|measured| measured.peak_bytes as f64 / 1e6);
        std::iter::once(row.label.clone())
            .chain(medians.iter().map(|&value| shown(value, |value| format!("{value:.0}"))))
            .collect()
    });
    text.push_str(&table::markdown(narrow, &memory.collect::<Vec<_>>()));
    let archives: Vec<Vec<String>> = rows
        .iter()
        .filter_map(|row| Some((row, row.archives()?)))
        .map(|(row, sizes)| {
            std::iter::once(row.label.clone())
                .chain(sizes.iter().map(|bytes| bytes.map_or(ABSENT.to_owned(), table::thousands)))
                .collect()
        })
        .collect();
    if !archives.is_empty() {
        text.push_str("\nBytes of the archives:\n\n");
        text.push_str(&table::markdown(narrow, &archives));
    }
    text
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
