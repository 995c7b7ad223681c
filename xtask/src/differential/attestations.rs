//! `--attestations`: the provenance that BuildKit attaches to an image and the one that jettison does, field by field.
//!
//! A field that one of them has alone, or with another value, fails unless it stands below with its reason; and so does a
//! field that stands there in vain. docs/differences.md says the same in words.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::Builders;
use crate::process;

/// What is built: something of everything that a provenance tells.
const DOCKERFILE: &str = "\
FROM busybox AS build
ARG MODE
RUN --mount=type=secret,id=token,required=true --mount=type=ssh echo $MODE > /made
FROM busybox
COPY --from=build /made /made
COPY file /
CMD [\"cat\", \"/made\"]
";

/// What `--provenance` is given.
const FORMS: [&str; 4] =
    ["mode=min,version=v0.2", "mode=max,version=v0.2", "mode=min,version=v1", "mode=max,version=v1"];

/// Fields that are not the same, each with all below it, and why.
const MEANT: &[(&str, &str)] = &[
    ("manifest.descriptor.annotations.vnd.docker.reference.digest", "images of two builders"),
    ("subject[].digest", "images of two builders"),
    ("predicate.buildType", "says what is in buildConfig"),
    ("predicate.buildConfig", "names of steps, there is no LLB"),
    ("predicate.buildDefinition.buildType", "says what is in buildConfig"),
    ("predicate.buildDefinition.internalParameters.buildConfig", "names of steps, there is no LLB"),
    (
        "predicate.metadata.https://mobyproject.org/buildkit@v1#metadata.source.infos[].llbDefinition",
        "there is no LLB",
    ),
    (
        "predicate.metadata.https://mobyproject.org/buildkit@v1#metadata.source.infos[].digestMapping",
        "there is no LLB",
    ),
    ("predicate.metadata.https://mobyproject.org/buildkit@v1#metadata.source.locations", "by steps of LLB"),
    ("predicate.metadata.https://mobyproject.org/buildkit@v1#metadata.layers", "by steps of LLB"),
    ("predicate.metadata.https://mobyproject.org/buildkit@v1#metadata.vcs", "nobody checks it"),
    ("predicate.runDetails.metadata.buildkit_metadata.source.infos[].llbDefinition", "there is no LLB"),
    ("predicate.runDetails.metadata.buildkit_metadata.source.infos[].digestMapping", "there is no LLB"),
    ("predicate.runDetails.metadata.buildkit_metadata.source.locations", "by steps of LLB"),
    ("predicate.runDetails.metadata.buildkit_metadata.layers", "by steps of LLB"),
    ("predicate.runDetails.metadata.buildkit_metadata.vcs", "nobody checks it"),
    ("predicate.metadata.buildInvocationID", "the same input gives the same bytes"),
    ("predicate.metadata.buildStartedOn", "the same input gives the same bytes"),
    ("predicate.metadata.buildFinishedOn", "the same input gives the same bytes"),
    ("predicate.runDetails.metadata.invocationId", "the same input gives the same bytes"),
    ("predicate.runDetails.metadata.startedOn", "the same input gives the same bytes"),
    ("predicate.runDetails.metadata.finishedOn", "the same input gives the same bytes"),
    ("predicate.invocation.parameters.args.no-cache", "the result does not depend on it"),
    (
        "predicate.buildDefinition.externalParameters.request.args.no-cache",
        "the result does not depend on it",
    ),
];

/// Every leaf of a document: the way to it, with `[]` for each place of a list, and its values.
type Leaves = BTreeMap<String, BTreeSet<String>>;

/// Builds the same with both in each form, and compares.
pub(super) fn run(builders: &Builders) -> Result<()> {
    let context = builders.folder.join("attested");
    fs::create_dir(&context)?;
    for (name, text) in [("Dockerfile", DOCKERFILE), ("file", "hi\n"), ("token", "secret\n")] {
        fs::write(context.join(name), text)?;
    }
    let mut wrong = Vec::new();
    let mut met = BTreeSet::new();
    for form in FORMS {
        let provenance = format!("--provenance={form}");
        let mut words = vec!["build", "--network=host", "--allow=network.host", "--no-cache", &provenance];
        words.extend([
            "--secret=id=token,src=token",
            "--build-arg=MODE=fast",
            "--label=a=b",
            "--shm-size=1m",
        ]);
        words.extend(["--add-host=x.example:10.0.0.1", "--ulimit=nofile=512:1024"]);
        let output =
            |folder: &str| format!("--output=type=oci,name=docker.io/library/app:1,dest={folder}.tar");
        let mut ours = builders.jettison.command(&words);
        process::output(ours.args(["--quiet", &output("ours"), "."]).current_dir(&context))?;
        let mut theirs = builders.docker.call(&words);
        process::output(theirs.args([&output("theirs"), "."]).current_dir(&context))?;
        let ours = leaves(&statement(&context, "ours").context("ours")?);
        let theirs = leaves(&statement(&context, "theirs").context("theirs")?);
        for line in differences(&ours, &theirs, &mut met) {
            wrong.push(format!("{form}: {line}"));
        }
    }
    for (field, _) in MEANT.iter().filter(|(field, _)| !met.contains(field)) {
        wrong.push(format!("{field}: listed as a difference, and there is none"));
    }
    if wrong.is_empty() {
        println!("{} forms of provenance are BuildKit's but for {} fields", FORMS.len(), MEANT.len());
        return Ok(());
    }
    println!("{}\n", wrong.join("\n"));
    bail!("{} fields need a look", wrong.len())
}

/// The one statement in the archive `name`.tar.
fn statement(folder: &Path, name: &str) -> Result<Value> {
    let layout = folder.join(name);
    fs::create_dir_all(&layout)?;
    let mut tar = std::process::Command::new("tar");
    process::output(tar.arg("-xf").arg(folder.join(format!("{name}.tar"))).arg("-C").arg(&layout))?;
    let read = |path: &Path| -> Result<Value> { Ok(serde_json::from_slice(&fs::read(path)?)?) };
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap_or_default().replace(':', "/");
        read(&layout.join("blobs").join(digest))
    };
    let index = blob(&read(&layout.join("index.json"))?["manifests"][0])?;
    let attached = &index["manifests"][1];
    let manifest = blob(attached)?;
    ensure!(manifest["layers"].as_array().is_some_and(|layers| layers.len() == 1), "{manifest}");
    let around = serde_json::json!({
        "descriptor": {"annotations": attached["annotations"], "mediaType": attached["mediaType"], "platform": attached["platform"]},
        "layer": {"annotations": manifest["layers"][0]["annotations"], "mediaType": manifest["layers"][0]["mediaType"]},
        "config": manifest["config"]["mediaType"],
    });
    let mut statement = blob(&manifest["layers"][0])?;
    statement["manifest"] = around;
    Ok(statement)
}

fn leaves(document: &Value) -> Leaves {
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

/// One line for each field that is not the same and not meant to be; those that are go into `met`.
fn differences(ours: &Leaves, theirs: &Leaves, met: &mut BTreeSet<&'static str>) -> Vec<String> {
    let paths: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let shown = |leaves: &Leaves, path: &String| -> String {
        leaves
            .get(path)
            .map_or("absent".to_owned(), |values| values.iter().cloned().collect::<Vec<_>>().join(" "))
    };
    let mut lines = Vec::new();
    for path in paths.into_iter().filter(|path| ours.get(*path) != theirs.get(*path)) {
        match MEANT.iter().find(|(field, _)| path.starts_with(field)) {
            Some((field, _)) => drop(met.insert(field)),
            None => lines.push(format!("{path}: ours {}, theirs {}", shown(ours, path), shown(theirs, path))),
        }
    }
    lines
}
