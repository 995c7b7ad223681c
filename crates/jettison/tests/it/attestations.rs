//! `--sbom`, `--provenance`, `--attest`: what is attached to an image, and that everybody still takes the image.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::fixture::{Jettison, Registry, folder, have, program};
use crate::sbom::validate_spdx;

const DOCKERFILE: &str = "\
FROM busybox AS build
ARG MODE
RUN --mount=type=secret,id=token cat /run/secrets/token > /dev/null; echo $MODE > /made
FROM busybox
COPY --from=build /made /made
COPY root /
CMD [\"cat\", \"/made\"]
";

const STATUS: &str = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36\n";

const SECRET: &str = "correct horse battery";

/// Builds the image `app` with both attestations into `out`, an OCI layout; returns the digest of the index.
fn attested(jettison: &Jettison, out: &Path, more: &[&str]) -> String {
    let context = folder(DOCKERFILE, &[("root/var/lib/dpkg/status", STATUS), ("token", SECRET)]);
    let secret = format!("id=token,src={}", context.path().join("token").display());
    let output = format!("type=oci,tar=false,dest={}", out.display());
    let args = ["-q", "-t", "app", "-o", &output, "--secret", &secret, "--build-arg", "MODE=fast"];
    jettison.build(context.path(), &[&args[..], more].concat())
}

fn blob(layout: &Path, digest: &str) -> String {
    fs::read_to_string(layout.join("blobs").join(digest.replace(':', "/"))).unwrap()
}

fn json(layout: &Path, digest: &Value) -> Value {
    serde_json::from_str(&blob(layout, digest.as_str().unwrap())).unwrap()
}

/// The statements in a layout, in order.
fn statements(layout: &Path, index: &str) -> Vec<Value> {
    let index: Value = serde_json::from_str(&blob(layout, index)).unwrap();
    let [image, attached] = &index["manifests"].as_array().unwrap()[..] else { panic!("{index:#}") };
    assert_eq!(attached["platform"], serde_json::json!({"architecture": "unknown", "os": "unknown"}));
    let annotations = &attached["annotations"];
    assert_eq!(annotations["vnd.docker.reference.type"], "attestation-manifest");
    assert_eq!(annotations["vnd.docker.reference.digest"], image["digest"]);
    let manifest = json(layout, &attached["digest"]);
    let layers = manifest["layers"].as_array().unwrap();
    let config = json(layout, &manifest["config"]["digest"]);
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), layers.len());
    let statement = |layer: &Value| {
        let statement = json(layout, &layer["digest"]);
        assert_eq!(layer["mediaType"], "application/vnd.in-toto+json");
        assert_eq!(layer["annotations"]["in-toto.io/predicate-type"], statement["predicateType"]);
        assert_eq!(statement["_type"], "https://in-toto.io/Statement/v0.1");
        let digest = statement["subject"][0]["digest"]["sha256"].as_str().unwrap();
        assert_eq!(format!("sha256:{digest}"), image["digest"].as_str().unwrap());
        statement
    };
    layers.iter().map(statement).collect()
}

#[test]
fn packages_and_provenance_of_both_versions() {
    let jettison = Jettison::with_busybox();
    let out = tempfile::tempdir().unwrap();
    let layout = out.path().join("v1");
    let index = attested(&jettison, &layout, &["--sbom", "--provenance"]);
    let both = statements(&layout, &index);
    assert_eq!(both[0]["predicateType"], "https://spdx.dev/Document");
    assert!(both[0]["predicate"].to_string().contains("pkg:deb/"), "{:#}", both[0]);
    validate_spdx(&both[0]["predicate"].to_string());
    assert_eq!(both[1]["predicateType"], "https://slsa.dev/provenance/v1");
    assert!(
        both[1]["subject"][0]["name"]
            .as_str()
            .unwrap()
            .starts_with("pkg:docker/app@latest?platform=linux%2F")
    );
    let mut predicate = both[1]["predicate"].clone();
    for material in predicate["buildDefinition"]["resolvedDependencies"].as_array_mut().unwrap() {
        assert_eq!(material["digest"]["sha256"].as_str().unwrap().len(), 64);
        material["digest"]["sha256"] = "DIGEST".into();
    }
    let arch = jettison.inspect("busybox")["config"]["architecture"].as_str().unwrap().to_owned();
    insta::assert_snapshot!("provenance_v1_max", format!("{predicate:#}").replace(&arch, "ARCH"));
    let layout = out.path().join("v02");
    let spec = "--attest=type=provenance,mode=min,version=v0.2,builder-id=https://ci.example/7";
    let index = attested(&jettison, &layout, &[spec]);
    let mut predicate = statements(&layout, &index)[0]["predicate"].clone();
    predicate["materials"][0]["digest"]["sha256"] = "DIGEST".into();
    insta::assert_snapshot!("provenance_v02_min", format!("{predicate:#}").replace(&arch, "ARCH"));
}

#[test]
fn the_same_bytes_everywhere_and_nothing_of_this_machine() {
    let out = tempfile::tempdir().unwrap();
    let proxy = "HTTP_PROXY=http://user:hunter2@proxy.example:1";
    let flags = ["--sbom", "--provenance", "--build-arg", proxy];
    let index = |name: &str| attested(&Jettison::with_busybox(), &out.path().join(name), &flags);
    assert_eq!(index("one"), index("two"));
    let temporary = std::env::temp_dir().display().to_string();
    for entry in fs::read_dir(out.path().join("one/blobs/sha256")).unwrap() {
        let text = String::from_utf8_lossy(&fs::read(entry.unwrap().path()).unwrap()).into_owned();
        if text.starts_with('{') {
            for word in [SECRET, "hunter2", &temporary] {
                assert!(!text.contains(word), "{word:?} in {text}");
            }
        }
    }
}

#[test]
fn an_image_with_attestations_is_an_image_for_everybody() {
    let jettison = Jettison::with_busybox();
    let out = tempfile::tempdir().unwrap();
    let layout = out.path().join("layout");
    attested(&jettison, &layout, &["--sbom", "--provenance"]);
    assert_eq!(jettison.run(&["run", "app"]).ok(), "fast");
    jettison.run(&["prune", "--all"]).ok();
    assert_eq!(jettison.run(&["run", "app"]).ok(), "fast");
    let layout = layout.display().to_string();
    let fresh = Jettison::new();
    fresh.run(&["verify", &layout]).ok();
    fresh.run(&["sbom", &layout]).ok();
    let saved = out.path().join("saved.tar").display().to_string();
    jettison.run(&["save", "--format=oci", "-o", &saved, "app"]).ok();
    fresh.run(&["load", "-q", "-i", &saved]).ok();
    assert_eq!(fresh.run(&["run", "app"]).ok(), "fast");
    if have("skopeo") {
        let copy = format!("dir:{}", out.path().join("copied").display());
        program("skopeo", &["copy", "-q", "--insecure-policy", &format!("oci:{layout}"), &copy]).ok();
    }
    let Some(registry) = Registry::start("") else { return };
    let name = registry.name("x/app:1");
    jettison.run(&["push", "-q", "app", &name]).ok();
    let other = Jettison::new();
    other.run(&["pull", "-q", &name]).ok();
    assert_eq!(other.run(&["run", &name]).ok(), "fast");
    other.run(&["verify", &name]).ok();
    let base = folder(&format!("FROM {name}\nRUN test -f /made\n"), &[]);
    other.build(base.path(), &[]);
    if have("skopeo") {
        let remote = format!("docker://{name}");
        program("skopeo", &["inspect", "--tls-verify=false", &remote]).ok();
        let raw = program("skopeo", &["inspect", "--raw", "--tls-verify=false", &remote]).ok();
        assert!(raw.contains("attestation-manifest"), "{raw}");
    }
}

#[test]
fn nothing_is_attached_unless_asked_for_and_mistakes_are_said() {
    let jettison = Jettison::with_busybox();
    let context = folder("FROM busybox\nRUN true\n", &[]);
    let plain = jettison.build(context.path(), &["-q"]);
    for off in ["--provenance=false", "--sbom=false", "--attest=type=sbom,disabled=true"] {
        assert_eq!(jettison.build(context.path(), &["-q", off]), plain, "{off}");
    }
    for (flag, why) in [
        ("--provenance=mode=all", "min and max"),
        ("--sbom=generator=x/y", "no image is run for this"),
        ("--attest=type=vex", "unknown type \"vex\""),
        ("--attest=mode=max", "type= is missing"),
        ("--output=type=docker,dest=x.tar", "cannot hold an index"),
        ("--output=type=cacheonly", "no output is one"),
    ] {
        let stderr = jettison.try_build(context.path(), &["--sbom", flag]).fails(2);
        assert!(stderr.contains(why), "{flag}: {stderr}");
    }
}

/// The name that only the archive gets is the subject's.
#[test]
fn the_name_of_an_archive_is_its_images() {
    let jettison = Jettison::with_busybox();
    let context = folder("FROM busybox\nRUN true\n", &[]);
    let out = tempfile::tempdir().unwrap();
    let output = format!("type=oci,tar=false,name=x.example/app:7,dest={}", out.path().display());
    let digest = jettison.build(context.path(), &["-q", "--provenance", "-o", &output]);
    let subject = &statements(out.path(), &digest)[0]["subject"][0]["name"];
    assert!(
        subject.as_str().unwrap().starts_with("pkg:docker/x.example/app@7?platform=linux%2F"),
        "{subject}"
    );
    let index: Value = serde_json::from_slice(&fs::read(out.path().join("index.json")).unwrap()).unwrap();
    let names = &index["manifests"][0]["annotations"];
    assert_eq!(names["io.containerd.image.name"], "x.example/app:7");
    assert!(!jettison.run(&["images"]).ok().contains("x.example"), "the store has no such name");
}

/// `oci-artifact=true`: the manifest that holds the statements is an artifact of OCI 1.1 and has the image as its subject.
#[test]
fn statements_as_an_artifact_of_the_image() {
    let jettison = Jettison::with_busybox();
    let context = folder("FROM busybox\nRUN true\n", &[]);
    let out = tempfile::tempdir().unwrap();
    let output = format!("type=oci,tar=false,oci-artifact=true,dest={}", out.path().display());
    let digest = jettison.build(context.path(), &["-q", "--provenance", "-o", &output]);
    let index: Value = serde_json::from_str(&blob(out.path(), &digest)).unwrap();
    let manifest = json(out.path(), &index["manifests"][1]["digest"]);
    assert_eq!(manifest["artifactType"], "application/vnd.docker.attestation.manifest.v1+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
    assert_eq!(blob(out.path(), manifest["config"]["digest"].as_str().unwrap()), "{}");
    for key in ["mediaType", "digest", "size"] {
        assert_eq!(manifest["subject"][key], index["manifests"][0][key], "{key}");
    }
    jettison.run(&["verify", out.path().to_str().unwrap()]).ok();
}
