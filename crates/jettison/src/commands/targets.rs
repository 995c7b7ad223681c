//! `jettison build --call=targets`: the stages that can be built, as buildx prints them.

use std::process::ExitCode;

use jettison_dockerfile::Stage;
use jettison_engine::BuildRequest;

use super::{columns, outline, print};
use crate::args::CheckFormat;
use crate::failure::{Failure, text_with_places};
use crate::report::json;
use crate::snippet::Source;

pub(super) fn run(request: &BuildRequest, format: CheckFormat) -> Result<ExitCode, Failure> {
    let file = match outline::parsed(request) {
        Ok(file) => file,
        Err(code) => return Ok(code),
    };
    let text = text_with_places(&request.dockerfile.text);
    let source = Source::new(&request.dockerfile.name, &text);
    print(&match format {
        CheckFormat::Text => shown(&file.stages),
        CheckFormat::Json | CheckFormat::Sarif => json::targets(&source, &file.stages),
    })
}

fn shown(stages: &[Stage]) -> String {
    let row = |(index, stage): (usize, &Stage)| {
        let name = stage.from.name.as_ref().map_or("", |name| name.value.as_str());
        let shown = match (name, index + 1 == stages.len()) {
            ("", true) => "(default)".to_owned(),
            (name, true) => format!("{name} (default)"),
            (name, false) => name.to_owned(),
        };
        [shown, description(stage).unwrap_or_default().to_owned()]
    };
    let rows: Vec<[String; 2]> = stages.iter().enumerate().map(row).collect();
    columns(&["TARGET", "DESCRIPTION"], &rows, 1)
}

/// What the comment above FROM says of the stage: it begins with the stage's name.
pub(crate) fn description(stage: &Stage) -> Option<&str> {
    let name = &stage.from.name.as_ref()?.value;
    stage.from.comments.iter().find_map(|comment| comment.strip_prefix(name.as_str())?.strip_prefix(' '))
}
