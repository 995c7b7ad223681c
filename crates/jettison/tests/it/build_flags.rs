//! Flags of `build` that say what steps may do, which steps run again, and what is written beside the result.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cache::ran;
use crate::fixture::{Jettison, folder, root};

#[test]
fn insecure_steps_and_the_hosts_network_have_to_be_allowed() {
    let jettison = Jettison::with_busybox();
    let insecure =
        folder("FROM busybox\nRUN --security=insecure grep -q '^Seccomp:.0' /proc/self/status\n", &[]);
    let error = jettison.try_build(insecure.path(), &[]).fails(3);
    assert!(
        error.contains("Dockerfile:2:1") && error.contains("security.insecure is not allowed"),
        "{error}"
    );
    assert!(error.contains("--allow security.insecure"), "{error}");
    if root() {
        jettison.build(insecure.path(), &["--allow", "security.insecure"]);
    }
    let host = folder("FROM busybox\nRUN --network=host true\nRUN --network=none true\n", &[]);
    let error = jettison.try_build(host.path(), &[]).fails(3);
    assert!(error.contains("network.host is not allowed"), "{error}");
    jettison.build(host.path(), &["--allow", "network.host"]);
    jettison.build(host.path(), &["--network", "host"]);
    let error = jettison.try_build(host.path(), &["--allow", "device"]).fails(2);
    assert!(error.contains("--allow device: this is not supported"), "{error}");
}

#[test]
fn a_filter_runs_the_steps_of_its_stages_again() {
    let jettison = Jettison::with_busybox();
    let context = folder(
        "FROM busybox AS one\nRUN echo first\nWORKDIR /w1\nFROM busybox AS two\nRUN echo second\nCOPY --from=one /w1 /x\n",
        &[],
    );
    jettison.build(context.path(), &[]);
    let filtered = jettison.try_build(context.path(), &["--no-cache-filter", "ONE,nope"]).stderr;
    assert!(ran(&filtered, "RUN echo first") && ran(&filtered, "WORKDIR /w1"), "{filtered}");
    assert!(!ran(&filtered, "RUN echo second"), "{filtered}");
    assert!(filtered.contains("there is no stage \"nope\""), "{filtered}");
}

/// What the cache has of a stage on top of it belongs to its old files.
#[test]
fn a_filter_runs_what_stands_on_its_stages_again() {
    let jettison = Jettison::with_busybox();
    let context = folder(
        "FROM busybox AS one\nRUN cat /proc/sys/kernel/random/uuid > /id\nFROM one AS two\nWORKDIR /w\nRUN cp /id /id2\n",
        &[],
    );
    let ids = |args: &[&str]| {
        jettison.build(context.path(), &[args, &["-t", "app"]].concat());
        let ids = jettison.run(&["run", "app", "cat", "/id", "/id2"]).ok();
        let (first, second) = ids.split_once('\n').expect("two lines");
        assert_eq!(first, second);
        first.to_owned()
    };
    let before = ids(&[]);
    assert_eq!(ids(&[]), before);
    let filtered = ids(&["--no-cache-filter", "one"]);
    assert_ne!(filtered, before);
    assert_eq!(ids(&[]), filtered);
    assert_eq!(ids(&["--no-cache-filter", "two"]), filtered);
}

#[test]
fn limits_are_seen_and_count() {
    let jettison = Jettison::with_busybox();
    let context =
        folder("FROM busybox\nRUN ulimit -n > /n; df -k /dev/shm | tail -n1 | awk '{print $2}' > /s\n", &[]);
    let of = |args: &[&str]| {
        jettison.build(context.path(), &[args, &["-t", "app"]].concat());
        jettison.run(&["run", "app", "cat", "/n", "/s"]).ok()
    };
    assert_eq!(of(&["--ulimit", "nofile=123:456", "--shm-size", "1m"]), "123\n1024");
    assert_eq!(of(&["--ulimit", "nofile=124:456", "--shm-size", "1m"]), "124\n1024");
    assert!(of(&[]).ends_with("\n65536"));
    let error = jettison.try_build(context.path(), &["--ulimit", "files=1"]).fails(2);
    assert!(error.contains("there is no limit \"files\""), "{error}");
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn annotations_stand_where_they_are_asked_for() {
    let jettison = Jettison::new();
    let context = folder("FROM scratch\nCOPY f /\n", &[("f", "1")]);
    let out = tempfile::tempdir().unwrap();
    let output = format!("type=oci,tar=false,dest={}", out.path().display());
    let args = [
        "--platform=linux/amd64,linux/arm64",
        "--annotation=A.b=all",
        "--annotation=manifest[linux/arm64]:arm=yes",
        "--annotation=index:i=1",
        "--annotation=manifest-descriptor,index-descriptor:d=2",
        "--output",
        &output,
    ];
    let digest = jettison.build(context.path(), &args);
    let blob =
        |digest: &Value| json(&out.path().join("blobs").join(digest.as_str().unwrap().replace(':', "/")));
    let entry = &json(&out.path().join("index.json"))["manifests"][0];
    assert_eq!(
        (entry["digest"].as_str(), entry["annotations"]["d"].as_str()),
        (Some(digest.as_str()), Some("2"))
    );
    let index = blob(&entry["digest"]);
    assert_eq!(index["annotations"]["i"], "1");
    for (position, arm) in [(0, Value::Null), (1, Value::from("yes"))] {
        let descriptor = &index["manifests"][position];
        assert_eq!(descriptor["annotations"]["d"], "2");
        let manifest = blob(&descriptor["digest"]);
        assert_eq!(
            (&manifest["annotations"]["A.b"], &manifest["annotations"]["arm"]),
            (&Value::from("all"), &arm)
        );
    }
    let error = jettison.try_build(context.path(), &["--annotation", "index:a=b"]).fails(2);
    assert!(error.contains("there is no index"), "{error}");
}

#[test]
fn annotations_of_an_output_are_the_same() {
    let jettison = Jettison::new();
    let context = folder("FROM scratch\nCOPY f /\n", &[("f", "1")]);
    let digest = |args: &[&str]| jettison.build(context.path(), args);
    let by_flag = digest(&["--annotation", "manifest[linux/amd64]:a.B=c d", "--platform=linux/amd64"]);
    let by_output = digest(&[
        "--output",
        "type=image,annotation-manifest[linux/amd64].a.B=c d",
        "--platform=linux/amd64",
    ]);
    assert_eq!(by_flag, by_output);
    assert_ne!(by_flag, digest(&["--platform=linux/amd64"]));
    let error =
        jettison.try_build(context.path(), &["--output", "type=oci,dest=/dev/null,annotation-index.a=b"]);
    assert!(error.fails(2).contains("there is no index"));
}

#[test]
fn a_squashed_image_has_one_layer_and_always_the_same() {
    let context = folder(
        "FROM busybox\nRUN mkdir /d && echo 1 > /d/a\nRUN rm /d/a && echo 2 > /d/b\nCOPY f /d/\n",
        &[("f", "1")],
    );
    let squashed = |jettison: &Jettison| jettison.build(context.path(), &["--squash", "-t", "app"]);
    let jettison = Jettison::with_busybox();
    let digest = squashed(&jettison);
    assert_eq!(squashed(&Jettison::with_busybox()), digest);
    // On top of results of an ordinary build too.
    let other = Jettison::with_busybox();
    let plain = other.build(context.path(), &["-t", "plain"]);
    assert_ne!(plain, digest);
    assert_eq!(squashed(&other), digest);
    let layers =
        |name: &str| jettison.inspect(name)["config"]["rootfs"]["diff_ids"].as_array().unwrap().len();
    assert_eq!(layers("app"), layers("busybox") + 1);
    assert_eq!(jettison.run(&["run", "app", "ls", "/d"]).ok(), "b\nf");
    // What others read is what we have: unpacked anew from its layers, and as a base.
    let archive = context.path().join("app.tar");
    jettison.run(&["save", "-o", archive.to_str().unwrap(), "app"]).ok();
    let reader = Jettison::new();
    reader.run(&["load", "-q", "-i", archive.to_str().unwrap()]).ok();
    assert_eq!(reader.run(&["run", "app", "ls", "/d"]).ok(), "b\nf");
    let on_top = folder("FROM app\nRUN test ! -e /d/a && rm /d/b\n", &[]);
    reader.build(on_top.path(), &["--squash"]);
}

#[test]
fn flags_of_docker_are_taken_or_refused_by_name() {
    let jettison = Jettison::new();
    let context = folder("FROM scratch\nCOPY f /\n", &[("f", "1")]);
    let plain = jettison.build(context.path(), &[]);
    let built = jettison.try_build(context.path(), &["--build-arg", "BUILDKIT_INLINE_CACHE=1"]);
    assert!(built.stderr.contains("BUILDKIT_INLINE_CACHE is without effect"), "{}", built.stderr);
    assert_eq!(built.ok(), plain);
    let old = ["--rm=true", "--force-rm", "--no-cache=false", "--pull=true", "-m", "1g", "--cpu-quota=-1"];
    assert_eq!(jettison.build(context.path(), &old), plain);
    assert_eq!(jettison.build(context.path(), &["--squash", "--squash=false", "--builder=x", "-D"]), plain);
    for (flag, value) in [
        ("--resource", "pids=1"),
        ("--cgroup-parent", "../x"),
        ("--policy", "x.rego"),
        ("--cache-from", "x"),
        ("--cache-to", "type=inline"),
    ] {
        let error = jettison.try_build(context.path(), &[flag, value]).fails(2);
        assert!(error.contains(flag) && error.contains("hint") | error.contains("help"), "{error}");
    }
    let with_policy = Jettison::new().env("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY", "policy.json");
    let error = with_policy.try_build(context.path(), &[]).fails(2);
    assert!(error.contains("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY policy.json: No such file"), "{error}");
}

#[test]
fn a_policy_denies_sources_and_puts_others_in_their_place() {
    let policies = tempfile::tempdir().unwrap();
    let file = policies.path().join("policy.json");
    let jettison =
        Jettison::with_busybox().env("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY", file.to_str().unwrap());
    let rule = |action: &str, selector: &str, updates: &str| {
        let text = format!(
            r#"{{"rules": [{{"action": "{action}", "selector": {{"identifier": "{selector}"}}, "updates": {{"identifier": "{updates}"}}}}]}}"#
        );
        std::fs::write(&file, text).unwrap();
    };
    rule("ALLOW", "*", "");
    let other = folder("FROM scratch\nCOPY f /\n", &[("f", "other")]);
    jettison.build(other.path(), &["-t", "other:1"]);
    let of_other = jettison.build(folder("FROM other:1\nLABEL a=b\n", &[]).path(), &[]);
    let context = folder("FROM busybox\nLABEL a=b\n", &[]);
    assert_ne!(jettison.build(context.path(), &[]), of_other);
    rule("CONVERT", "docker-image://docker.io/library/busybox:*", "docker-image://docker.io/library/other:1");
    assert_eq!(jettison.build(context.path(), &[]), of_other);
    rule("DENY", "docker-image://*", "");
    let error = jettison.try_build(context.path(), &[]).fails(4);
    assert!(
        error.contains("Dockerfile:1:6") && error.contains("busybox:latest is denied by the policy"),
        "{error}"
    );
    rule("DENY", "https://*", "");
    let fetches = folder("FROM scratch\nADD https://example.invalid/f /\n", &[]);
    let error = jettison.try_build(fetches.path(), &[]).fails(4);
    assert!(error.contains("Dockerfile:2:5") && error.contains("is denied by the policy"), "{error}");
}

#[test]
fn a_step_that_needs_more_memory_than_it_may_have_fails_and_says_so() {
    let jettison = Jettison::with_busybox();
    let context = folder("FROM busybox\nRUN x=$(head -c 100000000 /dev/zero | tr '\\0' a); echo $?\n", &[]);
    let built = jettison.try_build(context.path(), &["--resource", "memory=24m"]);
    if built.stderr.contains("limit of memory is without effect") {
        eprintln!("skipped: no control groups: {}", built.stderr);
        return;
    }
    let error = built.fails(1);
    assert!(error.contains("for lack of memory"), "{error}");
    // The limit is no part of the key: what ran without it, or with more, is not run again.
    let context = folder("FROM busybox\nRUN echo 1 > /f\n", &[]);
    let digest = jettison.build(context.path(), &[]);
    let again = jettison.try_build(context.path(), &["-m", "64m", "--progress=plain"]);
    assert!(again.stderr.contains("CACHED"), "{}", again.stderr);
    assert_eq!(again.ok(), digest);
}

#[test]
fn what_a_failed_step_left_can_be_looked_at() {
    let jettison = Jettison::with_busybox().env("S", "hunter2");
    let context = folder(
        "FROM busybox\nENV A=b\nWORKDIR /w\nUSER app\nRUN --mount=type=secret,id=s,env=SECRET echo half > /tmp/f; exit 3\n",
        &[],
    );
    let args = ["--on-failure=keep", "--secret", "id=s,env=S", "-t", "app"];
    let error = jettison.try_build(context.path(), &args).fails(1);
    let name =
        error.split("jettison run ").nth(1).and_then(|rest| rest.split('`').next()).unwrap().to_owned();
    assert!(error.contains("exit code: 3") && name.starts_with("step:"), "{error}");
    let seen =
        jettison.run(&["run", &name, "sh", "-c", "cat /tmp/f; echo $A $(pwd) $(id -un) [$SECRET]"]).ok();
    assert_eq!(seen, "half\nb /w app []");
    jettison.run(&["inspect", "app"]).fails(4);
    let again = jettison.try_build(context.path(), &["--secret", "id=s,env=S"]).fails(1);
    assert!(!again.contains("kept"), "{again}");
    jettison.run(&["prune", "--all"]).ok();
    let gone = jettison.run(&["run", &name]);
    assert!(gone.stderr.contains("nothing was kept"), "{}", gone.stderr);
}

#[test]
fn proxies_of_dockers_configuration_reach_every_step() {
    let config = tempfile::tempdir().unwrap();
    let text = r#"{"proxies": {"default": {"httpProxy": "http://proxy:1", "noProxy": "here"}}}"#;
    std::fs::write(config.path().join("config.json"), text).unwrap();
    let jettison = Jettison::with_busybox().env("DOCKER_CONFIG", config.path().to_str().unwrap());
    let context = folder("FROM busybox\nRUN echo $HTTP_PROXY $http_proxy $NO_PROXY $no_proxy > /seen\n", &[]);
    let out = config.path().join("out");
    let output = out.to_str().unwrap();
    jettison.build(context.path(), &["-o", output, "--build-arg", "no_proxy=there"]);
    let seen = std::fs::read_to_string(out.join("seen")).unwrap();
    assert_eq!(seen, "http://proxy:1 http://proxy:1 there there\n");
}
