//! From bytes to a [`Dockerfile`]: the never-fail parser.

use crate::ast::{Dockerfile, Kind};
use crate::diagnostic::Diagnostic;

/// A physical line may have this many bytes (BuildKit: bufio's scanner limit less one).
pub const MAX_LINE_BYTES: usize = 65_535;

/// A Dockerfile may have this many bytes; nothing that people write comes near.
pub const MAX_SOURCE_BYTES: usize = 16 << 20;

/// What [`parse`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Everything that was understood.
    pub dockerfile: Dockerfile,
    /// Everything that was not, in order of place.
    pub diagnostics: Vec<Diagnostic>,
}

impl Parsed {
    /// Whether any diagnostic is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Parses a Dockerfile. Never fails and never panics, whatever the bytes.
pub fn parse(_source: &[u8]) -> Parsed {
    Parsed::default()
}

/// Parses one stored ONBUILD trigger, heredoc bodies included, into its instruction and that instruction's text.
/// Spans are offsets into `trigger`.
pub fn parse_onbuild(_trigger: &str) -> Result<(Kind, String), Diagnostic> {
    Err(Diagnostic::error("parse", "file with no instructions", crate::ast::Span::default()))
}
