//! Markdown tables and numbers that people can read.

/// A table whose columns line up also as plain text; the first column is left-aligned, the others right-aligned.
pub fn markdown(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String]| {
        let mut text = String::from("|");
        for (column, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            text.push_str(&if column == 0 {
                format!(" {cell:<width$} |")
            } else {
                format!(" {cell:>width$} |")
            });
        }
        text + "\n"
    };
    let mut text = line(&header.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>());
    text.push('|');
    for (column, width) in widths.iter().enumerate() {
        let dashes = "-".repeat(width + 1);
        text.push_str(&if column == 0 { format!("{dashes}-|") } else { format!("{dashes}:|") });
    }
    text.push('\n');
    rows.iter().for_each(|row| text.push_str(&line(row)));
    text
}

/// A number with its thousands apart: `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Seconds with as many digits as mean something.
pub fn seconds(value: f64) -> String {
    match value {
        v if v < 0.1 => format!("{v:.3}"),
        v if v < 100.0 => format!("{v:.2}"),
        v => format!("{v:.0}"),
    }
}

/// `more` as a multiple of `less`.
pub fn ratio(more: f64, less: f64) -> String {
    match more / less {
        r if !r.is_finite() => "–".to_owned(),
        r if r < 10.0 => format!("{r:.1}×"),
        r => format!("{}×", thousands(r.round() as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["bytes".to_owned(), "1,000".to_owned()], vec!["files".to_owned(), "7".to_owned()]];
        let expected = "|       |     n |\n|-------|------:|\n| bytes | 1,000 |\n| files |     7 |\n";
        assert_eq!(markdown(&["", "n"], &rows), expected);
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            (thousands(0), thousands(999), thousands(1_234_567)),
            ("0".into(), "999".into(), "1,234,567".into())
        );
        assert_eq!(
            (seconds(0.0123), seconds(1.234), seconds(123.4)),
            ("0.012".into(), "1.23".into(), "123".into())
        );
        assert_eq!((ratio(3.0, 2.0), ratio(5000.0, 2.0)), ("1.5×".into(), "2,500×".into()));
    }
}
