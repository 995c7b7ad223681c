//! Checks: what builds, but probably not as meant. At the end of a build those of the stages that it needed are told;
//! [`check`] looks at all stages and builds nothing.
//!
//! The rules are in `jettison_dockerfile::lint`, the walk through the stages in `jettison_plan::survey`. Here is what
//! both need from outside: configs of base images, and the ignore file.

use jettison_dockerfile::ignore::Patterns;
use jettison_dockerfile::lint::{self, Finding, Linter};
use jettison_dockerfile::{Diagnostic, Dockerfile, Severity};
use jettison_oci::ImageConfig;
use jettison_plan::survey::{self, Stages, Survey};
use jettison_plan::{self as plan, Images, Options};

use crate::build::options_of_platforms;
use crate::context;
use crate::error::Error;
use crate::event::{Event, Sink};
use crate::prepare;
use crate::request::BuildRequest;

/// What [`check`] found.
#[derive(Debug, Default)]
pub struct Checked {
    /// Why it cannot be built, as far as that can be told without building.
    pub errors: Vec<Diagnostic>,
    /// Whether the file could be read as a whole, so that errors are not those of its form.
    pub complete: bool,
    /// What a build would say of the findings if they make it fail (`check=error=true`).
    pub violation: Option<Diagnostic>,
    /// What the rules found, in order of place.
    pub findings: Vec<Finding>,
    /// How many findings more there are.
    pub dropped: usize,
    /// Remarks about the Dockerfile that are no rule's.
    pub remarks: Vec<Diagnostic>,
    /// Base images that could not be looked at, and why: in stages on them no variable is called undefined.
    pub unknown_bases: Vec<(plan::Image, Error)>,
}

/// Checks a Dockerfile without building it. `config_of` finds configs of base images.
///
/// # Errors
/// That the ignore file cannot be read. What is wrong with the Dockerfile is in [`Checked::errors`].
pub fn check(
    request: &BuildRequest,
    config_of: &mut dyn FnMut(&plan::Image) -> Result<ImageConfig, Error>,
) -> Result<Checked, Error> {
    let mut whole: Option<Checked> = None;
    for options in options_of_platforms(request) {
        let checked = check_platform(request, &options, config_of)?;
        match &mut whole {
            None => whole = Some(checked),
            Some(whole) => whole.add(checked),
        }
    }
    Ok(whole.expect("there is at least one platform"))
}

impl Checked {
    /// Adds what is found for another platform only.
    fn add(&mut self, other: Self) {
        add_new(&mut self.errors, other.errors);
        add_new(&mut self.findings, other.findings);
        self.findings.sort_by_key(|finding| finding.span);
        self.complete &= other.complete;
        self.dropped = self.dropped.max(other.dropped);
        self.violation = self.violation.take().or(other.violation);
        if self.violation.is_some() {
            self.violation = Some(violation(&self.findings));
        }
        self.unknown_bases.extend(other.unknown_bases);
    }
}

fn add_new<T: PartialEq>(all: &mut Vec<T>, more: Vec<T>) {
    for one in more {
        if !all.contains(&one) {
            all.push(one);
        }
    }
}

/// The checks of one platform.
fn check_platform(
    request: &BuildRequest,
    options: &Options,
    config_of: &mut dyn FnMut(&plan::Image) -> Result<ImageConfig, Error>,
) -> Result<Checked, Error> {
    let parsed = jettison_dockerfile::parse(&request.dockerfile.text);
    let file = &parsed.dockerfile;
    let mut checked = Checked::default();
    (checked.errors, checked.remarks) =
        parsed.diagnostics.into_iter().partition(|d| d.severity == Severity::Error);
    let linter = match survey::linter(file, options) {
        Ok((linter, remarks)) => {
            checked.remarks.extend(remarks);
            linter
        }
        Err(error) => {
            checked.errors.push(error);
            return Ok(checked);
        }
    };
    if let Err(Error::Unsupported { feature, span }) = prepare::refuse_other_frontends(file, options) {
        let message = format!("{feature} is not supported yet");
        checked.errors.push(Diagnostic::error("frontend", message, span.unwrap_or_default()));
        return Ok(checked);
    }
    let stages = if options.target.is_some() { Stages::Needed } else { Stages::All };
    let mut images = Images::default();
    // Instructions that could not be read would make variables undefined that are not.
    checked.complete = checked.errors.is_empty();
    if checked.complete {
        for base in survey::bases(file, options, stages) {
            match config_of(&base) {
                Ok(config) => images.insert(base.reference, base.platform, config),
                Err(error) => checked.unknown_bases.push((base, error)),
            }
        }
        checked.errors = plan::errors(file, options, &images);
    }
    let ignore = context::ignore_file(request)?;
    let request = Survey { file, options, images: &images, ignore: ignore.as_ref(), stages };
    let linter = run(linter, &request, checked.complete);
    checked.dropped = linter.dropped();
    let failing = linter.is_failing();
    checked.findings = linter.into_findings();
    checked.violation = failing.then(|| violation(&checked.findings));
    Ok(checked)
}

fn run(mut linter: Linter, request: &Survey<'_>, complete: bool) -> Linter {
    lint::check_text(request.file, &mut linter);
    if complete {
        survey::survey(request, &mut linter);
    }
    linter
}

/// Tells the findings of a file that cannot be read as a whole; the errors follow.
pub(crate) fn tell_of_broken(file: &Dockerfile, options: &Options, sink: &dyn Sink) {
    // An unreadable configuration is one error too many here.
    if let Ok((mut linter, _)) = survey::linter(file, options) {
        lint::check_text(file, &mut linter);
        tell(linter, sink);
    }
}

/// The checks of a build: what its end tells.
///
/// # Errors
/// That the configuration cannot be read; or, with `check=error=true`, that there are findings, which are told then.
pub(crate) fn of_build(
    file: &Dockerfile,
    options: &Options,
    images: &Images,
    ignore: Option<&Patterns>,
    sink: &dyn Sink,
) -> Result<Linter, Error> {
    let (linter, remarks) = survey::linter(file, options).map_err(|error| Error::Dockerfile(vec![error]))?;
    for remark in remarks {
        sink.emit(Event::Warning(remark));
    }
    let linter = run(linter, &Survey { file, options, images, ignore, stages: Stages::Needed }, true);
    if !linter.is_failing() {
        return Ok(linter);
    }
    Err(Error::Dockerfile(vec![violation(&tell(linter, sink))]))
}

fn violation(findings: &[Finding]) -> Diagnostic {
    let mut names: Vec<&str> = findings.iter().map(|finding| finding.rule.name).collect();
    names.sort_unstable();
    names.dedup();
    let span = findings.first().map(|finding| finding.span).unwrap_or_default();
    let message = format!("lint violation found for rules: {}", names.join(", "));
    Diagnostic::error("check", message, span).with_hint("`check=error=true` makes a build fail for that")
}

/// Tells the findings as warnings.
pub(crate) fn tell(linter: Linter, sink: &dyn Sink) -> Vec<Finding> {
    let dropped = linter.dropped();
    let findings = linter.into_findings();
    for finding in &findings {
        sink.emit(Event::Warning(as_warning(finding)));
    }
    if dropped > 0 {
        sink.emit(Event::Notice(format!("{dropped} more findings of checks are not shown")));
    }
    findings
}

fn as_warning(finding: &Finding) -> Diagnostic {
    let warning = Diagnostic::warning(finding.rule.name, finding.message.clone(), finding.span);
    match finding.rule.url() {
        Some(url) => warning.with_hint(url),
        None => warning,
    }
}
