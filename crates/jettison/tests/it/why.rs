//! `jettison why`: after each kind of change, what it says of each step.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::fixture::{Jettison, folder};

const DOCKERFILE: &str = "\
FROM busybox AS build
ARG VERSION=1
COPY src /src
RUN cat /src/* > /out

FROM scratch
COPY --from=build /out /out
COPY Dockerfile notes.tx[t] /
";

/// The answer without times.
fn why(jettison: &Jettison, folder: &Path) -> String {
    let text = jettison.run(&["why"]).ok();
    let line = |line: &str| match line.find(": ran, ") {
        Some(at) => format!("{}: ran", &line[..at]),
        None => line.to_owned(),
    };
    let text = text.replace(&format!("{}/", folder.display()), "");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn built(jettison: &Jettison, folder: &Path, args: &[&str]) -> String {
    jettison.build(folder, args);
    why(jettison, folder)
}

#[test]
fn each_kind_of_change_is_named() {
    let jettison = Jettison::with_busybox();
    assert!(jettison.run(&["why"]).fails(1).contains("nothing is known of a last build"));
    let folder = folder(DOCKERFILE, &[("src/a.txt", "a\n"), ("src/b.txt", "b\n"), ("notes.txt", "n\n")]);
    let path = folder.path();
    let mut said = String::new();
    let mut add = |what: &str, text: String| said.push_str(&format!("== {what}\n{text}\n"));
    add("first", built(&jettison, path, &[]));
    add("nothing", built(&jettison, path, &[]));
    fs::write(path.join("src/a.txt"), "changed\n").unwrap();
    fs::write(path.join("src/new.txt"), "new\n").unwrap();
    fs::remove_file(path.join("src/b.txt")).unwrap();
    add("files", built(&jettison, path, &[]));
    fs::set_permissions(path.join("notes.txt"), fs::Permissions::from_mode(0o755)).unwrap();
    add("a mode", built(&jettison, path, &[]));
    add("a build argument", built(&jettison, path, &["--build-arg", "VERSION=2"]));
    fs::write(path.join("Dockerfile"), DOCKERFILE.replace("> /out", "> /out; true")).unwrap();
    add("an instruction", built(&jettison, path, &["--build-arg", "VERSION=2"]));
    add(
        "--no-cache-filter",
        built(&jettison, path, &["--build-arg", "VERSION=2", "--no-cache-filter=build"]),
    );
    jettison.run(&["prune", "--all"]).ok();
    add("prune", built(&jettison, path, &["--build-arg", "VERSION=2"]));
    insta::assert_snapshot!(said);
    let json = jettison.run(&["why", "--format=json", "cat"]).ok();
    let step: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&step["number"], &step["stage"], &step["fate"]), (&2.into(), &"build".into(), &"ran".into()));
    jettison.run(&["why", "no such step"]).fails(2);
}

#[test]
fn a_failed_build_explains_itself_and_secrets_stay_out() {
    let jettison = Jettison::with_busybox();
    let dockerfile =
        "FROM busybox\nARG API_TOKEN\nENV DB=postgres://me:hunter2@db/x\nRUN test \"$API_TOKEN\" != broken\n";
    let folder = folder(dockerfile, &[]);
    jettison.build(folder.path(), &["--build-arg", "API_TOKEN=s3cret"]);
    jettison.try_build(folder.path(), &["--build-arg", "API_TOKEN=broken"]).fails(1);
    let text = why(&jettison, folder.path());
    assert!(text.contains("failed") && text.contains("API_TOKEN: not shown ("), "{text}");
    for file in ["index.db", "index.db-wal"] {
        let bytes = fs::read(jettison.store.path().join(file)).unwrap_or_default();
        let has = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(!has("why inputs \"hunter2"), "{file}");
        assert!(!has("variable API_TOKEN\":\"s3cret") && !has("variable DB\":\"postgres"), "{file}");
    }
}
