//! Instructions as a whole: what a build of them leaves in files and config. Details are in `tests/dockerfiles/`.

use crate::fixture::{Jettison, folder};

#[test]
fn all_instructions_take_part() {
    let jettison = Jettison::with_busybox();
    let folder = folder(
        r#"# syntax=docker/dockerfile:1
ARG BASE=busybox
FROM ${BASE} AS base
MAINTAINER someone
ARG V=1
ENV A=x B="y z"
LABEL l=1
RUN echo "$V $A $B" > /run-result
COPY --chown=app:staff file /copied
ADD file /added/
EXPOSE 8080 53/udp
VOLUME /data
USER app
WORKDIR /work
ENTRYPOINT ["/bin/echo"]
CMD ["hello"]
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s CMD true
SHELL ["/bin/ash", "-c"]
ONBUILD RUN echo child
"#,
        &[("file", "content\n")],
    );
    jettison.build(folder.path(), &["-t", "app", "--label", "m=2"]);
    let config = &jettison.inspect("app")["config"];
    insta::assert_snapshot!(serde_json::to_string(&config["config"]).unwrap(), @r#"{"ArgsEscaped":true,"Cmd":["hello"],"Entrypoint":["/bin/echo"],"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","A=x","B=y z"],"ExposedPorts":{"53/udp":{},"8080/tcp":{}},"Healthcheck":{"Interval":5000000000,"Test":["CMD-SHELL","true"]},"Labels":{"l":"1","m":"2"},"OnBuild":["RUN echo child"],"Shell":["/bin/ash","-c"],"StopSignal":"SIGINT","User":"app","Volumes":{"/data":{}},"WorkingDir":"/work"}"#);
    assert_eq!(config["author"], "someone");
    let run = |args: &[&str]| {
        let mut all = vec!["run", "--entrypoint", "/bin/sh", "-u", "0", "app", "-c"];
        all.extend(args);
        jettison.run(&all).ok()
    };
    assert_eq!(run(&["cat /run-result"]), "1 x y z");
    assert_eq!(run(&["stat -c %u:%g /copied"]), "1000:50");
    assert_eq!(run(&["cat /added/file; stat -c %U /work"]), "content\napp");
    assert_eq!(jettison.run(&["run", "app"]).ok(), "hello");
}

#[test]
fn onbuild_triggers_run_in_the_child() {
    let jettison = Jettison::with_busybox();
    let parent = folder("FROM busybox\nONBUILD COPY f /from-trigger\n", &[]);
    jettison.build(parent.path(), &["-t", "parent"]);
    let child = folder("FROM parent\nRUN cat /from-trigger > /seen\n", &[("f", "yes")]);
    jettison.build(child.path(), &["-t", "child"]);
    assert_eq!(jettison.run(&["run", "child", "cat", "/seen"]).ok(), "yes");
    assert!(jettison.inspect("child")["config"]["config"].get("OnBuild").is_none());
}

#[test]
fn stages_that_the_target_does_not_need_are_not_built() {
    let jettison = Jettison::with_busybox();
    let folder = folder(
        "FROM busybox AS broken\nRUN false\nFROM does/not/exist AS missing\nFROM busybox AS good\nRUN true\nFROM broken\nRUN true\n",
        &[],
    );
    jettison.build(folder.path(), &["--target", "good"]);
    jettison.try_build(folder.path(), &[]).fails(1);
}

#[test]
fn independent_stages_run_side_by_side() {
    let jettison = Jettison::with_busybox();
    // Each comes to the same place and waits there for the others.
    let wait = "for i in $(seq 600); do test $(ls /meet | wc -l) = 4 && exit 0; sleep 0.1; done; exit 1";
    let mut dockerfile = String::new();
    for i in 0..4 {
        let run = format!("RUN --mount=type=cache,target=/meet touch /meet/{i} /o; {wait}\n");
        dockerfile.push_str(&format!("FROM busybox AS s{i}\n{run}"));
    }
    dockerfile.push_str("FROM scratch\n");
    for i in 0..4 {
        dockerfile.push_str(&format!("COPY --from=s{i} /o /o{i}\n"));
    }
    let folder = folder(&dockerfile, &[]);
    jettison.build(folder.path(), &[]);
}

#[test]
fn named_contexts_replace_images_and_serve_copies() {
    let jettison = Jettison::with_busybox();
    let other = folder("", &[("x", "from the folder")]);
    let folder = folder("FROM alias\nCOPY --from=extra x /x\n", &[]);
    let extra = format!("extra={}", other.path().display());
    jettison.build(
        folder.path(),
        &["-t", "app", "--build-context", "alias=docker-image://busybox", "--build-context", &extra],
    );
    assert_eq!(jettison.run(&["run", "app", "cat", "/x"]).ok(), "from the folder");
}

#[test]
fn networks_and_hosts_of_steps() {
    let jettison = Jettison::with_busybox();
    let folder = folder(
        "FROM busybox\nRUN cat /etc/hosts > /hosts\nRUN --network=none ip -o link | wc -l > /links\n",
        &[],
    );
    jettison.build(folder.path(), &["-t", "app", "--add-host", "db:10.1.2.3"]);
    let hosts = jettison.run(&["run", "app", "cat", "/hosts"]).ok();
    assert!(hosts.contains("10.1.2.3\tdb") && hosts.contains("localhost buildkitsandbox"), "{hosts}");
    assert_eq!(jettison.run(&["run", "app", "cat", "/links"]).ok(), "1");
}

#[test]
fn a_dockerfile_on_standard_input() {
    let jettison = Jettison::with_busybox();
    let folder = folder("FROM busybox\nRUN echo hi > /x\n", &[]);
    let file = std::fs::File::open(folder.path().join("Dockerfile")).unwrap();
    let output = jettison.command().args(["build", "-q", "-t", "app", "-"]).stdin(file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(jettison.run(&["run", "app", "cat", "/x"]).ok(), "hi");
}

#[test]
fn a_digest_finds_the_image_that_has_another_name_here() {
    let jettison = Jettison::with_busybox();
    let base = folder("FROM busybox\nRUN echo 1 > /one\n", &[]);
    let digest = jettison.build(base.path(), &["-t", "registry.invalid/base:1"]);
    let name = format!("registry.invalid/base:latest@{}", digest.trim());
    let context = folder(&format!("FROM {name}\nRUN test -f /one\n"), &[]);
    jettison.build(context.path(), &[]);
    let elsewhere = folder(&format!("FROM registry.invalid/other@{}\n", digest.trim()), &[]);
    jettison.try_build(elsewhere.path(), &[]).fails(4);
}
