//! What must hold for any bytes given to the checks, the planner and outlines. Used by the fuzz target, and by the test
//! that replays the corpus on the stable compiler.

use jettison_dockerfile::lint::{self, MAX_FINDINGS};
use jettison_dockerfile::{Span, parse};
use jettison_plan::survey::{self, Stages, Survey};
use jettison_plan::{Images, Options};

/// A whole file, checked: places lie in it, and findings are bounded.
pub(crate) fn check(bytes: &[u8]) {
    let parsed = parse(bytes);
    let (file, options, images) = (&parsed.dockerfile, &Options::default(), &Images::default());
    let inside = |span: Span| assert!(span.start <= span.end && span.end <= bytes.len(), "{span}");
    let Ok((mut linter, remarks)) = survey::linter(file, options) else { return };
    for remark in remarks {
        inside(remark.span);
    }
    lint::check_text(file, &mut linter);
    for stages in [Stages::Needed, Stages::All] {
        survey::survey(&Survey { file, options, images, ignore: None, stages }, &mut linter);
    }
    let findings = linter.into_findings();
    assert!(findings.len() <= MAX_FINDINGS);
    for finding in findings {
        inside(finding.location);
        inside(finding.span);
    }
    for error in jettison_plan::errors(file, options, images) {
        inside(error.span);
    }
    let _ = survey::outline(file, options, images);
}
