//! Misses that should be hits, and other failures of correctness that users of other builders have reported; tests/README.md
//! has the table of all of them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::cache::ran;
use crate::fixture::{Jettison, Registry, folder};

#[test]
fn labels_between_steps_and_empty_steps_do_not_run_anything_again() {
    let jettison = Jettison::with_busybox();
    let text = |label: &str| {
        format!(
            "FROM busybox\nRUN true\nLABEL a={label}\nWORKDIR /w\nADD f /f\nRUN mkdir /v\nVOLUME /v\nLABEL b={label}\nRUN touch /v/x\n\
             EXPOSE 8{label}\nRUN cat /f > /g\n"
        )
    };
    let files = folder(&text("1"), &[("f", "1")]);
    jettison.build(files.path(), &[]);
    fs::write(files.path().join("Dockerfile"), text("2")).unwrap();
    let again = jettison.try_build(files.path(), &[]);
    for step in ["RUN true", "WORKDIR", "ADD", "RUN touch", "RUN cat"] {
        assert!(!ran(&again.stderr, step), "{step}: {}", again.stderr);
    }
    assert_eq!(
        again.ok(),
        Jettison::with_busybox().build(files.path(), &[]),
        "and it is what an empty store gives"
    );
}

/// What a step sees of its base are the files, and of the config the variables, the user, the folder and the shell.
#[test]
fn a_base_that_was_made_again_with_another_label_runs_nothing_again() {
    let jettison = Jettison::with_busybox();
    let base = |more: &str| {
        let text = format!("FROM busybox\nRUN echo 1 > /made\n{more}\n");
        jettison.build(folder(&text, &[]).path(), &["-t", "base"])
    };
    let child = folder(
        "FROM base\nRUN env > /tmp/env; id -u > /tmp/id; pwd > /tmp/pwd\nCOPY --from=base /made /copied\nCOPY f /f\nWORKDIR w\n",
        &[("f", "1")],
    );
    let steps = |stderr: &str| {
        let all =
            [("RUN", "] RUN"), ("COPY --from", "COPY --from"), ("COPY f", "COPY f"), ("WORKDIR", "WORKDIR")];
        all.into_iter().filter(|(_, step)| ran(stderr, step)).map(|(name, _)| name).collect::<Vec<_>>()
    };
    let first = base("LABEL v=1");
    jettison.build(child.path(), &["-t", "child"]);
    for more in ["LABEL v=2", "LABEL v=2\nEXPOSE 80\nCMD [\"x\"]\nSTOPSIGNAL 9\nVOLUME /v\nHEALTHCHECK CMD x"]
    {
        assert_ne!(base(more), first);
        let again = jettison.try_build(child.path(), &["-t", "child"]);
        assert_eq!(steps(&again.stderr), [""; 0], "{more}: {}", again.stderr);
        let labels = &jettison.inspect("child")["config"]["config"]["Labels"];
        assert_eq!(labels["v"], "2", "but the image is the new base's: {labels}");
    }
    for more in ["ENV E=1", "USER 7", "WORKDIR /other", "SHELL [\"/bin/sh\", \"-ec\"]", "RUN echo 2 > /made"]
    {
        base(more);
        let again = jettison.try_build(child.path(), &["-t", "child"]);
        assert!(steps(&again.stderr).contains(&"RUN"), "{more}: {}", again.stderr);
        let fresh = Jettison::with_busybox();
        let text = format!("FROM busybox\nRUN echo 1 > /made\n{more}\n");
        fresh.build(folder(&text, &[]).path(), &["-t", "base"]);
        assert_eq!(again.ok(), fresh.build(child.path(), &[]), "{more}: what an empty store gives");
    }
}

#[test]
fn modes_and_owners_of_a_checkout_do_not_count_where_the_instruction_sets_them() {
    let jettison = Jettison::with_busybox();
    let files = folder(
        "FROM busybox\nCOPY --chmod=644 --chown=7:7 f /f\nRUN stat -c '%a %u' /f > /s\n",
        &[("f", "1")],
    );
    let set = |mode| fs::set_permissions(files.path().join("f"), fs::Permissions::from_mode(mode)).unwrap();
    set(0o644);
    let first = jettison.build(files.path(), &[]);
    for umask in [0o600, 0o664] {
        set(umask);
        let again = jettison.try_build(files.path(), &[]);
        assert!(!ran(&again.stderr, "COPY") && !ran(&again.stderr, "RUN"), "{}", again.stderr);
        assert_eq!(again.ok(), first);
    }
}

#[test]
fn a_miss_does_not_end_the_search() {
    let jettison = Jettison::with_busybox();
    let text = "FROM busybox\nCOPY a /a\nRUN cut -c1 /a > /b; rm /a\nCOPY b /c\nRUN cat /c > /d\n";
    let files = folder(text, &[("a", "1"), ("b", "1")]);
    let first = jettison.build(files.path(), &[]);
    fs::write(files.path().join("a"), "2").unwrap();
    assert_ne!(jettison.build(files.path(), &[]), first);
    fs::write(files.path().join("a"), "1").unwrap();
    let back = jettison.try_build(files.path(), &[]);
    for step in ["COPY", "RUN"] {
        assert!(!ran(&back.stderr, step), "{step}: {}", back.stderr);
    }
    assert_eq!(back.ok(), first);
    // Only what hangs on the change runs; a stage beside it does not.
    let text = "FROM busybox AS one\nCOPY a /a\nRUN cat /a > /one\nFROM busybox AS two\nRUN echo 2 > /two\n\
                FROM busybox\nCOPY --from=two /two /\nCOPY --from=one /one /\n";
    fs::write(files.path().join("Dockerfile"), text).unwrap();
    jettison.build(files.path(), &[]);
    fs::write(files.path().join("a"), "3").unwrap();
    let again = jettison.try_build(files.path(), &[]);
    assert!(ran(&again.stderr, "RUN cat /a") && !ran(&again.stderr, "RUN echo 2"), "{}", again.stderr);
    assert!(!ran(&again.stderr, "COPY --from=two"), "{}", again.stderr);
}

#[test]
fn a_platform_that_fails_publishes_nothing() {
    let (jettison, Some(registry)) = (Jettison::with_busybox(), Registry::start("")) else { return };
    let files = folder("FROM scratch\nARG TARGETARCH\nCOPY for-$TARGETARCH /f\n", &[("for-amd64", "1")]);
    let name = registry.name("app:1");
    let args = ["--platform", "linux/amd64,linux/arm64", "--push", "-t", name.as_str()];
    let failed = jettison.try_build(files.path(), &args);
    assert_ne!(failed.code, 0);
    assert!(failed.stderr.contains("for-arm64"), "{}", failed.stderr);
    assert!(!jettison.run(&["images"]).ok().contains("app"), "no name in the store");
    assert_ne!(Jettison::new().run(&["pull", &name]).code, 0, "no name in the registry");
    fs::write(files.path().join("for-arm64"), "2").unwrap();
    jettison.build(files.path(), &args);
    Jettison::new().run(&["pull", "--platform", "linux/arm64", &name]).ok();
}

#[test]
fn a_dockerfile_that_is_a_link_is_read_and_nothing_else() {
    let jettison = Jettison::with_busybox();
    let elsewhere = folder("FROM busybox\nRUN echo 1 > /v\n", &[]);
    let target = elsewhere.path().join("Dockerfile");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o444)).unwrap();
    let before = fs::metadata(&target).unwrap();
    let context = tempfile::tempdir().unwrap();
    symlink(&target, context.path().join("Dockerfile")).unwrap();
    jettison.build(context.path(), &[]);
    jettison.build(context.path(), &["-f", context.path().join("Dockerfile").to_str().unwrap()]);
    let after = fs::metadata(&target).unwrap();
    assert_eq!((before.len(), before.modified().unwrap()), (after.len(), after.modified().unwrap()));
    assert!(fs::symlink_metadata(context.path().join("Dockerfile")).unwrap().is_symlink());
}

#[test]
fn what_a_file_can_be_survives_layers_archives_and_copies() {
    let jettison = Jettison::with_busybox();
    let long = "n".repeat(254);
    let list = "cd /d && find . | sort | while read -r p; do stat -c '%n %F %a %u:%g %h' \"$p\"; readlink \"$p\" || true; done";
    let text = format!(
        "FROM busybox AS made\nRUN mkdir -p /d/empty /d/sticky && cd /d && echo 1 > f && ln f hard && ln -s f soft && \
         ln -s /nowhere dangling && mkfifo pipe && cp f setuid && chmod 6755 setuid && chmod 1777 sticky && chown 5:6 hard && \
         echo x > {long} && mkdir {long}d && echo y > {long}d/{long} && echo z > 'a b' && touch -d '1999-01-01 00:00:00' old\n\
         FROM busybox\nCOPY --from=made /d /d\nRUN {list} > /copied\n"
    );
    let files = folder(&text, &[]);
    jettison.build(files.path(), &["--target", "made", "-t", "made"]);
    jettison.build(files.path(), &["-t", "copied"]);
    let there = jettison.run(&["run", "made", "sh", "-c", list]).ok();
    for part in ["f regular file 644 5:6 2", "setuid regular file 6755", "sticky directory 1777", "pipe fifo"]
    {
        assert!(there.contains(part), "{part} in {there}");
    }
    assert_eq!(jettison.run(&["run", "copied", "cat", "/copied"]).ok(), there, "COPY --from");
    let out = tempfile::tempdir().unwrap();
    for format in ["docker", "oci"] {
        let path = out.path().join(format);
        jettison.run(&["save", "--format", format, "-o", path.to_str().unwrap(), "made"]).ok();
        let other = Jettison::new();
        other.run(&["load", "-i", path.to_str().unwrap()]).ok();
        assert_eq!(other.run(&["run", "made", "sh", "-c", list]).ok(), there, "{format}");
    }
}
