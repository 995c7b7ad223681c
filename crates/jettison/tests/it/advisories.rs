//! Public advisories about builders, runtimes and their libraries that could be true of a builder like this one: one
//! test for each, named by its number. What they have in common: somebody else wrote the image or the Dockerfile.
//! Those about what is read beside layers (contexts, Git, archives of images, accounts) are `advisories_inputs.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::fixture::{Jettison, Ran, folder, root};

/// Builds a Dockerfile on busybox and says what the image's `/seen` holds.
#[track_caller]
fn seen(jettison: &Jettison, dockerfile: &str) -> String {
    jettison.build(folder(dockerfile, &[]).path(), &["-t", "seen"]);
    jettison.run(&["run", "seen", "cat", "/seen"]).ok()
}

fn try_build(jettison: &Jettison, dockerfile: &str) -> Ran {
    jettison.try_build(folder(dockerfile, &[]).path(), &[])
}

/// A file of this machine that no build may see, change or remove.
fn canary() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(dir.path().join("canary"), "alive").unwrap();
    let path = dir.path().to_str().unwrap().to_owned();
    (dir, path)
}

#[track_caller]
fn lives(canary: &Path) {
    assert_eq!(fs::read_to_string(canary.join("canary")).unwrap(), "alive");
    assert_eq!(fs::read_dir(canary).unwrap().count(), 1, "something was put beside the canary");
}

/// runc: a working directory below /proc/self/fd led through a leaked descriptor to the host.
#[test]
fn cve_2024_21626_no_descriptor_leads_outside() {
    let jettison = Jettison::with_busybox();
    let (dir, path) = canary();
    for number in 3..12 {
        let ran = try_build(
            &jettison,
            &format!("FROM busybox\nWORKDIR /proc/self/fd/{number}\nRUN cat ../../..{path}/canary\n"),
        );
        assert_ne!(ran.code, 0, "descriptor {number}: {}", ran.stdout);
        assert!(!ran.stderr.contains("alive"), "descriptor {number}: {}", ran.stderr);
    }
    let open = seen(
        &jettison,
        "FROM busybox\nRUN ls -l /proc/self/fd > /tmp/fds; awk '{print $NF}' /tmp/fds | grep -c '^/' > /seen; true\n",
    );
    // The listing itself holds its output and /proc/self/fd open; nothing else has a path.
    assert!(open.parse::<u32>().unwrap() <= 3, "{open} descriptors with a path");
    lives(dir.path());
}

/// runc: the program that starts the container could be overwritten through /proc/self/exe.
#[test]
fn cve_2019_5736_the_builder_cannot_be_overwritten() {
    let jettison = Jettison::with_busybox();
    let program = Path::new(env!("CARGO_BIN_EXE_jettison"));
    let before = fs::metadata(program).unwrap();
    let dockerfile = "FROM busybox\nRUN for pid in /proc/[0-9]*; do (echo overwritten >> $pid/exe) 2>/dev/null; done; true\n\
                      RUN [\"/proc/self/exe\", \"version\"]\n";
    let _ = try_build(&jettison, dockerfile);
    let after = fs::metadata(program).unwrap();
    assert_eq!((before.len(), before.modified().unwrap()), (after.len(), after.modified().unwrap()));
}

/// runc (also CVE-2023-27561, CVE-2023-28642, CVE-2019-16884; youki: CVE-2025-54867, CVE-2025-62161): masked files of /proc were reached when the image had prepared /dev/null or /proc as links.
#[test]
fn cve_2025_31133_and_2019_19921_masks_hold_whatever_the_image_has_prepared() {
    let jettison = Jettison::with_busybox();
    let dockerfile = "FROM busybox AS evil\nRUN rm -rf /tmp/* && mkdir /etc/p\n\
                      FROM scratch\nCOPY --from=evil / /\nCOPY --from=evil /etc/p /fake\n\
                      RUN cat /proc/keys /proc/timer_list 2>/dev/null | head -c 1 | wc -c > /seen; \
                      (echo h > /proc/sysrq-trigger) 2>/dev/null && echo open >> /seen; \
                      (cp /proc/sys/kernel/core_pattern /tmp/core; cat /tmp/core > /proc/sys/kernel/core_pattern) 2>/dev/null && echo open >> /seen; true\n";
    assert_eq!(seen(&jettison, dockerfile), "0");
    // Where /proc and its like are links, what is mounted lies where they lead, inside of the image, with its masks.
    let script = "B=/bin/busybox; n=$($B cat /proc/keys /proc/timer_list 2>/dev/null | $B wc -c); [ \"$n\" = 0 ] || exit 9; \
                  ($B cp /proc/sys/kernel/core_pattern /core; $B cat /core > /proc/sys/kernel/core_pattern) 2>/dev/null && exit 8; \
                  (echo h > /proc/sysrq-trigger) 2>/dev/null && exit 7; exit 0";
    let dockerfile = format!(
        "FROM scratch\nADD root.tar /\nRUN {}\n",
        serde_json::json!(["/bin/busybox", "sh", "-c", script])
    );
    let links = folder(&dockerfile, &[]);
    let tree = links.path().join("root");
    fs::create_dir_all(tree.join("bin")).unwrap();
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|p| Path::new(p).exists()).unwrap();
    fs::copy(busybox, tree.join("bin/busybox")).unwrap();
    for name in ["proc", "sys", "dev"] {
        fs::create_dir_all(tree.join("elsewhere").join(name)).unwrap();
        std::os::unix::fs::symlink(format!("/elsewhere/{name}"), tree.join(name)).unwrap();
    }
    let tar = links.path().join("root.tar");
    crate::fixture::program("tar", &["-cf", tar.to_str().unwrap(), "-C", tree.to_str().unwrap(), "."]).ok();
    jettison.build(links.path(), &[]);
}

/// runc: what it writes to /proc while it starts a step went to other files of /proc, where the step's mounts had put links.
#[test]
fn cve_2025_52881_mounts_over_proc_redirect_nothing() {
    let jettison = Jettison::with_busybox();
    let core = || fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let before = core();
    let names = "self/attr/exec self/attr/current self/attr/apparmor/exec thread-self/attr/exec self/fd self/uid_map \
                 self/setgroups self/oom_score_adj self/loginuid sys/kernel/hostname sys/net/ipv4/ping_group_range";
    let evil = format!(
        "FROM busybox AS evil\nRUN for f in {names}; do mkdir -p $(dirname /fake/$f); ln -s /proc/sys/kernel/core_pattern /fake/$f; done; \
         mkdir -p /trigger/attr; for f in exec current; do ln -s /proc/sysrq-trigger /trigger/attr/$f; done\nFROM busybox\n"
    );
    let probe = "for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/self/attr/exec /proc/sys/kernel/hostname; do \
                 if (: >> $f) 2>/dev/null && test $(stat -L -f -c %T $f) = proc && readlink -f $f | grep -v '^/proc/[0-9]'; then exit 9; fi; done";
    for target in ["/proc", "/proc/self", "/proc/self/attr", "/proc/sys/kernel"] {
        for mount in [
            format!("type=bind,from=evil,source=/fake,target={target}"),
            format!("type=bind,from=evil,source=/fake,target={target},rw"),
            format!("type=bind,from=evil,source=/trigger,target={target}"),
            format!("type=tmpfs,target={target}"),
            format!("type=cache,id=proc,target={target}"),
        ] {
            let ran = try_build(&jettison, &format!("{evil}RUN --mount={mount} {probe}\n"));
            assert_eq!(ran.code, 0, "{mount}: {}", ran.stderr);
            assert_eq!(core(), before, "{mount}");
        }
    }
}

/// The same, and Docker's CVE-2026-41568 and CVE-2026-42306, as a race: one step changes the folder of a cache in which another
/// one's mount points are made and mounted.
#[test]
fn cve_2026_41568_and_2026_42306_mount_points_in_a_shared_cache_stay_inside() {
    let jettison = Jettison::with_busybox();
    let (dir, path) = canary();
    let cache = "--mount=type=cache,id=shared,target=/c";
    let mut dockerfile = format!(
        "FROM busybox AS swap\nRUN {cache} i=0; while [ $i -lt 300 ] && [ $(ls /c | grep -c seen) -lt 8 ]; do i=$((i+1)); \
         rm -rf /c/d; ln -s {path} /c/d; rm -f /c/d; ln -s /proc/sys /c/d; rm -f /c/d; mkdir -p /c/d/e; done\n"
    );
    for number in 0..8 {
        dockerfile.push_str(&format!(
            "FROM busybox AS look{number}\nRUN {cache} --mount=type=tmpfs,target=/c/d/e/m{number} --mount=type=cache,id=own,target=/c/d/n{number} \
             ! cat /c/d/canary && touch /c/seen{number}\n"
        ));
    }
    // A step may fail, as its folder may be gone; none may have got out.
    for number in 0..8 {
        let target = format!("look{number}");
        dockerfile.push_str(&format!("FROM busybox AS both{number}\nCOPY --from=swap /bin/busybox /s\nCOPY --from={target} /bin/busybox /l\n"));
    }
    let context = folder(&dockerfile, &[]);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (jettison, context) = (&jettison, &context);
            scope.spawn(move || {
                let target = format!("--target=both{number}");
                let ran = jettison.try_build(context.path(), &[&target, "--network=none"]);
                assert!(ran.code < 100 && !ran.stderr.contains("alive"), "{}", ran.stderr);
            });
        }
    });
    lives(dir.path());
}

/// podman: what a step wrote into the context was there afterwards.
#[test]
fn cve_2025_4953_the_context_is_as_it_was() {
    let jettison = Jettison::with_busybox();
    for end in ["true", "false"] {
        let context = folder(
            &format!(
                "FROM busybox\nRUN --mount=type=bind,target=/m,rw echo new > /m/new; echo changed > /m/f; rm /m/g; chmod 777 /m/d; {end}\n"
            ),
            &[("f", "f"), ("g", "g"), ("d/x", "x")],
        );
        let before = fs::metadata(context.path().join("d")).unwrap().permissions().mode();
        assert_eq!(jettison.try_build(context.path(), &[]).code == 0, end == "true");
        let read = |name: &str| fs::read_to_string(context.path().join(name)).unwrap();
        assert_eq!((read("f"), read("g")), ("f".to_owned(), "g".to_owned()));
        assert!(!context.path().join("new").exists());
        assert_eq!(fs::metadata(context.path().join("d")).unwrap().permissions().mode(), before);
    }
}

/// Docker: an archive was unpacked by a program of the image, on the machine.
#[test]
fn cve_2026_41567_no_program_of_the_image_unpacks_archives() {
    let jettison = Jettison::with_busybox();
    let (dir, path) = canary();
    for (program, suffix) in [("gzip", "gz"), ("bzip2", "bz2"), ("xz", "xz")] {
        if !crate::fixture::have(program) {
            return;
        }
        let context = folder(
            &format!(
                "FROM busybox\nRUN for p in gzip gunzip unpigz pigz bzip2 bunzip2 xz unxz xzcat zstd unzstd tar git; do \
                 for d in /bin /usr/bin /usr/local/bin; do mkdir -p $d; rm -f $d/$p; \
                 printf '#!/bin/sh\\ntouch /started {path}/started\\n' > $d/$p; chmod 755 $d/$p; done; done\n\
                 ADD a.tar.{suffix} /added/\nRUN test ! -e /started && cat /added/f > /seen\n"
            ),
            &[("f", "content")],
        );
        let at = context.path().to_str().unwrap();
        crate::fixture::program("tar", &["-cf", &format!("{at}/a.tar"), "-C", at, "f"]).ok();
        crate::fixture::program(program, &[&format!("{at}/a.tar")]).ok();
        jettison.build(context.path(), &["-t", "seen"]);
        assert_eq!(jettison.run(&["run", "seen", "cat", "/seen"]).ok(), "content", "{suffix}");
        lives(dir.path());
    }
}

/// BuildKit: removing the mount points of a step followed links that the step had put in their place.
#[test]
fn cve_2024_23652_removing_mount_points_follows_no_link() {
    let jettison = Jettison::with_busybox();
    let (dir, path) = canary();
    let dockerfile = format!(
        "FROM busybox\nRUN --mount=type=tmpfs,target=/a/b/canary mv /a /z 2>/dev/null; ln -s {path} /a 2>/dev/null; true\n\
         RUN --mount=type=secret,id=none,target=/s/canary mkdir -p /s; rm -rf /s; ln -s {path} /s\n"
    );
    let _ = try_build(&jettison, &dockerfile);
    lives(dir.path());
}

/// BuildKit and buildah: the source of a cache mount led outside through a link that an earlier step had planted, or
/// through `..` in its id.
#[test]
fn cve_2024_23651_and_2024_9675_cache_mounts_stay_inside() {
    let jettison = Jettison::with_busybox();
    let (dir, path) = canary();
    let dockerfile = format!(
        "FROM busybox\nRUN --mount=type=cache,id=c,target=/c ln -sfn / /c/up; ln -sfn {path} /c/out\n\
         RUN --mount=type=cache,id=c,source=up,target=/d ls /d > /seen 2>&1; echo end >> /seen\n"
    );
    let up = seen(&jettison, &dockerfile);
    assert!(!up.contains("proc") && up.ends_with("end"), "the cache's own root, not the host's: {up}");
    let ran = try_build(
        &jettison,
        "FROM busybox\nRUN --mount=type=cache,id=c,source=out,target=/d touch /d/new; cat /d/canary\n",
    );
    assert!(!ran.stdout.contains("alive") && !ran.stderr.contains("alive"), "{}", ran.stderr);
    let id = "FROM busybox\nRUN --mount=type=cache,id=../../../../../tmp,target=/d ls /d | wc -l > /seen\n";
    assert_eq!(seen(&jettison, id), "0", "the id is a name, not a path");
    lives(dir.path());
}

/// buildah: the source of a bind mount from a stage led to the host through a link in that stage.
#[test]
fn cve_2024_1753_and_2024_11218_bind_mounts_stay_inside_their_stage() {
    let jettison = Jettison::with_busybox();
    let (dir, path) = canary();
    let dockerfile = format!(
        "FROM busybox AS evil\nRUN ln -s / /up; ln -s {path} /out; ln -s ../../../../../.. /dots\nFROM busybox\n\
         RUN --mount=type=bind,from=evil,source=/up,target=/m,rw ls /m/bin/busybox > /seen; rm -rf /m/etc\n\
         RUN --mount=type=bind,from=evil,source=/dots,target=/m ls /m/up >/dev/null && echo dots >> /seen\n"
    );
    assert_eq!(seen(&jettison, &dockerfile), "/m/bin/busybox\ndots");
    let ran = try_build(
        &jettison,
        &format!(
            "FROM busybox AS evil\nRUN ln -s {path} /out\nFROM busybox\n\
             RUN --mount=type=bind,from=evil,source=/out,target=/m,rw cat /m/canary; rm /m/canary\n"
        ),
    );
    assert_ne!(ran.code, 0);
    assert!(!ran.stderr.contains("alive") && Path::new("/etc/passwd").exists(), "{}", ran.stderr);
    lives(dir.path());
}

/// buildah: an option of a bind mount made it propagate to the host.
#[test]
fn cve_2024_9407_mount_options_are_a_closed_list() {
    let jettison = Jettison::with_busybox();
    for option in ["bind-propagation=shared", "propagation=rshared", "relabel=shared"] {
        let ran =
            try_build(&jettison, &format!("FROM busybox\nRUN --mount=type=bind,target=/m,{option} true\n"));
        assert_eq!(ran.code, 3, "{option}: {}", ran.stderr);
    }
}

/// BuildKit: a Dockerfile could give itself privileges that nobody had granted.
#[test]
fn cve_2024_23653_privileges_are_granted_on_the_command_line() {
    let jettison = Jettison::with_busybox();
    for flag in ["--security=insecure", "--network=host"] {
        let ran = try_build(&jettison, &format!("FROM busybox\nRUN {flag} true\n"));
        assert_ne!(ran.code, 0, "{flag}");
        assert!(ran.stderr.contains("--allow"), "{}", ran.stderr);
    }
}

/// Docker and umoci: COPY followed links of a base image or of another step to the host.
#[test]
fn cve_2018_15664_and_2021_29136_copies_stay_inside_the_image() {
    let jettison = Jettison::with_busybox();
    let (dir, path) = canary();
    let dockerfile = format!(
        "FROM busybox AS evil\nRUN ln -s {path} /out; ln -s {path}/canary /file; mkdir /d; ln -s {path} /d/l\n\
         FROM evil\nCOPY Dockerfile /out/\nCOPY Dockerfile /d/l/x\nADD Dockerfile /file\nWORKDIR /out/made\n\
         COPY --from=evil /d /e\nRUN cat {path}/Dockerfile | head -n 1 > /seen\n"
    );
    assert!(seen(&jettison, &dockerfile).starts_with("FROM busybox"), "inside of the image the link works");
    lives(dir.path());
    let ran = try_build(
        &jettison,
        &format!(
            "FROM busybox AS evil\nRUN ln -s {path}/canary /file\nFROM busybox\nCOPY --from=evil /file /x\n"
        ),
    );
    assert_ne!(ran.code, 0, "there is no such file inside of the stage");
}

/// containerd (again in CVE-2024-25621) and Docker: other users could walk into unpacked images and start what is set-uid there.
#[test]
fn cve_2021_41103_and_2021_41091_others_cannot_enter_unpacked_images() {
    if !root() {
        return;
    }
    let jettison = Jettison::with_busybox();
    jettison.build(folder("FROM busybox\nRUN chmod u+s /bin/busybox\n", &[]).path(), &[]);
    for name in ["snapshots", "tmp", "caches"] {
        let mode = fs::metadata(jettison.store.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
    }
}

/// As in CVE-2020-13401 and its like, root inside had more than it needs: a node is a file like any other, so a step could
/// make one with the number of the machine's disk, or get it from a layer, and open it.
#[test]
fn nodes_that_a_step_makes_or_a_layer_brings_cannot_be_opened() {
    if !root() {
        return;
    }
    let jettison = Jettison::with_busybox();
    let open = "if (: < $n) 2>/dev/null; then echo opened $n; exit 9; fi";
    let dockerfile = format!(
        "FROM busybox AS nodes\nRUN mknod /null c 1 3 && mknod /loop c 10 237 && mknod /disk b 7 0\nFROM nodes\n\
         RUN for n in /null /loop /disk; do {open}; done\n\
         RUN for d in / /dev /dev/shm /tmp; do n=$d/own; mknod $n c 1 3 && {open}; done; rm /own /tmp/own\n\
         RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t for n in /c/n /t/n; do mknod $n c 1 3; {open}; done; rm -f /c/n\n\
         RUN for n in null zero full random urandom tty; do test -c /dev/$n || exit 8; done; echo x > /dev/null && head -c 1 /dev/zero | wc -c > /seen\n"
    );
    assert_eq!(seen(&jettison, &dockerfile), "1", "those of /dev work");
}

/// containers/image: a digest that is no digest became a path.
#[test]
fn cve_2024_3727_a_digest_is_no_path() {
    let jettison = Jettison::new();
    for digest in ["sha256:../../../../etc/passwd", "sha256:abc", "../x:0123"] {
        let ran = try_build(&jettison, &format!("FROM busybox@{digest}\n"));
        assert!((3..=4).contains(&ran.code), "{digest}: {}", ran.stderr);
        let archive = folder("", &[("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)]);
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":7}}]}}"#
        );
        fs::write(archive.path().join("index.json"), index).unwrap();
        let tar = archive.path().join("image.tar");
        let at = archive.path().to_str().unwrap();
        crate::fixture::program("tar", &["-cf", tar.to_str().unwrap(), "-C", at, "oci-layout", "index.json"])
            .ok();
        assert_ne!(jettison.run(&["load", "-i", tar.to_str().unwrap()]).code, 0, "{digest}");
    }
}
