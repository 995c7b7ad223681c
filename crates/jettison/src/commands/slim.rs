//! `jettison slim`: from a Dockerfile to one with a separate build stage, built and tried before it is shown.
//!
//! What goes into the new image is decided in crate `slim`. Here the Dockerfile is built as it is, the answer is built
//! too, both images are started in the sandbox and compared. Unless all of that is well, nothing is written.

use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use jettison_engine::event::{Outcome, Verdict, Weight};
use jettison_engine::{
    BuildRequest, BuiltImage, Candidate, Error, Inspection, Inspector, build, write_atomically,
};
use jettison_inspect::tree::join;
use jettison_inspect::{NodeKind, Tree};
use jettison_slim::{self as slim, Proposal, Refusal, Subject};
use jettison_ui::bytes::for_people;
use jettison_ui::table::Table;

use super::build::request;
use super::build_inputs::Session;
use super::print;
use crate::args::Slim;
use crate::environment::{self, Environment};
use crate::failure::{Failure, Kind, text_with_places};
use crate::progress::View;
use crate::proof::{self, Prover};

/// Most files that are counted.
const FILES_MAX: u64 = 10_000_000;
/// Files that stay behind, shown by name.
const LEFT_BEHIND_SHOWN: usize = 10;

pub(crate) fn run(args: &Slim, environment: &Environment) -> Result<ExitCode, Failure> {
    args.build.docker.refuse()?;
    let session = Session::new(environment, args.build.progress);
    let mut request = request(&args.build, &session)?;
    let (control_groups, notices) = args.build.limits.control_groups()?;
    request.control_groups = control_groups;
    for notice in notices {
        say(&format!("slim: {notice}"));
    }
    if request.platforms.len() > 1 || request.plan.target.is_some() {
        return Err(Failure::usage("slim takes the last stage, for one platform"));
    }
    if args.write && request.dockerfile.path.is_none() {
        return Err(Failure::usage("-w overwrites a file, and the Dockerfile is none"));
    }
    request.tags.clear();
    request.outputs.clear();
    let mut work = Work { args, session: &session, request };
    match work.carry_out() {
        Ok(found) => work.finish(&found),
        Err(failure) if failure.canceled => Err(failure),
        Err(failure) => {
            let source = text_with_places(&work.request.dockerfile.text);
            failure.print(Some((&work.request.dockerfile.name, &source)), environment::stderr_has_colour());
            Ok(ExitCode::from(failure.kind as u8))
        }
    }
}

/// A slimming under way.
struct Work<'a> {
    args: &'a Slim,
    session: &'a Session<'a>,
    request: BuildRequest,
}

/// The answer, and how the images compare.
struct Answer {
    proposal: Proposal,
    before: Built,
    after: Built,
}

/// An image and what was seen of it.
struct Built {
    image: BuiltImage,
    seen: Seen,
}

impl Work<'_> {
    fn carry_out(&mut self) -> Result<Answer, Failure> {
        let source = String::from_utf8(self.request.dockerfile.text.clone())
            .map_err(|_| Failure::new(Kind::Dockerfile, "the Dockerfile is no UTF-8 text"))?;
        let parsed = jettison_dockerfile::parse(source.as_bytes());
        if !parsed.has_errors() {
            slim::check(&parsed.dockerfile).map_err(of_refusal)?;
        }
        say("slim: building the Dockerfile as it is");
        let before = self.build(&source, true)?;
        let proposal = proposal(&before)?;
        let static_one = if proposal.can_do_without_cgo { self.without_cgo(&source)? } else { None };
        let proposal = static_one.unwrap_or(proposal);
        say("slim: building the new one");
        let after = self.build(&proposal.dockerfile, false)?;
        compare(&before, &after)?;
        Ok(Answer { proposal, before, after })
    }

    /// The proposal for the same program built without cgo; `None` if it does not build, or is no better so.
    fn without_cgo(&mut self, source: &str) -> Result<Option<Proposal>, Failure> {
        let parsed = jettison_dockerfile::parse(source.as_bytes());
        let Some(edited) = slim::without_cgo(source, &parsed.dockerfile) else { return Ok(None) };
        say("slim: building it without cgo, so that it needs no C library");
        let built = match self.build(&edited, true) {
            Ok(built) => built,
            Err(failure) if failure.canceled => return Err(failure),
            Err(failure) => {
                say(&format!("slim: that fails ({failure}); its libraries come along instead"));
                return Ok(None);
            }
        };
        match proposal(&built) {
            Ok(proposal) if proposal.program.ends_with("(static)") => Ok(Some(proposal)),
            _ => {
                say("slim: it is no static program so; its libraries come along instead");
                Ok(None)
            }
        }
    }

    fn build(&mut self, source: &str, with_proposal: bool) -> Result<Built, Failure> {
        let (store, registry) = self.session.open()?;
        let surveyor = Arc::new(Surveyor {
            prover: Prover::trying(),
            keep: with_proposal.then(|| (source.to_owned(), self.args.keep.clone())),
            seen: Mutex::new(None),
        });
        let mut request = self.request.clone();
        request.dockerfile.text = source.as_bytes().to_vec();
        request.inspector = Some(Arc::<Surveyor>::clone(&surveyor));
        let view = View::start(self.args.build.progress, &request.dockerfile.name, source);
        let outcome = build(&request, store, registry, &view, &self.session.environment.cancel);
        view.finish(outcome.is_ok());
        let image = outcome?.image.ok_or_else(|| Failure::new(Kind::Failed, "the build made no image"))?;
        let seen = surveyor.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        let seen = seen.ok_or_else(|| Failure::new(Kind::Failed, "nothing looked at the image"))?;
        Ok(Built { image, seen })
    }

    fn finish(&self, answer: &Answer) -> Result<ExitCode, Failure> {
        let text = &answer.proposal.dockerfile;
        let name = &self.request.dockerfile.name;
        say(&table(&answer.before, &answer.after));
        let left = &answer.proposal.left_behind;
        if !left.is_empty() {
            say(&left_behind(left));
        }
        proof::print(&answer.after.seen.verdict, name, text);
        match self.request.dockerfile.path.as_ref().filter(|_| self.args.write) {
            Some(path) => {
                write_atomically(path, text.as_bytes())?;
                say(&format!("slim: {name} is written"));
                Ok(ExitCode::SUCCESS)
            }
            None => print(text),
        }
    }
}

/// Tells people what happens, on standard error.
fn say(text: &str) {
    // Nobody is left to tell if standard error is gone.
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
}

fn proposal(built: &Built) -> Result<Proposal, Failure> {
    match &built.seen.proposal {
        Some(Ok(proposal)) => Ok(proposal.clone()),
        Some(Err(refusal)) => Err(of_refusal(refusal.clone())),
        None => Err(Failure::new(Kind::Failed, "nothing was proposed")),
    }
}

fn of_refusal(Refusal { reason, hint, span }: Refusal) -> Failure {
    refused(&reason, hint, span)
}

fn refused(reason: &str, hint: Option<String>, span: Option<jettison_engine::event::Span>) -> Failure {
    let message = format!("no slim image: {reason}");
    match (span, hint) {
        (Some(span), hint) => Failure::at(Kind::Failed, message, span, hint),
        (None, Some(hint)) => Failure::new(Kind::Failed, message).hint(hint),
        (None, None) => Failure::new(Kind::Failed, message),
    }
}

/// Refuses a new image that does worse than the old one, or is not smaller.
fn compare(before: &Built, after: &Built) -> Result<(), Failure> {
    const HINT: &str = "keep what it misses with --keep PATH";
    let trial = |built: &Built| {
        let mut findings = built.seen.verdict.findings.iter();
        findings.find(|finding| finding.rule.starts_with("run-")).cloned()
    };
    let verdict = &after.seen.verdict;
    if verdict.outcome == Outcome::CannotStart {
        let why = verdict.findings.first().map_or("", |finding| finding.message.as_str());
        return Err(refused(&format!("the smaller image cannot start: {why}"), Some(HINT.to_owned()), None));
    }
    if let (Some(old), Some(new)) = (trial(before), trial(after)) {
        let is_worse = new.weight > old.weight
            || (new.weight == Weight::Warning
                && old.weight == Weight::Warning
                && !is_same(&old.message, &new.message));
        if is_worse {
            let reason = format!(
                "started, the image as it is {:?}, and the smaller one {:?}",
                old.message, new.message
            );
            return Err(refused(&reason, Some(HINT.to_owned()), None));
        }
    }
    if after.image.compressed_bytes >= before.image.compressed_bytes {
        return Err(refused("it would not be smaller", None, None));
    }
    Ok(())
}

/// Whether two outputs are the same but for numbers: times, ports, process ids.
fn is_same(a: &str, b: &str) -> bool {
    let without_numbers = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    without_numbers(a) == without_numbers(b)
}

fn table(before: &Built, after: &Built) -> String {
    let mut table = Table::new(["", "BYTES", "TO PULL", "FILES"]).right(&[1, 2, 3]);
    for (name, built) in [("as it is", before), ("slim", after)] {
        table.row([
            name.to_owned(),
            for_people(built.image.uncompressed_bytes),
            for_people(built.image.compressed_bytes),
            built.seen.files.to_string(),
        ]);
    }
    let times = |large: u64, small: u64| format!("{:.1} times", large as f64 / small.max(1) as f64);
    table.row([
        "smaller".to_owned(),
        times(before.image.uncompressed_bytes, after.image.uncompressed_bytes),
        times(before.image.compressed_bytes, after.image.compressed_bytes),
        times(before.seen.files, after.seen.files),
    ]);
    table.to_string()
}

fn left_behind(files: &[String]) -> String {
    let shown: Vec<String> = files
        .iter()
        .take(LEFT_BEHIND_SHOWN)
        .map(|path| path.chars().filter(|c| !c.is_control()).collect())
        .collect();
    let more = match files.len().saturating_sub(LEFT_BEHIND_SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!(
        "slim: of the context these stay behind, for nothing in the program names them: {}{more}\n\
         slim: what is needed after all is kept with --keep PATH",
        shown.join(" ")
    )
}

/// What was seen of an image.
#[derive(Debug)]
struct Seen {
    verdict: Verdict,
    files: u64,
    /// If one was asked for.
    proposal: Option<Result<Proposal, Refusal>>,
}

/// Looks at an image before it has a name.
#[derive(Debug)]
struct Surveyor {
    prover: Prover,
    /// The Dockerfile that a proposal is asked for, and what is to be kept.
    keep: Option<(String, Vec<String>)>,
    seen: Mutex<Option<Seen>>,
}

impl Inspector for Surveyor {
    fn inspect(&self, candidate: &Candidate<'_>) -> Result<Inspection, Error> {
        let mut inspection = self.prover.inspect(candidate)?;
        inspection.refuse = false;
        let failed = |error: std::io::Error| Error::Inspection(error.to_string());
        let tree = proof::tree(candidate.store(), candidate.files()?)?;
        let proposal = match &self.keep {
            Some((source, keep)) => {
                let parsed = jettison_dockerfile::parse(source.as_bytes());
                let config = candidate.config();
                let proposed = slim::propose(&Subject {
                    source,
                    dockerfile: &parsed.dockerfile,
                    tree: &*tree,
                    config: &config.config,
                    platform: &config.platform(),
                    brought: &candidate.brought()?,
                    keep,
                });
                Some(match proposed {
                    Ok(proposal) => Ok(proposal),
                    Err(slim::Error::Refused(refusal)) => Err(refusal),
                    Err(slim::Error::Read(error)) => return Err(failed(error)),
                })
            }
            None => None,
        };
        let files = count(&*tree).map_err(failed)?;
        let seen = Seen { verdict: inspection.verdict.clone(), files, proposal };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        Ok(inspection)
    }

    fn task(&self) -> Option<String> {
        self.prover.task()
    }
}

/// How many files a tree has; folders do not count.
fn count(tree: &dyn Tree) -> std::io::Result<u64> {
    let mut files = 0;
    let mut pending = vec![Vec::new()];
    while let Some(folder) = pending.pop() {
        for name in tree.names(&folder)? {
            let path = join(&folder, &name);
            match tree.node(&path)?.map(|node| node.kind) {
                Some(NodeKind::Directory) => pending.push(path),
                Some(_) => files += 1,
                None => {}
            }
        }
        if files > FILES_MAX {
            break;
        }
    }
    Ok(files)
}
