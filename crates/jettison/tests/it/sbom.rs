//! `jettison sbom`: whole documents, held against the formats' own validators.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::fixture::{Jettison, folder, have, program, skip};

const FILES: &[(&str, &str)] = &[
    ("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"),
    (
        "var/lib/dpkg/status",
        "Package: libc6\nStatus: install ok installed\nInstalled-Size: 12\nMaintainer: GNU Libc Maintainers <a@b.example>\n\
         Architecture: amd64\nSource: glibc\nVersion: 2.36-9+deb12u1\n\n\
         Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n",
    ),
    (
        "usr/lib/python3/flask-2.dist-info/METADATA",
        "Name: Flask\nVersion: 2.3.1\nLicense: BSD-3-Clause\n\ntext\n",
    ),
    (
        "app/node_modules/@s/x/package.json",
        r#"{"name":"@s/x","version":"1.2.3","license":"Some own licence"}"#,
    ),
    ("app/node_modules/@s/x/test/package.json", r#"{"name":"only-a-test","version":"0.0.0"}"#),
];

/// A store with the image `app`.
fn image(files: &[(&str, &str)]) -> Jettison {
    let jettison = Jettison::new();
    let files: Vec<(String, &str)> =
        files.iter().map(|(path, text)| (format!("root/{path}"), *text)).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    jettison.build(folder("FROM scratch\nCOPY root /\n", &files).path(), &["-q", "-t", "app"]);
    jettison
}

/// The document with what depends on the bytes of the image taken out.
fn stable(text: &str, image: &str) -> String {
    let document: Value = serde_json::from_str(text).unwrap();
    let mut text = format!("{document:#}").replace(image.split_once(':').unwrap().1, "DIGEST");
    for (before, after) in [("spdxdocs/jettison-", "\""), ("urn:uuid:", "\"")] {
        if let Some(at) = text.find(before) {
            let start = at + before.len();
            let end = start + text[start..].find(after).unwrap();
            text.replace_range(start..end, "HASH");
        }
    }
    text
}

/// Python with the validators in it, which `cargo xtask test` puts there.
fn validators() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/validators/bin/python");
    if python.exists() {
        return Some(python);
    }
    skip("no validators of SPDX and CycloneDX (cargo xtask test installs them)");
    None
}

/// Runs a script of Python with the document as its argument; it must print nothing.
fn validate(script: &str, document: &str) {
    let Some(python) = validators() else { return };
    let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
    std::fs::write(file.path(), document).unwrap();
    let ran = Command::new(python).args(["-c", script]).arg(file.path()).output().unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    assert!(ran.status.success() && said.is_empty(), "{}\n{document}", String::from_utf8_lossy(&said));
}

pub(crate) fn validate_spdx(document: &str) {
    let script = "import sys\nfrom spdx_tools.spdx.parser.parse_anything import parse_file\n\
                  from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document\n\
                  for m in validate_full_spdx_document(parse_file(sys.argv[1])): print(m.validation_message)\n";
    validate(script, document);
}

fn validate_cyclonedx(document: &str) {
    let script = "import sys\nfrom cyclonedx.schema import SchemaVersion\n\
                  from cyclonedx.validation.json import JsonStrictValidator\n\
                  error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())\n\
                  if error: print(error)\n";
    validate(script, document);
}

#[test]
fn spdx() {
    let jettison = image(FILES);
    let digest = jettison.inspect("app")["digest"].as_str().unwrap().to_owned();
    let text = jettison.run(&["sbom", "app"]).ok();
    validate_spdx(&text);
    insta::assert_snapshot!("spdx", stable(&text, &digest));
    assert_eq!(text, jettison.run(&["sbom", "--format=spdx-json", "app"]).ok(), "the same bytes each time");
}

#[test]
fn cyclonedx() {
    let jettison = image(FILES);
    let digest = jettison.inspect("app")["digest"].as_str().unwrap().to_owned();
    let text = jettison.run(&["sbom", "--format=cyclonedx", "app"]).ok();
    validate_cyclonedx(&text);
    insta::assert_snapshot!("cyclonedx", stable(&text, &digest));
}

#[test]
fn text_and_files() {
    let jettison = image(FILES).env("SOURCE_DATE_EPOCH", "86400");
    insta::assert_snapshot!(jettison.run(&["sbom", "--format=text", "app"]).ok(), @r#"
    PACKAGE   VERSION          KIND     LICENCE
    libc6     2.36-9+deb12u1   dpkg
    Flask     2.3.1            python   BSD-3-Clause
    @s/x      1.2.3            npm      Some own licence
    "#);
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("sbom.json");
    assert_eq!(jettison.run(&["sbom", "app", "-o", file.to_str().unwrap()]).ok(), "");
    let document: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(document["creationInfo"]["created"], "1970-01-02T00:00:00Z");
    jettison.run(&["sbom", "app", "-o", "/nowhere/at/all"]).fails(1);
}

#[test]
fn the_layers_of_an_archive_say_the_same() {
    let jettison = image(FILES);
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("app.tar").display().to_string();
    jettison.run(&["save", "--format=oci", "-o", &path, "app"]).ok();
    let text = |jettison: &Jettison, image: &str| jettison.run(&["sbom", "--format=text", image]).ok();
    assert_eq!(text(&Jettison::new(), &path), text(&jettison, "app"));
}

#[test]
fn what_cannot_be_read_is_said() {
    let jettison = image(&[
        ("var/lib/rpm/Packages", "this is no database"),
        ("usr/lib/sysimage/rpm/rpmdb.sqlite-wal", "something"),
    ]);
    let ran = jettison.run(&["sbom", "app"]);
    assert!(
        ran.stderr.contains("warning: not complete: /var/lib/rpm/Packages: not a database"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("rpmdb.sqlite-wal"), "{}", ran.stderr);
    assert!(ran.stdout.contains("\"comment\": \"Not complete. /usr/lib/sysimage"), "{}", ran.stdout);
    validate_spdx(&ran.ok());
    validate_cyclonedx(&jettison.run(&["sbom", "--format=cyclonedx", "app"]).ok());
}

/// Libraries without the database that knew them: an empty list would be no answer.
#[test]
fn programs_that_nobody_knows_are_said() {
    let jettison = Jettison::with_busybox();
    let folder = folder("FROM scratch\nCOPY --from=busybox /bin/busybox /app\nCMD [\"/app\"]\n", &[]);
    jettison.build(folder.path(), &["-t", "app"]);
    let ran = jettison.run(&["sbom", "app"]);
    let said = "not complete: no database of packages, and nothing in the files, says what is in /app";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    validate_spdx(&ran.ok());
}

#[test]
fn this_machine_as_an_image() {
    if !Path::new("/var/lib/dpkg/status").exists() {
        return skip("no Debian");
    }
    let context = folder("FROM scratch\nCOPY root /\n", &[]);
    let root = context.path().join("root/var/lib/dpkg");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::copy("/var/lib/dpkg/status", root.join("status")).unwrap();
    let jettison = Jettison::new();
    jettison.build(context.path(), &["-q", "-t", "app"]);
    let listed = jettison.run(&["sbom", "--format=text", "app"]).ok();
    let names = program("dpkg-query", &["-W", "-f=${db:Status-Status} ${Package} ${Version}\n"]).ok();
    let installed: Vec<&str> = names.lines().filter_map(|line| line.strip_prefix("installed ")).collect();
    for package in &installed {
        let (name, version) = package.split_once(' ').unwrap();
        let is_it = |line: &str| line.split_whitespace().take(2).eq([name, version]);
        assert!(listed.lines().any(is_it), "{package} is missing");
    }
    assert!(installed.len() > 50);
    validate_spdx(&jettison.run(&["sbom", "app"]).ok());
}

const SPEC: &str = "\
Name: hello\nVersion: 1.2\nRelease: 3\nEpoch: 1\nSummary: x\nLicense: MIT\nBuildArch: noarch\n%description\nx\n\
%install\nmkdir -p %{buildroot}/usr/share/hello\nhead -c 70000 /dev/zero > %{buildroot}/usr/share/hello/data\n\
%files\n/usr/share/hello\n";

/// A package that rpmbuild made, in a database that rpm wrote.
#[test]
fn a_real_database_of_rpm() {
    if !have("rpm") || !have("rpmbuild") {
        return;
    }
    let folder = folder(
        "FROM scratch\nCOPY root /\n",
        &[("hello.spec", SPEC), ("root/etc/os-release", "ID=fedora\n")],
    );
    let path = |name: &str| folder.path().join(name).display().to_string();
    let top = format!("_topdir {}", path("top"));
    program("rpmbuild", &["-bb", "--quiet", "--define", &top, &path("hello.spec")]).ok();
    let root = path("root");
    let rpm = |words: &[&str]| {
        let place = ["--root", &root, "--define", "_dbpath /var/lib/rpm", "--define", "_db_backend sqlite"];
        program("rpm", &[&place, words].concat()).ok();
    };
    rpm(&["--initdb"]);
    rpm(&["--nodeps", "-i", &path("top/RPMS/noarch/hello-1.2-3.noarch.rpm")]);
    let jettison = Jettison::new();
    jettison.build(folder.path(), &["-q", "-t", "app"]);
    insta::assert_snapshot!(jettison.run(&["sbom", "--format=text", "app"]).ok(), @r"
    PACKAGE   VERSION   KIND   LICENCE
    hello     1:1.2-3   rpm    MIT
    ");
    let text = jettison.run(&["sbom", "app"]).ok();
    assert!(text.contains("pkg:rpm/fedora/hello@1.2-3?arch=noarch&epoch=1"), "{text}");
    let size = jettison.run(&["size", "--format=json", "app"]).ok();
    let size: Value = serde_json::from_str(&size).unwrap();
    assert_eq!(size["packages"], serde_json::json!([{"path": "hello", "bytes": 70_000}]));
}
