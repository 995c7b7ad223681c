//! `--attestations`: the provenance that BuildKit attaches to an image and the one that jettison does, field by field.
//!
//! A field that one of them has alone, or with another value, fails unless it stands below with its reason; and so does a
//! field that stands there in vain. docs/differences.md says the same in words.

mod document;
mod sources;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::Builders;
use crate::docker::Docker;
use crate::jettison::Jettison;
use crate::process;
use document::Leaves;
use sources::Sources;

/// A build of which the statements are compared.
struct Form {
    what: &'static str,
    dockerfile: &'static str,
    /// What is built; `GIT` and `WEB` stand for the servers.
    context: &'static str,
    /// What `--provenance` is given; empty: there is none.
    provenance: &'static str,
    sbom: bool,
    options: &'static [&'static str],
}

/// Something of everything that a provenance tells.
const EVERYTHING: &str = "\
FROM busybox AS build
ARG MODE
RUN --mount=type=secret,id=token,required=true --mount=type=ssh echo $MODE > /made
FROM busybox
COPY --from=build /made /made
COPY file /
CMD [\"cat\", \"/made\"]
";
/// An image that can be made for any platform anywhere.
const FILE: &str = "FROM scratch\nCOPY file /\n";
/// Files from elsewhere.
const ADDED: &str = "\
FROM scratch
ADD WEB/file.txt /
ADD GIT/app.git#main /src
COPY --from=other file /other
";

const OPTIONS: &[&str] = &[
    "--secret=id=token,src=token",
    "--build-arg=MODE=fast",
    "--label=a=b",
    "--shm-size=1m",
    "--add-host=x.example:10.0.0.1",
    "--ulimit=nofile=512:1024",
];
const BOTH: &str = "--platform=linux/amd64,linux/arm64";

/// Builds of a folder, for one platform.
const fn folder(what: &'static str, provenance: &'static str) -> Form {
    Form { what, dockerfile: EVERYTHING, context: ".", provenance, sbom: false, options: OPTIONS }
}

const fn of_file(what: &'static str, context: &'static str, provenance: &'static str) -> Form {
    Form { what, dockerfile: FILE, context, provenance, sbom: false, options: &[] }
}

const FORMS: [Form; 15] = [
    folder("min, 0.2", "mode=min,version=v0.2"),
    folder("max, 0.2", "mode=max,version=v0.2"),
    folder("min, 1", "mode=min,version=v1"),
    folder("max, 1", "mode=max,version=v1"),
    Form { options: &[BOTH], ..of_file("index", ".", "mode=max,version=v1") },
    Form { options: &[BOTH], sbom: true, ..of_file("index with SBOM", ".", "mode=min,version=v0.2") },
    Form { sbom: true, ..of_file("SBOM alone", ".", "") },
    of_file("Git context, 0.2", "GIT/app.git#main", "mode=max,version=v0.2"),
    of_file("Git context, 1", "GIT/app.git#main:sub", "mode=max,version=v1"),
    of_file("Git context, min", "GIT/app.git", "mode=min,version=v1"),
    of_file("Git context, min, 0.2", "GIT/app.git", "mode=min,version=v0.2"),
    of_file("archive as context", "WEB/context.tar", "mode=max,version=v1"),
    Form {
        dockerfile: ADDED,
        options: &["--build-context=other=GIT/app.git#main"],
        ..of_file("ADD, 0.2", ".", "mode=max,version=v0.2")
    },
    Form {
        dockerfile: ADDED,
        options: &["--build-context=other=sub"],
        ..of_file("ADD, min", ".", "mode=min,version=v1")
    },
    Form {
        dockerfile: ADDED,
        options: &["--build-context=other=GIT/app.git#main:sub"],
        ..of_file("ADD, 1", ".", "mode=max,version=v1")
    },
];

/// Fields that are not the same, each with all below it, and why.
const MEANT: &[(&str, &str)] = &[
    ("attached[].statements[].predicate.buildType", "says what is in buildConfig"),
    ("attached[].statements[].predicate.buildConfig", "names of steps, there is no LLB"),
    ("attached[].statements[].predicate.buildDefinition.buildType", "says what is in buildConfig"),
    (
        "attached[].statements[].predicate.buildDefinition.internalParameters.buildConfig",
        "names of steps, there is no LLB",
    ),
    (
        "attached[].statements[].predicate.metadata.https://mobyproject.org/buildkit@v1#metadata.source.infos[].llbDefinition",
        "there is no LLB",
    ),
    (
        "attached[].statements[].predicate.metadata.https://mobyproject.org/buildkit@v1#metadata.source.infos[].digestMapping",
        "there is no LLB",
    ),
    (
        "attached[].statements[].predicate.metadata.https://mobyproject.org/buildkit@v1#metadata.source.locations",
        "by steps of LLB",
    ),
    (
        "attached[].statements[].predicate.metadata.https://mobyproject.org/buildkit@v1#metadata.layers",
        "by steps of LLB",
    ),
    (
        "attached[].statements[].predicate.runDetails.metadata.buildkit_metadata.source.infos[].llbDefinition",
        "there is no LLB",
    ),
    (
        "attached[].statements[].predicate.runDetails.metadata.buildkit_metadata.source.infos[].digestMapping",
        "there is no LLB",
    ),
    (
        "attached[].statements[].predicate.runDetails.metadata.buildkit_metadata.source.locations",
        "by steps of LLB",
    ),
    ("attached[].statements[].predicate.runDetails.metadata.buildkit_metadata.layers", "by steps of LLB"),
    (
        "attached[].statements[].predicate.invocation.parameters.args.frontend.caps",
        "there is no frontend that could lack something",
    ),
    (
        "attached[].statements[].predicate.buildDefinition.externalParameters.request.args.frontend.caps",
        "there is no frontend that could lack something",
    ),
    ("attached[].statements[].predicate.metadata.buildInvocationID", "the same input gives the same bytes"),
    ("attached[].statements[].predicate.metadata.buildStartedOn", "the same input gives the same bytes"),
    ("attached[].statements[].predicate.metadata.buildFinishedOn", "the same input gives the same bytes"),
    (
        "attached[].statements[].predicate.runDetails.metadata.invocationId",
        "the same input gives the same bytes",
    ),
    (
        "attached[].statements[].predicate.runDetails.metadata.startedOn",
        "the same input gives the same bytes",
    ),
    (
        "attached[].statements[].predicate.runDetails.metadata.finishedOn",
        "the same input gives the same bytes",
    ),
    (
        "attached[].statements[].predicate.invocation.parameters.args.no-cache",
        "the result does not depend on it",
    ),
    (
        "attached[].statements[].predicate.buildDefinition.externalParameters.request.args.no-cache",
        "the result does not depend on it",
    ),
];

/// Builds the same with both in each form, and compares.
pub(super) fn run(builders: &Builders) -> Result<()> {
    let context = builders.folder.join("attested");
    for (name, text) in [
        ("Dockerfile", FILE),
        ("file", "hi\n"),
        ("token", "secret\n"),
        ("sub/Dockerfile", FILE),
        ("sub/file", "ho\n"),
    ] {
        let path = context.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&context))?;
        fs::write(path, text)?;
    }
    let sources = Sources::start(builders, &context)?;
    // A scanner runs on the daemon's bridge, and there is none where builds have the network of this machine.
    let scanning = Docker::start_alone(builders.release, &builders.folder.join("scanning"))?;
    sources::load_scanner(builders, &scanning)?;
    let mut wrong = Vec::new();
    let mut met = BTreeSet::new();
    for form in &FORMS {
        fs::write(context.join("Dockerfile"), sources.filled(form.dockerfile))?;
        let docker = if form.sbom { &scanning } else { &builders.docker };
        let (ours, theirs) =
            both(&builders.jettison, docker, &sources, (&context, form)).context(form.what)?;
        for line in differences(&ours, &theirs, &mut met) {
            wrong.push(format!("{}: {line}", form.what));
        }
    }
    for (field, _) in MEANT.iter().filter(|(field, _)| !met.contains(field)) {
        wrong.push(format!("{field}: listed as a difference, and there is none"));
    }
    if wrong.is_empty() {
        println!("{} forms of statements are BuildKit's but for {} fields", FORMS.len(), MEANT.len());
        return Ok(());
    }
    println!("{}\n", wrong.join("\n"));
    bail!("{} fields need a look", wrong.len())
}

/// What jettison attaches, and what BuildKit does.
fn both(
    jettison: &Jettison,
    docker: &Docker,
    sources: &Sources,
    (context, form): (&Path, &Form),
) -> Result<(Leaves, Leaves)> {
    let mut words: Vec<String> =
        ["build", "--network=host", "--allow=network.host", "--no-cache"].map(str::to_owned).into();
    words.extend(form.options.iter().map(|option| sources.filled(option)));
    words.push(match form.provenance {
        "" => "--provenance=false".to_owned(),
        provenance => format!("--provenance={provenance}"),
    });
    let output = |folder: &str| format!("--output=type=oci,name=docker.io/library/app:1,dest={folder}.tar");
    let place = sources.filled(form.context);
    let mut ours = jettison.command(&words);
    ours.args(["--quiet", &output("ours")]);
    let mut theirs = docker.call(&words.iter().map(String::as_str).collect::<Vec<_>>());
    theirs.arg(output("theirs"));
    if form.sbom {
        ours.arg("--attest=type=sbom");
        theirs.arg(format!("--attest=type=sbom,generator={}", sources::SCANNER));
    }
    process::output(ours.arg(&place).current_dir(context))?;
    process::output(theirs.arg(&place).current_dir(context))?;
    let read = |name: &str| -> Result<Leaves> {
        Ok(document::leaves(&document::read(context, name).with_context(|| name.to_owned())?))
    };
    Ok((read("ours")?, read("theirs")?))
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
