//! From one frame to the next on a terminal: which bytes to write. Pure; knows what it painted last.
//!
//! The cursor stands below the frame between paints. Line wrapping is off while lines are written, so that a line
//! that is wider than we think is cut by the terminal instead of pushing the others out of place.

use crate::frame::Size;
use crate::line::Line;

const HIDE_CURSOR: &str = "\u{1b}[?25l";
const SHOW_CURSOR: &str = "\u{1b}[?25h";
const WRAP_OFF: &str = "\u{1b}[?7l";
const WRAP_ON: &str = "\u{1b}[?7h";
const CLEAR_LINE_END: &str = "\u{1b}[K";
const CLEAR_BELOW: &str = "\u{1b}[J";
/// Terminals that know it show the frame at once; others ignore it.
const BEGIN_UPDATE: &str = "\u{1b}[?2026h";
const END_UPDATE: &str = "\u{1b}[?2026l";

/// Gives a terminal back as it was, whatever was painted last. For whoever ends the program without
/// [`View::finish`](crate::View::finish).
pub const RESTORE: &str = "\u{1b}[?7h\u{1b}[?25h";

/// Paints frames over each other.
#[derive(Debug, Default)]
pub(crate) struct Painter {
    /// Widths of the lines on the screen.
    painted: Vec<usize>,
    hidden: bool,
}

impl Painter {
    /// The bytes that replace what was painted last by `lines`.
    pub(crate) fn paint(&mut self, lines: &[Line], size: Size, colour: bool) -> String {
        let mut out = String::from(BEGIN_UPDATE);
        if !self.hidden {
            out.push_str(HIDE_CURSOR);
            self.hidden = true;
        }
        out.push_str(&self.to_top(size));
        out.push_str(WRAP_OFF);
        for line in lines {
            out.push_str(&if colour { line.ansi() } else { line.plain() });
            out.push_str(CLEAR_LINE_END);
            out.push_str("\r\n");
        }
        out.push_str(CLEAR_BELOW);
        out.push_str(WRAP_ON);
        out.push_str(END_UPDATE);
        self.painted = lines.iter().map(|line| crate::clean::width(&line.plain())).collect();
        out
    }

    /// The bytes that give the cursor back. The frame stays.
    pub(crate) fn release(&mut self) -> String {
        self.painted.clear();
        if std::mem::take(&mut self.hidden) { format!("{WRAP_ON}{SHOW_CURSOR}") } else { String::new() }
    }

    /// To the first row of the last frame. A terminal made narrower has wrapped its lines since.
    fn to_top(&self, size: Size) -> String {
        let columns = usize::from(size.columns).max(1);
        let rows: usize = self.painted.iter().map(|width| width.div_ceil(columns).max(1)).sum();
        // What has scrolled away cannot be reached.
        let rows = rows.min(usize::from(size.rows).saturating_sub(1));
        if rows == 0 { "\r".to_owned() } else { format!("\r\u{1b}[{rows}A") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Tone;

    fn lines(texts: &[&str]) -> Vec<Line> {
        texts.iter().map(|text| Line::new(Tone::Normal, *text)).collect()
    }

    const SIZE: Size = Size { columns: 10, rows: 5 };

    #[test]
    fn the_second_frame_goes_over_the_first() {
        let mut painter = Painter::default();
        let first = painter.paint(&lines(&["a", "b"]), SIZE, false);
        assert_eq!(
            first,
            "\u{1b}[?2026h\u{1b}[?25l\r\u{1b}[?7la\u{1b}[K\r\nb\u{1b}[K\r\n\u{1b}[J\u{1b}[?7h\u{1b}[?2026l"
        );
        let second = painter.paint(&lines(&["c"]), SIZE, false);
        assert_eq!(second, "\u{1b}[?2026h\r\u{1b}[2A\u{1b}[?7lc\u{1b}[K\r\n\u{1b}[J\u{1b}[?7h\u{1b}[?2026l");
        assert_eq!(painter.release(), "\u{1b}[?7h\u{1b}[?25h");
        assert_eq!(painter.release(), "");
    }

    #[test]
    fn lines_wrapped_by_a_narrower_terminal_are_counted() {
        let mut painter = Painter::default();
        painter.paint(&lines(&["0123456789", "x"]), SIZE, false);
        let narrow = Size { columns: 4, rows: 50 };
        assert!(painter.paint(&[], narrow, false).contains("\r\u{1b}[4A"));
    }

    #[test]
    fn the_cursor_never_goes_above_the_screen() {
        let mut painter = Painter::default();
        painter.paint(&lines(&["a"; 20]), SIZE, false);
        assert!(painter.paint(&[], SIZE, false).contains("\r\u{1b}[4A"));
    }

    #[test]
    fn colour_only_if_wanted() {
        let red = vec![Line::new(Tone::Bad, "x")];
        assert!(!Painter::default().paint(&red, SIZE, false).contains("[31m"));
        assert!(Painter::default().paint(&red, SIZE, true).contains("\u{1b}[31m"));
    }
}
