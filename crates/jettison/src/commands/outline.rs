//! `jettison build --call=outline`: what the target takes, as buildx prints it.

use std::process::ExitCode;

use jettison_dockerfile::{Diagnostic, Dockerfile};
use jettison_engine::BuildRequest;
use jettison_plan::Images;
use jettison_plan::survey::{Outline, outline};

use super::{columns, print};
use crate::args::CheckFormat;
use crate::environment;
use crate::failure::{Failure, Kind, text_with_places};
use crate::report::json;
use crate::snippet::Source;

pub(super) fn run(request: &BuildRequest, format: CheckFormat) -> Result<ExitCode, Failure> {
    let file = match parsed(request) {
        Ok(file) => file,
        Err(code) => return Ok(code),
    };
    let outline = match outline(&file, &request.plan, &Images::default()) {
        Ok(outline) => outline,
        Err(error) => return Ok(refuse(request, vec![error])),
    };
    let text = text_with_places(&request.dockerfile.text);
    let source = Source::new(&request.dockerfile.name, &text);
    print(&match format {
        CheckFormat::Text => shown(&outline),
        CheckFormat::Json | CheckFormat::Sarif => json::outline(&source, &outline),
    })
}

/// The Dockerfile, or the exit code if it has errors, which are printed.
pub(super) fn parsed(request: &BuildRequest) -> Result<Dockerfile, ExitCode> {
    let parsed = jettison_dockerfile::parse(&request.dockerfile.text);
    let errors: Vec<Diagnostic> = parsed.diagnostics.into_iter().filter(Diagnostic::is_error).collect();
    if errors.is_empty() { Ok(parsed.dockerfile) } else { Err(refuse(request, errors)) }
}

fn refuse(request: &BuildRequest, errors: Vec<Diagnostic>) -> ExitCode {
    let text = text_with_places(&request.dockerfile.text);
    let failure = Failure::of_dockerfile(errors);
    failure.print(Some((&request.dockerfile.name, &text)), environment::stderr_has_colour());
    ExitCode::from(Kind::Dockerfile as u8)
}

fn shown(outline: &Outline) -> String {
    let mut text = String::new();
    if let Some(name) = &outline.name {
        text.push_str(&format!(
            "TARGET: {}{name}\n",
            if outline.description.is_some() { "     " } else { "" }
        ));
        if let Some(description) = &outline.description {
            text.push_str(&format!("DESCRIPTION: {description}\n"));
        }
        text.push('\n');
    }
    let required = |required: bool| if required { "true".to_owned() } else { String::new() };
    let arguments: Vec<[String; 3]> = outline
        .arguments
        .iter()
        .map(|a| {
            [a.name.clone(), a.value.clone().unwrap_or_default(), a.description.clone().unwrap_or_default()]
        })
        .collect();
    let secrets: Vec<[String; 2]> =
        outline.secrets.iter().map(|s| [s.id.clone(), required(s.required)]).collect();
    let agents: Vec<[String; 2]> =
        outline.agents.iter().map(|s| [s.id.clone(), required(s.required)]).collect();
    if !arguments.is_empty() {
        text.push_str(&columns(&["BUILD ARG", "VALUE", "DESCRIPTION"], &arguments, 3));
        text.push('\n');
    }
    for (title, rows) in [("SECRET", secrets), ("SSH", agents)] {
        if !rows.is_empty() {
            text.push_str(&columns(&[title, "REQUIRED"], &rows, 3));
            text.push('\n');
        }
    }
    text
}
