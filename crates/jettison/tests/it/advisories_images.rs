//! Public advisories, each by its number, about what an image or its registry says and what of the machine a step is shown.
//! `advisories.rs` has those about steps and their mounts, `advisories_inputs.rs` those about contexts and archives.

use std::fs;
use std::time::{Duration, Instant};

use crate::fixture::{Jettison, folder, program};
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
