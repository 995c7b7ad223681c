//! SARIF 2.1.0, which editors and code hosts read: rules, and results with exact places. Errors are results too.
//!
//! Source: OASIS "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".

use jettison_dockerfile::Span;
use jettison_dockerfile::lint::RULES;
use jettison_engine::Checked;
use serde_json::{Value, json};

use crate::snippet::Source;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

pub(crate) fn document(source: &Source<'_>, checked: &Checked) -> String {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|rule| {
            let mut value = json!({
                "id": rule.name,
                "shortDescription": {"text": rule.description},
                "defaultConfiguration": {"level": "warning", "enabled": !rule.experimental},
            });
            if let Some(url) = rule.url() {
                value["helpUri"] = url.into();
            }
            value
        })
        .collect();
    let findings = checked.findings.iter().map(|finding| {
        let mut value = result(source, finding.rule.name, "warning", &finding.message, finding.span);
        value["ruleIndex"] = RULES.iter().position(|rule| rule.name == finding.rule.name).into();
        value
    });
    let errors =
        checked.errors.iter().map(|error| result(source, error.code, "error", &error.message, error.span));
    let document = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "jettison",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": errors.chain(findings).collect::<Vec<Value>>(),
        }],
    });
    format!("{document:#}\n")
}

fn result(source: &Source<'_>, rule: &str, level: &str, message: &str, span: Span) -> Value {
    let (start_line, start_column) = source.position(span.start);
    let (end_line, end_column) = source.position(span.end.max(span.start));
    json!({
        "ruleId": rule,
        "level": level,
        "message": {"text": message},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri(source.name())},
            "region": {
                "startLine": start_line,
                "startColumn": start_column,
                "endLine": end_line,
                "endColumn": end_column,
            },
        }}],
    })
}

/// A path as a relative reference: what may not stand in one is written in hexadecimal.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' | b'~' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}
