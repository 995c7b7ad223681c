//! A line of the terminal view: pieces of text with a tone. Escape sequences come last, and only if colour is wanted.

use anstyle::{AnsiColor, Style};

/// How a piece of text is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As any text.
    #[default]
    Normal,
    /// Of less weight: running output, details.
    Faint,
    /// What is happening now.
    Active,
    /// Done.
    Good,
    /// Went wrong.
    Bad,
    /// Deserves a look.
    Warning,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Normal => Style::new(),
            Self::Faint => Style::new().dimmed(),
            Self::Active => AnsiColor::Cyan.on_default(),
            Self::Good => AnsiColor::Blue.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Warning => AnsiColor::Yellow.on_default(),
        }
    }
}

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// How it is meant.
    pub tone: Tone,
    /// Its text, without control characters.
    pub text: String,
}

/// A line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Its pieces.
    pub segments: Vec<Segment>,
}

impl Line {
    /// A line of one piece.
    pub fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self::default().then(tone, text)
    }

    /// The line with one more piece.
    #[must_use]
    pub fn then(mut self, tone: Tone, text: impl Into<String>) -> Self {
        self.segments.push(Segment { tone, text: text.into() });
        self
    }

    /// The text alone.
    pub fn plain(&self) -> String {
        self.segments.iter().map(|segment| segment.text.as_str()).collect()
    }

    /// The text with colours.
    pub fn ansi(&self) -> String {
        let piece = |segment: &Segment| {
            let style = segment.tone.style();
            format!("{style}{}{style:#}", segment.text)
        };
        self.segments.iter().map(piece).collect()
    }
}
