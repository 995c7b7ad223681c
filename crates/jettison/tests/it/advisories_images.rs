//! Public advisories, each by its number, about what an image or its registry says and what of the machine a step is shown.
//! `advisories.rs` has those about steps and their mounts, `advisories_inputs.rs` those about contexts and archives.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fixture::{Jettison, Ran, folder, have, program};
use crate::web::{Page, Web};

/// Whatever is asked of it, an answer comes within this time.
const SOON: Duration = Duration::from_secs(60);

/// What the image's `/seen` holds after a build on busybox.
#[track_caller]
fn seen(jettison: &Jettison, dockerfile: &str) -> String {
    jettison.build(folder(dockerfile, &[]).path(), &["-t", "seen"]);
    jettison.run(&["run", "seen", "cat", "/seen"]).ok()
}

/// An image at `app:1` whose only layer is described by `layer`.
fn publish(web: &Web, layer: &str) -> String {
    let zeros = "0".repeat(64);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:{zeros}"]}}}}"#
    );
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    fs::write(&file, &config).unwrap();
    let sum = program("sha256sum", &[file.to_str().unwrap()]).ok();
    let digest = sum.split_whitespace().next().unwrap();
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{digest}","size":{}}},"layers":[{layer}]}}"#,
        config.len()
    );
    web.put("/v2/", Page::new("{}"));
    let typed = Page::new(manifest).header("Content-Type", "application/vnd.oci.image.manifest.v1+json");
    web.put("/v2/app/manifests/1", typed);
    web.put(&format!("/v2/app/blobs/sha256:{digest}"), Page::new(config));
    format!("{}/app:1", web.address)
}

/// containerd: the address that a layer's descriptor names was asked, with the credentials of the registry.
#[test]
fn cve_2020_15157_the_addresses_of_a_layer_are_not_asked() {
    let web = Web::start();
    web.put("/layer", Page::new("x").wants("never"));
    let layer = format!(
        r#"{{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","digest":"sha256:{}","size":1,"urls":["{}"]}}"#,
        "1".repeat(64),
        web.url("/layer")
    );
    let name = publish(&web, &layer);
    Jettison::new().run(&["pull", "-q", "--unpack", &name]).fails(4);
    // `/v2/`, the manifest, the config, the layer at its registry.
    let statuses: Vec<u16> = web.seen().iter().map(|seen| seen.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 0, "{statuses:?}");
}

/// containers/storage: a layer that cannot be read was waited for, by everybody, for ever.
#[test]
fn cve_2021_20291_a_layer_that_cannot_be_read_stops_nobody() {
    let web = Web::start();
    let bytes = b"\x1f\x8b\x08\0\0\0\0\0\0\x03 this is no gzip and no tar".to_vec();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("layer");
    fs::write(&file, &bytes).unwrap();
    let sum = program("sha256sum", &[file.to_str().unwrap()]).ok();
    let digest = sum.split_whitespace().next().unwrap();
    let layer = format!(
        r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:{digest}","size":{}}}"#,
        bytes.len()
    );
    let name = publish(&web, &layer);
    web.put(&format!("/v2/app/blobs/sha256:{digest}"), Page::new(bytes));
    let (jettison, start) = (Jettison::with_busybox(), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| jettison.run(&["pull", "-q", "--unpack", &name]).fails(1));
        }
    });
    jettison.build(folder("FROM busybox\nRUN true\n", &[]).path(), &[]);
    assert!(start.elapsed() < SOON);
}

/// BuildKit: a frontend, an image of the Dockerfile's choice, wrote outside of the builder's folder.
#[test]
fn cve_2026_33747_no_frontend_of_the_dockerfiles_choice_is_fetched() {
    let (jettison, web) = (Jettison::with_busybox(), Web::start());
    let name = format!("{}/evil:1", web.address);
    let chosen = folder(&format!("# syntax={name}\nFROM busybox\n"), &[]);
    assert_ne!(jettison.try_build(chosen.path(), &[]).code, 0);
    let plain = folder("FROM busybox\n", &[]);
    let _ = jettison.try_build(plain.path(), &["--build-arg", &format!("BUILDKIT_SYNTAX={name}")]);
    assert!(web.seen().is_empty());
}

/// runc: what is mounted on the console's place went where a link of the image leads, so that parts of /proc could be
/// written.
#[test]
fn cve_2025_52565_links_in_dev_lead_no_mount_elsewhere() {
    let jettison = Jettison::with_busybox();
    let dockerfile = "FROM busybox AS evil\n\
        RUN mkdir /d && ln -s /proc/sys/kernel/core_pattern /d/console && ln -s /proc/sysrq-trigger /d/null && \
            ln -s /proc/sys /d/pts && ln -s /proc/sys/kernel /d/shm && ln -s /proc/self/attr/exec /d/ptmx\n\
        FROM scratch\nCOPY --from=evil / /\nCOPY --from=evil /d /dev\n\
        RUN stat -c '%F %t:%T' /dev/null > /seen; grep -c -E ' /proc/(sys/|sysrq-trigger .*rw,)' /proc/self/mountinfo >> /seen; \
            (: >> /proc/sys/kernel/core_pattern) 2>/dev/null && echo open >> /seen; \
            (: >> /proc/sysrq-trigger) 2>/dev/null && echo open >> /seen; true\n";
    assert_eq!(seen(&jettison, dockerfile), "character special file 1:3\n0");
}

/// runc and the kernel: control groups could be written from inside, whose release agent is a program of the machine.
#[test]
fn cve_2023_25809_and_2022_0492_control_groups_cannot_be_written() {
    let jettison = Jettison::with_busybox();
    let dockerfile = "FROM busybox\nRUN touch /seen; mkdir /sys/fs/cgroup/own 2>/dev/null && echo made >> /seen; \
        for f in $(find /sys/fs/cgroup -name release_agent -o -name cgroup.procs -o -name tasks | head -50); do \
        (: >> $f) 2>/dev/null && echo $f >> /seen; done; true\n";
    assert_eq!(seen(&jettison, dockerfile), "");
}

/// Docker: what tells of the machine and its other users was left open in /proc and /sys.
#[test]
fn cve_2015_3630_2017_16539_2018_10892_ghsa_jq35_and_ghsa_6fw5_the_machine_is_hidden() {
    let jettison = Jettison::with_busybox();
    let dockerfile = "FROM busybox\nRUN touch /seen; \
        for f in interrupts kcore keys latency_stats sched_debug timer_list timer_stats; do \
        test -e /proc/$f && head -c 1 /proc/$f | grep -q . && echo $f >> /seen; done; \
        for d in /proc/acpi /proc/asound /proc/scsi /sys/firmware /sys/devices/virtual/powercap \
        /sys/devices/system/cpu/cpu*/thermal_throttle; do ls -A $d 2>/dev/null | grep -q . && echo $d >> /seen; done; true\n";
    assert_eq!(seen(&jettison, dockerfile), "");
}

/// Docker: what an archive says of its images became paths.
#[test]
fn cve_2014_9358_names_of_an_archive_are_no_paths() {
    let place = folder("", &[("canary", "alive"), ("in/x", "x")]);
    let inside = place.path().join("in");
    let tar = place.path().join("image.tar");
    std::os::unix::fs::symlink(place.path().join("canary"), inside.join("link")).unwrap();
    let canary = place.path().join("canary");
    for path in ["../canary", "x/../../canary", "link", canary.to_str().unwrap()] {
        for manifest in [
            serde_json::json!([{ "Config": path, "RepoTags": ["evil:1"], "Layers": [] }]),
            serde_json::json!([{ "Config": "config", "RepoTags": ["evil:1"], "Layers": [path] }]),
        ] {
            fs::write(inside.join("manifest.json"), manifest.to_string()).unwrap();
            let config = r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:6a50a1a9a3ab9ad3d5ba0dcd2a5f3e5a9a4d3a34e1c11a8a4a6d13ac1a5a3ad2"]}}"#;
            fs::write(inside.join("config"), config).unwrap();
            program("tar", &["-cf", tar.to_str().unwrap(), "-C", inside.to_str().unwrap(), "."]).ok();
            let error = Jettison::new().run(&["load", "-i", tar.to_str().unwrap()]).fails(4);
            assert!(
                error.contains("does not have it") || error.contains("config is missing"),
                "{path}: {error}"
            );
        }
    }
    let ran = Jettison::new().run(&["build", canary.to_str().unwrap()]);
    assert_ne!(ran.code, 0);
}

/// The layout of an image of one file, whose documents were changed by `lie`: its index, its manifest, its config.
fn layout(lie: impl FnOnce(&mut Value, &mut Value, &mut Value)) -> tempfile::TempDir {
    static PLAIN: OnceLock<tempfile::TempDir> = OnceLock::new();
    let plain = PLAIN.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let output = format!("type=oci,tar=false,dest={}/layout", dir.path().display());
        Jettison::with_busybox().build(folder("FROM busybox\n", &[]).path(), &["--output", &output]);
        dir
    });
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("layout");
    let from = plain.path().join("layout");
    program("cp", &["-r", from.to_str().unwrap(), at.to_str().unwrap()]).ok();
    let read = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let blob = |digest: &Value| at.join("blobs").join(digest.as_str().unwrap().replace(':', "/"));
    let write = |descriptor: &mut Value, content: &Value| {
        let path = dir.path().join("new");
        fs::write(&path, content.to_string()).unwrap();
        let sum = program("sha256sum", &[path.to_str().unwrap()]).ok();
        let hex = sum.split(' ').next().unwrap();
        descriptor["digest"] = json!(format!("sha256:{hex}"));
        descriptor["size"] = json!(content.to_string().len());
        fs::rename(&path, at.join("blobs/sha256").join(hex)).unwrap();
    };
    let mut index = read(&at.join("index.json"));
    let mut manifest = read(&blob(&index["manifests"][0]["digest"]));
    let mut config = read(&blob(&manifest["config"]["digest"]));
    lie(&mut index, &mut manifest, &mut config);
    if manifest["config"].is_object() {
        write(&mut manifest["config"], &config);
    }
    if index["manifests"][0].is_object() {
        write(&mut index["manifests"][0], &manifest);
    }
    fs::write(at.join("index.json"), index.to_string()).unwrap();
    dir
}

/// A build on such an image.
fn build_on(jettison: &Jettison, layout: &Path, dockerfile: &str, args: &[&str]) -> Ran {
    let context = format!("image=oci-layout://{}", layout.join("layout").display());
    let mut all = vec!["--build-context", &context];
    all.extend(args);
    jettison.try_build(folder(dockerfile, &[]).path(), &all)
}

/// podman: an entry of an image's environment without a value got the builder's own, and one with a star all that fit.
#[test]
fn cve_2026_57231_names_without_values_are_not_filled_from_outside() {
    let layout = layout(|_, _, config| {
        config["config"]["Env"] = json!(["PATH=/bin", "CANARY", "CAN*", "*", "", "=x"]);
    });
    let jettison = Jettison::new().env("CANARY", "alive");
    let dockerfile = "FROM image\nRUN env > /seen; cat /proc/self/environ >> /seen\nENV A=${CANARY:-none}\nRUN echo $A >> /seen\n";
    let ran = build_on(&jettison, layout.path(), dockerfile, &["-t", "seen"]);
    assert!(!ran.stderr.contains("alive"), "{}", ran.stderr);
    // To refuse such an image is right as well.
    if ran.code == 0 {
        let shown = jettison.run(&["run", "seen", "cat", "/seen"]);
        assert!(!shown.stdout.contains("alive"), "{}", shown.stdout);
        let shown = jettison.run(&["run", "seen", "env"]);
        assert!(!shown.stdout.contains("alive"), "{}", shown.stdout);
    }
}

/// containerd (CVE-2026-47262), BuildKit (GHSA-72x6-4j93-7w86) and CRI-O (CVE-2025-4437): accounts of an image, larger than
/// any memory, were read whole.
#[test]
fn cve_2026_47262_2025_4437_and_ghsa_72x6_4j93_7w86_accounts_may_have_any_size() {
    if !have("prlimit") {
        return;
    }
    let jettison = Jettison::with_busybox();
    let start = Instant::now();
    for then in [
        "USER 4321\nRUN id -u > /dev/null",
        "USER nobody-here\nRUN true",
        "COPY --chown=nobody-here:there Dockerfile /x",
    ] {
        let dockerfile = format!(
            "FROM busybox\nRUN for f in passwd group; do head -c 40000000 /dev/zero | tr '\\0' x > /etc/$f; done\n{then}\n"
        );
        let context = folder(&dockerfile, &[]);
        let mut command = std::process::Command::new("prlimit");
        let plain = jettison.command();
        command.args(["--as=4000000000", "--"]).arg(plain.get_program()).env_clear();
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.args(["build", "--progress=plain"]).arg(context.path());
        let ran: Ran = command.output().unwrap().into();
        // A number needs no account; a name that is in none of what is read has none.
        assert_eq!(ran.code == 0, then.contains("4321"), "{then}: {}", ran.stderr);
        assert!(ran.code < 100 && !ran.stderr.contains("memory allocation"), "{then}: {}", ran.stderr);
    }
    assert!(start.elapsed() < SOON);
}

/// BuildKit: what a frontend or a client said of a result, its attestations and its annotations ended the daemon where it
/// was malformed. Here an image may say such things of itself, and a command line.
#[test]
fn cve_2024_23650_what_is_malformed_ends_nothing() {
    let odd = [Value::Null, json!([]), json!({}), json!("x"), json!([null])];
    let jettison = Jettison::new();
    let answered = |ran: &Ran, what: &str| {
        assert!(ran.code < 100 && !ran.stderr.contains("panicked"), "{what}: {}", ran.stderr);
        assert!(ran.code == 0 || ran.stderr.contains("error"), "{what}: {}", ran.stderr);
    };
    type Lie = fn(&mut Value, &mut Value, &mut Value, &Value);
    let lies: &[(&str, Lie)] = &[
        ("annotations of the index", |index, _, _, odd| index["annotations"] = odd.clone()),
        ("annotations of a descriptor", |index, _, _, odd| {
            index["manifests"][0]["annotations"] = odd.clone();
        }),
        ("platform", |index, _, _, odd| index["manifests"][0]["platform"] = odd.clone()),
        ("annotations of the manifest", |_, manifest, _, odd| manifest["annotations"] = odd.clone()),
        ("subject", |_, manifest, _, odd| manifest["subject"] = odd.clone()),
        ("artifact type", |_, manifest, _, odd| manifest["artifactType"] = odd.clone()),
        ("layers", |_, manifest, _, odd| manifest["layers"] = odd.clone()),
        ("history", |_, _, config, odd| config["history"] = odd.clone()),
        ("config", |_, _, config, odd| config["config"] = odd.clone()),
        ("onbuild", |_, _, config, odd| config["config"]["OnBuild"] = odd.clone()),
        ("healthcheck", |_, _, config, odd| config["config"]["Healthcheck"] = odd.clone()),
        ("attestation", |index, _, _, odd| {
            let mut entry = index["manifests"][0].clone();
            entry["platform"] = json!({"architecture": "unknown", "os": "unknown"});
            entry["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": odd});
            index["manifests"].as_array_mut().unwrap().push(entry);
        }),
    ];
    for (what, lie) in lies {
        for odd in &odd {
            let layout = layout(|index, manifest, config| lie(index, manifest, config, odd));
            let args = ["--sbom=true", "--provenance=mode=max", "--output=type=cacheonly"];
            answered(&build_on(&jettison, layout.path(), "FROM image\nLABEL a=b\n", &args), what);
        }
    }
    for flag in [
        "--attest=type=provenance,mode=",
        "--attest=type=",
        "--attest==",
        "--attest=type=sbom,generator=",
        "--provenance==",
        "--sbom=,",
        "--annotation==x",
        "--annotation=",
        "--annotation=index,manifest:=",
        "--annotation=manifest[]:a=b",
        "--annotation=nobody:a=b",
    ] {
        let ran = jettison.try_build(folder("FROM scratch\nLABEL a=b\n", &[]).path(), &[flag]);
        answered(&ran, flag);
    }
}

/// BuildKit: a step ran without its filter of system calls although nobody had allowed that.
#[test]
fn ghsa_7236_3392_c5c6_every_step_has_its_filter() {
    let jettison = Jettison::with_busybox();
    let filter = "grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status | tr '\\n\\t' '  ' >> /seen";
    for flags in [
        "",
        "--security=sandbox",
        "--network=none",
        "--mount=type=tmpfs,target=/t",
        "--mount=type=bind,target=/b,rw",
    ] {
        let dockerfile = format!("FROM busybox\nRUN {flags} {filter}\n");
        assert!(seen(&jettison, &dockerfile).contains("Seccomp: 2"), "{flags}");
    }
    let shown = jettison.run(&["run", "seen", "grep", "Seccomp:", "/proc/self/status"]).ok();
    assert_eq!(shown.split_whitespace().last(), Some("2"));
}
