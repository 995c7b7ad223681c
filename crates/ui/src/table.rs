//! Tables of text: columns as wide as their widest cell.

use std::fmt;

use crate::clean::width;

/// Blanks between two columns.
const GAP: usize = 3;

/// A table with a header. Its text ends with a line end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
}

impl Table {
    /// A table with these column names.
    pub fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Self {
        Self { rows: vec![header.into_iter().map(Into::into).collect()], right: Vec::new() }
    }

    /// Aligns the columns at these positions to the right (numbers).
    #[must_use]
    pub fn right(mut self, columns: &[usize]) -> Self {
        self.right = columns.to_vec();
        self
    }

    /// Appends a row. Missing cells are empty.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Whether there is nothing but the header.
    pub fn is_empty(&self) -> bool {
        self.rows.len() <= 1
    }

    /// The same table in Markdown.
    pub fn to_markdown(&self) -> String {
        let columns = self.widths().len();
        let mut out = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let cell = |column: usize| row.get(column).map_or("", String::as_str).replace('|', "\\|");
            let cells: Vec<String> = (0..columns).map(cell).collect();
            out.push_str(&format_row(&cells));
            if number == 0 {
                let rule = |column| if self.right.contains(&column) { "--:" } else { "---" }.to_owned();
                out.push_str(&format_row(&(0..columns).map(rule).collect::<Vec<_>>()));
            }
        }
        out
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell_width = |row: &Vec<String>, column: usize| row.get(column).map_or(0, |cell| width(cell));
        (0..columns)
            .map(|column| self.rows.iter().map(|row| cell_width(row, column)).max().unwrap_or(0))
            .collect()
    }
}

fn format_row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for row in &self.rows {
            let mut line = String::new();
            for (column, column_width) in widths.iter().enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                let padding = " ".repeat(column_width - width(cell));
                if self.right.contains(&column) {
                    line.push_str(&padding);
                    line.push_str(cell);
                } else {
                    line.push_str(cell);
                    line.push_str(&padding);
                }
                line.push_str(&" ".repeat(GAP));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["NAME", "DIGEST", "SIZE"]).right(&[2]);
        table.row(["golang:1.11", "3c4f0c7e1f9b", "783MB"]);
        table.row(["日本", "", "6.55MB"]);
        table.row(["a|b"]);
        table
    }

    #[test]
    fn columns_are_aligned() {
        insta::assert_snapshot!(table(), @r#"
        NAME          DIGEST           SIZE
        golang:1.11   3c4f0c7e1f9b    783MB
        日本                         6.55MB
        a|b
        "#);
        assert!(Table::new(["A"]).is_empty() && !table().is_empty());
    }

    #[test]
    fn markdown() {
        insta::assert_snapshot!(table().to_markdown(), @r#"
        | NAME | DIGEST | SIZE |
        | --- | --- | --: |
        | golang:1.11 | 3c4f0c7e1f9b | 783MB |
        | 日本 |  | 6.55MB |
        | a\|b |  |  |
        "#);
    }
}
