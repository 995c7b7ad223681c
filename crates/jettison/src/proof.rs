//! Between the start-proof (crate `inspect`) and the engine: the inspector of builds, files of images as trees, and what
//! people see of a verdict.

use std::io::{Read, Write};
use std::sync::Arc;

use jettison_engine::event::{self, Outcome, Span, Verdict, Weight};
use jettison_engine::{self as engine, Candidate, Files, Inspection, Inspector, Instruction};
use jettison_inspect::{
    self as inspect, Directory, Finding, LayerTree, MemoryTree, Provenance, Report, Severity, Source,
    Subject, Tree,
};
use jettison_layer::{self as layer, Limits};
use jettison_oci::{Algorithm, Descriptor, Digest, DigestReader, ImageConfig, Reference, media_type};
use jettison_store::Store;
use jettison_ui::{self as ui, Origin};

use crate::args::VerifyMode;
use crate::environment;
use crate::trial::{self, Trial};

/// Proves images of builds before they are named.
#[derive(Debug)]
pub(crate) struct Prover {
    refuse: bool,
    run: bool,
}

impl Prover {
    /// One that starts the image as well, and refuses none.
    pub(crate) fn trying() -> Self {
        Self { refuse: false, run: true }
    }

    /// An inspector for these modes; `None` if nothing is to be looked at.
    pub(crate) fn for_modes(modes: &[VerifyMode]) -> Option<Arc<dyn Inspector>> {
        if modes.contains(&VerifyMode::Off) {
            return None;
        }
        let has = |mode| modes.contains(&mode);
        Some(Arc::new(Self { refuse: has(VerifyMode::Error), run: has(VerifyMode::Run) }))
    }
}

impl Inspector for Prover {
    fn inspect(&self, candidate: &Candidate<'_>) -> Result<Inspection, engine::Error> {
        let config = candidate.config();
        let failed = |error: std::io::Error| engine::Error::Inspection(error.to_string());
        let tree = if self.looks_into_files(config) {
            tree(candidate.store(), candidate.files()?)?
        } else {
            Box::new(MemoryTree::default())
        };
        let from_build = FromBuild(candidate);
        let image = inspect::Image {
            tree: &*tree,
            config: &config.config,
            platform: &config.platform(),
            provenance: Some(&from_build),
        };
        let mut report = inspect::prove(&image).map_err(failed)?;
        if self.run {
            report.is_tried();
        }
        let name =
            candidate.names().first().map_or_else(|| candidate.digest().to_string(), Reference::familiar);
        report.name_image(&name);
        let mut verdict = verdict(&report, &|subject| Some(place(candidate, subject)));
        if let Some(trial) = self.run.then(|| trial::other_machine(&config.platform())).flatten() {
            add_trial(&mut verdict, &trial);
        } else if self.run
            && let Some(snapshot) = candidate.snapshot()?
        {
            let trial = trial::run(candidate.store(), snapshot.as_ref(), &config.config, candidate.cancel())?;
            add_trial(&mut verdict, &trial);
        }
        let refuse = self.refuse && verdict.outcome == Outcome::CannotStart;
        Ok(Inspection { verdict, refuse })
    }

    fn looks_into_files(&self, config: &ImageConfig) -> bool {
        self.run || inspect::needs_files(&config.config)
    }

    fn task(&self) -> Option<String> {
        self.run.then(|| "starting the image".to_owned())
    }
}

/// The place of the instruction at fault.
fn place(candidate: &Candidate<'_>, subject: &Subject) -> Span {
    let instruction = match subject {
        Subject::Command => Instruction::Command,
        Subject::Healthcheck => Instruction::Healthcheck,
        Subject::User => Instruction::User,
        Subject::WorkingDirectory => Instruction::Workdir,
        Subject::Environment(name) => Instruction::Env(name.clone()),
        Subject::File(path) => {
            let bringer = candidate.brought_by(path.trim_start_matches('/').as_bytes()).ok().flatten();
            return bringer.map_or_else(|| candidate.from_place(), |bringer| bringer.span);
        }
    };
    candidate.place(&instruction)
}

/// Where the files of a build's image came from.
#[derive(Debug)]
struct FromBuild<'a>(&'a Candidate<'a>);

impl Provenance for FromBuild<'_> {
    fn source(&self, path: &[u8]) -> Option<Source> {
        // A stage that cannot be looked into any more only makes for a poorer hint.
        let origin = self.0.brought_by(path).ok().flatten()?.from?;
        Some(Source { name: origin.name, tree: Box::new(Directory::new(origin.root)), runs: origin.runs })
    }

    fn instruction(&self, path: &[u8]) -> Option<String> {
        let bringer = self.0.brought_by(path).ok().flatten()?;
        self.0.text(bringer.span)
    }
}

/// The files of an image as a tree.
pub(crate) fn tree(store: &Store, files: Files) -> Result<Box<dyn Tree>, engine::Error> {
    match files {
        Files::Merged(root) => Ok(Box::new(Directory::new(root))),
        Files::Layers(layers) => Ok(Box::new(layer_tree(store, &layers)?)),
    }
}

/// A tree out of layers that lie in the store as blobs.
pub(crate) fn layer_tree(store: &Store, layers: &[(Descriptor, Digest)]) -> Result<LayerTree, engine::Error> {
    let scratch = store.scratch_dir()?;
    let path = scratch.path().join("contents");
    let contents = std::fs::File::options().read(true).write(true).create_new(true).open(&path);
    // Its name goes with the folder; the file lives as long as the tree.
    let contents =
        contents.map_err(|source| engine::Error::Io { action: "write", path: path.clone(), source })?;
    let mut tree = LayerTree::new(contents);
    for (descriptor, diff_id) in layers {
        with_layer(store, descriptor, diff_id, |tar| tree.add(tar, &Limits::default()))?;
    }
    Ok(tree)
}

/// Hands the tar of a layer to `read`, and checks that it was the one that the config names.
pub(crate) fn with_layer<T>(
    store: &Store,
    descriptor: &Descriptor,
    diff_id: &Digest,
    read: impl FnOnce(&mut dyn Read) -> Result<T, layer::Error>,
) -> Result<T, engine::Error> {
    let what = || format!("layer {}", descriptor.digest.short());
    let failed = |source| engine::Error::Layer { what: what(), source };
    let compression =
        media_type::layer_compression(&descriptor.media_type).ok_or_else(|| engine::Error::InvalidImage {
            reference: what(),
            reason: format!("unknown media type {:?}", descriptor.media_type),
        })?;
    let file = store.open_blob(&descriptor.digest)?;
    let plain = layer::decompress(compression, file).map_err(|e| failed(layer::Error::Read(e)))?;
    let mut tar = DigestReader::new(plain, Algorithm::Sha256);
    let value = read(&mut tar).map_err(failed)?;
    std::io::copy(&mut tar, &mut std::io::sink()).map_err(|e| failed(layer::Error::Read(e)))?;
    let (_, found, _) = tar.finish();
    if found != *diff_id {
        let reason = format!("its content is {found}, its config says {diff_id}");
        return Err(engine::Error::InvalidImage { reference: what(), reason });
    }
    Ok(value)
}

/// A report as the engine and the views carry it.
pub(crate) fn verdict(report: &Report, place: &dyn Fn(&Subject) -> Option<Span>) -> Verdict {
    let program = match (&report.program, &report.kind) {
        (Some(program), Some(kind)) => format!("{program} ({kind})"),
        _ => report.command.join(" "),
    };
    let finding = |finding: &Finding| event::Finding {
        weight: match finding.severity {
            Severity::Error => Weight::Error,
            Severity::Warning => Weight::Warning,
            Severity::Note => Weight::Note,
        },
        rule: finding.rule.to_owned(),
        message: finding.message.clone(),
        span: place(&finding.subject),
        fixes: finding.fixes.iter().map(|fix| (fix.how.clone(), fix.text.clone())).collect(),
    };
    Verdict {
        outcome: match report.verdict {
            inspect::Verdict::Starts => Outcome::Starts,
            inspect::Verdict::Unsure => Outcome::Unsure,
            inspect::Verdict::CannotStart => Outcome::CannotStart,
        },
        program,
        findings: report.findings.iter().map(finding).collect(),
    }
}

/// Adds what happened when the image was started.
pub(crate) fn add_trial(verdict: &mut Verdict, trial: &Trial) {
    let weight = trial.weight();
    let finding = event::Finding {
        weight,
        rule: trial.rule().to_owned(),
        message: trial.to_string(),
        span: None,
        fixes: Vec::new(),
    };
    verdict.outcome = match (weight, verdict.outcome) {
        (Weight::Error, _) => Outcome::CannotStart,
        (Weight::Warning, Outcome::Starts) => Outcome::Unsure,
        (_, outcome) => outcome,
    };
    let at = verdict.findings.iter().position(|finding| finding.weight < weight);
    verdict.findings.insert(at.unwrap_or(verdict.findings.len()), finding);
}

/// Whether a build says its verdict: never with `--quiet`, only what is grave if progress is not shown.
pub(crate) fn is_told(verdict: &Verdict, quiet: bool, shown: bool) -> bool {
    !quiet && (shown || verdict.outcome == Outcome::CannotStart)
}

/// Verdicts that say for which platform they are, if there are several.
pub(crate) fn of_platforms(verdicts: &[(jettison_oci::Platform, Verdict)]) -> Vec<Verdict> {
    let has_several = verdicts.len() > 1;
    let named = |(platform, verdict): &(jettison_oci::Platform, Verdict)| {
        let mut verdict = verdict.clone();
        if has_several {
            verdict.program = format!("{platform}: {}", verdict.program);
        }
        verdict
    };
    verdicts.iter().map(named).collect()
}

/// Prints a verdict to standard error. `name` and `source` are the Dockerfile's.
pub(crate) fn print(verdict: &Verdict, name: &str, source: &str) {
    let text = text(verdict, name, source, false, environment::stderr_has_colour());
    // Nobody is left to tell if standard error is gone.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// A verdict as text.
pub(crate) fn text(verdict: &Verdict, name: &str, source: &str, with_notes: bool, colour: bool) -> String {
    let origin = Origin { name: name.to_owned(), text: source.to_owned() };
    let lines = ui::verdict(verdict, &origin, with_notes);
    let mut text = String::new();
    for line in &lines {
        text.push_str(&if colour { line.ansi() } else { line.plain() });
        text.push('\n');
    }
    text
}
