//! What differs between two images: files with type, mode, owner, content, link target, capability and further names;
//! the config; the history. Times are left out: see `docs/differences.md`.

use std::collections::BTreeSet;

use jettison_corpus::{Image, Tree};
use serde_json::{Map, Value};

/// Instructions that this BuildKit writes into the history otherwise than today's does; the config has what they did.
const WRITTEN_OTHERWISE: &[&str] = &["ARG ", "EXPOSE ", "HEALTHCHECK "];

/// Flags of COPY and ADD that this BuildKit leaves out of the history.
const LEFT_OUT: &[&str] = &["--chown=", "--chmod="];

/// Keys of the document around the config that are compared.
const TOP: &[&str] = &["architecture", "os", "variant", "author"];

/// One line for each difference, beginning with what it is in.
pub(super) fn images(ours: &Image, theirs: &Image) -> Vec<String> {
    let mut lines = files(ours, theirs);
    lines.extend(config(&ours.config, &theirs.config));
    lines.extend(history(&ours.config, &theirs.config));
    lines
}

fn files(ours: &Image, theirs: &Image) -> Vec<String> {
    let (ours, theirs) = (Tree::of(&ours.layers).lines(), Tree::of(&theirs.layers).lines());
    let paths: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let shown = |line: Option<&String>| line.map_or("absent", String::as_str).to_owned();
    let differs = |path: &&&String| ours.get(**path) != theirs.get(**path);
    paths
        .iter()
        .filter(differs)
        .map(|path| format!("{path}: ours {}, theirs {}", shown(ours.get(*path)), shown(theirs.get(*path))))
        .collect()
}

fn config(ours: &Value, theirs: &Value) -> Vec<String> {
    let nothing = |value: &Value| value.is_null() || *value == "";
    let top = TOP
        .iter()
        .filter(|key| ours[**key] != theirs[**key] && !(nothing(&ours[**key]) && nothing(&theirs[**key])));
    let mut lines: Vec<String> =
        top.map(|key| format!("{key}: ours {}, theirs {}", ours[*key], theirs[*key])).collect();
    let (ours, theirs) = (present(&ours["config"]), present(&theirs["config"]));
    let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for key in keys.into_iter().filter(|key| ours.get(*key) != theirs.get(*key)) {
        let shown = |value: Option<&Value>| value.map_or("absent".to_owned(), Value::to_string);
        lines.push(format!("config {key}: ours {}, theirs {}", shown(ours.get(key)), shown(theirs.get(key))));
    }
    lines
}

/// The keys that say something. Docker writes all of its keys, with null, false and nothing in them.
fn present(config: &Value) -> Map<String, Value> {
    let says = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    };
    let map = config.as_object().cloned().unwrap_or_default();
    map.into_iter().filter(|(_, value)| says(value)).collect()
}

fn history(ours: &Value, theirs: &Value) -> Vec<String> {
    let lines = |document: &Value| -> Vec<String> {
        let entries = document["history"].as_array().cloned().unwrap_or_default();
        let line = |entry: &Value| {
            let empty = if entry["empty_layer"] == true { " (empty layer)" } else { "" };
            let text = entry["created_by"].as_str().unwrap_or_default();
            let text = WRITTEN_OTHERWISE.iter().find(|word| text.starts_with(**word)).unwrap_or(&text);
            format!("{:?}{empty}", without_flags(text))
        };
        entries.iter().map(line).collect()
    };
    let (ours, theirs) = (lines(ours), lines(theirs));
    if ours == theirs {
        return Vec::new();
    }
    let shown = |line: Option<&String>| line.map_or("absent", String::as_str).to_owned();
    (0..ours.len().max(theirs.len()))
        .filter(|&n| ours.get(n) != theirs.get(n))
        .map(|n| format!("history {n}: ours {}, theirs {}", shown(ours.get(n)), shown(theirs.get(n))))
        .collect()
}

/// An entry of COPY or ADD without the flags that are not compared.
fn without_flags(text: &str) -> String {
    if !text.starts_with("COPY ") && !text.starts_with("ADD ") {
        return text.to_owned();
    }
    let kept = text.split(' ').filter(|word| !LEFT_OUT.iter().any(|flag| word.starts_with(flag)));
    kept.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jettison_corpus::{Entry, Kind};
    use serde_json::json;

    fn image(mode: u32, config: Value) -> Image {
        let kind = Kind::File(b"x".to_vec());
        let entry = Entry { path: "a".into(), kind, mode, uid: 0, gid: 0, mtime: 0, capability: None };
        Image { config, layers: vec![vec![entry]] }
    }

    #[test]
    fn equal_images_have_no_differences_and_absent_is_the_same_as_empty() {
        let ours = image(0o644, json!({"config": {"Env": ["A=b"]}}));
        let theirs = image(0o644, json!({"config": {"Env": ["A=b"], "Cmd": null, "User": ""}}));
        assert!(images(&ours, &theirs).is_empty());
    }

    #[test]
    fn a_mode_a_key_and_an_entry_of_the_history_are_found() {
        let ours = image(0o644, json!({"config": {}, "history": [{"created_by": "RUN a"}]}));
        let theirs = image(0o755, json!({"config": {"User": "u"}, "history": [{"created_by": "RUN b"}]}));
        let found = images(&ours, &theirs);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[0], "a: ours -644 0:0 \"x\", theirs -755 0:0 \"x\"");
    }
}
