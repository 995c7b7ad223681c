//! Findings: which are kept, and where they belong.

use super::config::Config;
use super::rule::Rule;
use crate::ast::{Instruction, Span};

/// After this many findings the others are only counted: nobody would read more of them.
pub const MAX_FINDINGS: usize = 1000;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// What it found, BuildKit's wording.
    pub message: String,
    /// The place that BuildKit gives: the whole instruction, as a rule.
    pub location: Span,
    /// The very words that are meant.
    pub span: Span,
}

/// Where a rule looks: an instruction, and what the comments above it say about checks.
#[derive(Clone, Debug)]
pub struct Site {
    /// The instruction.
    pub location: Span,
    own: Option<Config>,
}

impl Site {
    /// An instruction and the comments above it.
    pub fn new(location: Span, comments: &[String]) -> Self {
        Self { location, own: Config::of_comments(comments) }
    }

    /// An instruction of a stage.
    pub fn of(instruction: &Instruction) -> Self {
        Self::new(instruction.span, &instruction.comments)
    }

    /// The same settings for another place.
    pub fn moved_to(&self, location: Span) -> Self {
        Self { location, own: self.own.clone() }
    }
}

/// Takes findings in, as the configuration wants it.
#[derive(Clone, Debug, Default)]
pub struct Linter {
    config: Config,
    findings: Vec<Finding>,
    dropped: usize,
    failing: bool,
}

impl Linter {
    /// With a configuration of the whole file.
    pub fn new(config: Config) -> Self {
        Self { config, ..Self::default() }
    }

    /// Takes a finding of `rule` at `site`, unless the rule is switched off there or has said the same already.
    pub fn report(&mut self, site: &Site, rule: &'static Rule, message: String, span: Span) {
        if !self.runs(site, rule) {
            return;
        }
        self.failing |= self.config.error || site.own.as_ref().is_some_and(|own| own.error);
        if self.findings.len() >= MAX_FINDINGS {
            self.dropped += 1;
            return;
        }
        let here = self.findings.iter().rev().take_while(|finding| finding.location == site.location);
        if here.into_iter().any(|finding| finding.rule == rule && finding.message == message) {
            return;
        }
        self.findings.push(Finding { rule, message, location: site.location, span });
    }

    /// Experimental rules run if asked for, even under `skip=all`; the others run unless they are skipped.
    fn runs(&self, site: &Site, rule: &Rule) -> bool {
        let configs = || std::iter::once(&self.config).chain(&site.own);
        if rule.experimental {
            configs().any(|config| config.experimental.contains(rule.name))
                && !configs().any(|config| config.skip.names(rule.name))
        } else {
            !configs().any(|config| config.skip.contains(rule.name))
        }
    }

    /// Whether a rule can find anything at all without a word from an instruction's comment.
    pub fn skips_all(&self) -> bool {
        self.config.skip == super::Selection::All && self.config.experimental == super::Selection::default()
    }

    /// Whether there was a finding that fails the build (`error=true`).
    pub fn is_failing(&self) -> bool {
        self.failing
    }

    /// How many findings were beyond [`MAX_FINDINGS`].
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// The findings in order of place.
    pub fn into_findings(mut self) -> Vec<Finding> {
        self.findings.sort_by_key(|finding| (finding.location.start, finding.span, finding.rule.name));
        self.findings
    }
}
