//! `jettison verify`: whether an image can start.

use std::process::ExitCode;

use jettison_engine::event::{Outcome, Weight};
use jettison_engine::{Error, Image};
use jettison_inspect as inspect;
use serde_json::{Value, json};

use super::image_source::{self, Source};
use super::print;
use crate::args::{ReportFormat, Verify};
use crate::environment::Environment;
use crate::failure::{Failure, Kind};
use crate::proof;
use crate::trial::{self, Trial};

pub(crate) fn run(args: &Verify, environment: &Environment) -> Result<ExitCode, Failure> {
    if args.run {
        environment.require_namespaces()?;
    }
    let platform = image_source::platform(args.platform.as_deref())?;
    let source = Source::open(&args.image, &platform, environment)?;
    let mut text = String::new();
    let mut starts = true;
    let has_several = source.images.len() > 1;
    for (name, image) in &source.images {
        let config = &image.config;
        let tree = proof::tree(&source.store, source.files(image, environment)?)?;
        let subject = inspect::Image {
            tree: &*tree,
            config: &config.config,
            platform: &config.platform(),
            provenance: None,
        };
        let mut report = inspect::prove(&subject).map_err(|error| Error::Inspection(error.to_string()))?;
        if args.run {
            report.is_tried();
        }
        report.name_image(&args.image);
        let mut verdict = proof::verdict(&report, &|_| None);
        let trial = if args.run { Some(start(&source, image, environment)?) } else { None };
        if let Some(trial) = &trial {
            proof::add_trial(&mut verdict, trial);
        }
        starts &= verdict.outcome != Outcome::CannotStart;
        match args.format {
            ReportFormat::Json => {
                let object = object(name, image, &report, verdict.outcome, trial.as_ref());
                text.push_str(&format!("{object}\n"));
            }
            ReportFormat::Text => {
                if has_several {
                    text.push_str(&format!("{name}\n"));
                }
                text.push_str(&proof::text(&verdict, "", "", true, crate::environment::stdout_has_colour()));
            }
        }
    }
    print(&text)?;
    Ok(if starts { ExitCode::SUCCESS } else { ExitCode::from(Kind::CannotStart as u8) })
}

/// Starts the image, unpacking it first if need be.
fn start(source: &Source, image: &Image, environment: &Environment) -> Result<Trial, Failure> {
    if let Some(trial) = trial::other_machine(&image.config.platform()) {
        return Ok(trial);
    }
    let images = source.access(environment);
    let snapshot = match (images.unpacked(image)?, images.built(&image.descriptor.digest)?) {
        (Some(snapshot), _) => snapshot,
        (None, Some(snapshot)) => Some(snapshot),
        (None, None) => images.unpack(image, &|_, _, _| ())?,
    };
    Ok(trial::run(&source.store, snapshot.as_ref(), &image.config.config, &environment.cancel)?)
}

fn object(
    name: &str,
    image: &Image,
    report: &inspect::Report,
    outcome: Outcome,
    trial: Option<&Trial>,
) -> Value {
    let mut object = serde_json::to_value(report).expect("a report can always be written as JSON");
    object["image"] = json!(name);
    object["digest"] = json!(image.descriptor.digest);
    object["platform"] = json!(image.config.platform().to_string());
    object["verdict"] = json!(match outcome {
        Outcome::Starts => "starts",
        Outcome::Unsure => "unsure",
        Outcome::CannotStart => "cannot-start",
    });
    if let Some(trial) = trial {
        object["run"] = json!({
            "rule": trial.rule(),
            "message": trial.to_string(),
            "severity": match trial.weight() {
                Weight::Error => "error",
                Weight::Warning => "warning",
                Weight::Note => "note",
            },
        });
    }
    object
}
