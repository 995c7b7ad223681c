//! The JSON that BuildKit writes for checks, outlines and targets (`frontend/subrequests/{lint,outline,targets}`), which
//! other programs read. Lines are those of the whole instruction, as there; columns are in the SARIF form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jettison_dockerfile::{Diagnostic, Span, Stage};
use jettison_engine::Checked;
use jettison_plan::survey::Outline;
use serde_json::{Map, Value, json};

use crate::commands::stage_description;
use crate::snippet::Source;

/// `--call=check,format=json`
pub(crate) fn document(source: &Source<'_>, checked: &Checked) -> String {
    let warnings: Vec<Value> = checked
        .findings
        .iter()
        .map(|finding| {
            without_empty(json!({
                "ruleName": finding.rule.name,
                "description": finding.rule.description,
                "url": finding.rule.url(),
                "detail": finding.message,
                "location": location(source, finding.location),
            }))
        })
        .collect();
    let mut document = json!({
        "warnings": warnings,
        "sources": [{
            "filename": source.name(),
            "data": STANDARD.encode(source.text()),
            "language": "Dockerfile",
        }],
    });
    if let Some(error) = checked.errors.first().or(checked.violation.as_ref()) {
        document["buildError"] = json!({
            "message": error_message(source, error, checked.complete),
            "location": location(source, error.span),
        });
    }
    format!("{document:#}\n")
}

/// BuildKit's wording: errors of form have their line in the text, suggestions stand behind.
fn error_message(source: &Source<'_>, error: &Diagnostic, complete: bool) -> String {
    let suggestion = error.hint.as_deref().filter(|hint| hint.starts_with("did you mean"));
    let suggestion = suggestion.map(|hint| format!(" ({hint})")).unwrap_or_default();
    if complete {
        return format!("{}{suggestion}", error.message);
    }
    let line = source.position(error.span.start).0;
    format!("dockerfile parse error on line {line}: {}{suggestion}", error.message)
}

/// `--call=outline,format=json`
pub(crate) fn outline(source: &Source<'_>, outline: &Outline) -> String {
    let argument = |argument: &jettison_plan::survey::Argument| {
        without_empty(json!({
            "name": argument.name,
            "description": argument.description,
            "value": argument.value,
            "location": location(source, argument.span),
        }))
    };
    let mount = |id: &str, required: bool, span: Span| {
        let required = required.then_some(true);
        without_empty(json!({"name": id, "required": required, "location": location(source, span)}))
    };
    let document = without_empty(json!({
        "name": outline.name,
        "description": outline.description,
        "args": outline.arguments.iter().map(argument).collect::<Vec<_>>(),
        "secrets": outline.secrets.iter().map(|s| mount(&s.id, s.required, s.span)).collect::<Vec<_>>(),
        "ssh": outline.agents.iter().map(|s| mount(&s.id, s.required, s.span)).collect::<Vec<_>>(),
        "sources": [STANDARD.encode(source.text())],
    }));
    format!("{document:#}\n")
}

/// `--call=targets,format=json`
pub(crate) fn targets(source: &Source<'_>, stages: &[Stage]) -> String {
    let target = |(index, stage): (usize, &Stage)| {
        let from = &stage.from;
        without_empty(json!({
            "name": from.name.as_ref().map(|name| &name.value),
            "default": (index + 1 == stages.len()).then_some(true),
            "description": stage_description(stage),
            "base": from.image.value,
            "platform": from.platform.as_ref().map(|platform| &platform.value),
            "location": location(source, from.span),
        }))
    };
    let targets: Vec<Value> = stages.iter().enumerate().map(target).collect();
    format!("{:#}\n", json!({"targets": targets, "sources": [STANDARD.encode(source.text())]}))
}

fn location(source: &Source<'_>, span: Span) -> Value {
    let (first, last) = source.line_range(span);
    json!({"ranges": [{"start": {"line": first}, "end": {"line": last}}]})
}

/// Go's `omitempty`.
fn without_empty(value: Value) -> Value {
    let Value::Object(map) = value else { return value };
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    Value::Object(map.into_iter().filter(|(_, value)| !empty(value)).collect::<Map<_, _>>())
}
