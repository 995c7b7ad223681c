//! What was attached, as one document without what cannot be the same for two builders: digests of images are replaced by
//! their platforms. Taken apart into leaves, so that two of them can be compared field by field.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::sources::SCANNER;
use crate::process;

const SPDX: &str = "https://spdx.dev/Document";

/// Every leaf of a document: the way to it, with `[]` for each place of a list, and its values.
pub(super) type Leaves = BTreeMap<String, BTreeSet<String>>;

/// The index in the archive `name`.tar in `folder`, with all that is attached to its images.
pub(super) fn read(folder: &Path, name: &str) -> Result<Value> {
    let layout = folder.join(name);
    // Of an earlier form.
    let _ = fs::remove_dir_all(&layout);
    fs::create_dir_all(&layout)?;
    let mut tar = Command::new("tar");
    process::output(tar.arg("-xf").arg(folder.join(format!("{name}.tar"))).arg("-C").arg(&layout))?;
    let index = blob(&layout, &json_file(&layout.join("index.json"))?["manifests"][0])?;
    let entries = index["manifests"].as_array().context("the image is no index")?;
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for entry in entries {
        names.insert(text(&entry["digest"]), format!("image of {}", platform(entry)));
    }
    let mut order = Vec::new();
    let mut attached = Vec::new();
    for entry in entries {
        order.push(platform(entry));
        if text(&entry["annotations"]["vnd.docker.reference.type"]) == "attestation-manifest" {
            attached.push(manifest(&layout, entry)?);
        }
    }
    let descriptors: Vec<Value> = entries.iter().map(without_size).collect();
    let document = json!({
        "index": {"mediaType": index["mediaType"], "annotations": index["annotations"], "manifests": descriptors, "order": order.join(", ")},
        "attached": attached,
    });
    Ok(renamed(&document, &names))
}

/// A manifest of statements.
fn manifest(layout: &Path, entry: &Value) -> Result<Value> {
    let manifest = blob(layout, entry)?;
    let layers = manifest["layers"].as_array().context("a manifest has layers")?;
    let mut statements = Vec::new();
    for layer in layers {
        let mut statement = blob(layout, layer)?;
        if text(&statement["predicateType"]) == SPDX {
            // Two programs looked for packages; what they found is not the question.
            let found = statement["predicate"].take();
            statement["predicate"] = json!({"spdxVersion": found["spdxVersion"]});
        }
        without_vcs(&mut statement["predicate"]);
        without_scanner(&mut statement["predicate"]);
        statement["layer"] = without_size(layer);
        statements.push(statement);
    }
    let order: Vec<String> = statements.iter().map(|statement| text(&statement["predicateType"])).collect();
    let extra = |name: &str| manifest.get(name).cloned().unwrap_or(Value::Null);
    Ok(json!({
        "config": manifest["config"]["mediaType"],
        "mediaType": manifest["mediaType"],
        "artifactType": extra("artifactType"),
        "subject": without_size(&extra("subject")),
        "order": order.join(", "),
        "statements": statements,
    }))
}

/// What a client says of the checkout around the context, which nobody checks and jettison does not say.
fn without_vcs(predicate: &mut Value) {
    for way in [
        "/metadata/https:~1~1mobyproject.org~1buildkit@v1#metadata",
        "/runDetails/metadata/buildkit_metadata",
    ] {
        if let Some(metadata) = predicate.pointer_mut(way).and_then(Value::as_object_mut) {
            metadata.remove("vcs");
        }
    }
}

/// The image that looks for packages is a material of whoever needs one.
fn without_scanner(predicate: &mut Value) {
    let Some(predicate) = predicate.as_object_mut() else { return };
    let scanner = format!("pkg:docker/{}", SCANNER.replace(':', "@"));
    if let Some(Value::Array(materials)) = predicate.get_mut("materials") {
        materials.retain(|material| !text(&material["uri"]).starts_with(&scanner));
        if materials.is_empty() {
            predicate.remove("materials");
        }
    }
}

/// A descriptor but for what follows from bytes that are another builder's.
fn without_size(descriptor: &Value) -> Value {
    let mut descriptor = descriptor.clone();
    if let Some(fields) = descriptor.as_object_mut() {
        fields.retain(|name, _| name != "size" && name != "digest");
    }
    descriptor
}

fn platform(entry: &Value) -> String {
    format!("{}/{}", text(&entry["platform"]["os"]), text(&entry["platform"]["architecture"]))
}

/// The same with names for digests.
fn renamed(document: &Value, names: &BTreeMap<String, String>) -> Value {
    match document {
        Value::String(text) => {
            let name = names.get(text).or_else(|| names.get(&format!("sha256:{text}")));
            name.map_or_else(|| document.clone(), |name| json!(name))
        }
        Value::Array(list) => list.iter().map(|value| renamed(value, names)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), renamed(value, names)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        _ => document.clone(),
    }
}

fn blob(layout: &Path, descriptor: &Value) -> Result<Value> {
    json_file(&layout.join("blobs").join(text(&descriptor["digest"]).replace(':', "/")))
}

fn json_file(path: &Path) -> Result<Value> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(serde_json::from_slice(&bytes)?)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The leaves of a document.
pub(super) fn leaves(document: &Value) -> Leaves {
    let mut leaves = Leaves::new();
    let mut pending = vec![(String::new(), document)];
    while let Some((path, value)) = pending.pop() {
        match value {
            Value::Object(map) if !map.is_empty() => {
                let dot = if path.is_empty() { "" } else { "." };
                pending.extend(map.iter().map(|(key, value)| (format!("{path}{dot}{key}"), value)));
            }
            Value::Array(list) if !list.is_empty() => {
                pending.extend(list.iter().map(|value| (format!("{path}[]"), value)));
            }
            leaf => {
                leaves.entry(path).or_default().insert(leaf.to_string());
            }
        }
    }
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_is_a_way_and_its_values() {
        let found = leaves(&json!({"a": [{"b": 1}, {"b": 2}], "c": {}}));
        let said = |path: &str| found[path].iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!((said("a[].b").as_str(), said("c").as_str(), found.len()), ("1 2", "{}", 2));
    }

    #[test]
    fn digests_of_images_get_names_and_others_stay() {
        let names = BTreeMap::from([("sha256:12".to_owned(), "image".to_owned())]);
        let found = renamed(&json!({"a": ["sha256:12", "12", "sha256:34"]}), &names);
        assert_eq!(found, json!({"a": ["image", "image", "sha256:34"]}));
    }
}
