//! FROM, stage names, targets, pruning, platforms, named contexts.

use std::collections::BTreeMap;

use jettison_oci::{ImageConfig, Platform};
use jettison_plan::{Fs, NamedContext, Options};

use crate::support::{
    amd64, base, document, dumped, dumped_with, errors, errors_with, names, options, planned, planned_with,
    try_plan_with,
};

#[test]
fn the_founding_example() {
    insta::assert_snapshot!(dumped("FROM golang:1.11 as build\nADD . /app\nWORKDIR /app\nRUN go build -o /myserver .\nFROM scratch\nCOPY --from=build /myserver /myserver\nEXPOSE 8080\nCMD [\"/myserver\"]\n"), @r#"
    platform linux/amd64
    image 0: docker.io/library/golang:1.11 linux/amd64
    stage 0 build: image 0 -> step 2
      step 0 on image 0: [build 2/4] ADD . /app
        ["."] of context -> "/app"
        unpack
      step 1 on step 0: [build 3/4] WORKDIR /app
        make /app for ""
      step 2 on step 1: [build 4/4] RUN go build -o /myserver .
        argv ["/bin/sh", "-c", "go build -o /myserver ."]
        env ["PATH=/usr/bin"]
        in /app as ""
      history 0: ADD . /app # buildkit
      history 1: WORKDIR /app
      history 2: RUN /bin/sh -c go build -o /myserver . # buildkit
    stage 1: scratch -> step 3
      step 3 on scratch: [stage-1 1/1] COPY --from=build /myserver /myserver
        ["/myserver"] of step 2 -> "/myserver"
      history 3: COPY /myserver /myserver # buildkit
      history -: EXPOSE [8080/tcp]
      history -: CMD ["/myserver"]
    "#);
}

#[test]
fn a_single_nameless_stage_is_not_named_in_steps() {
    insta::assert_snapshot!(names("FROM a\nRUN one\nRUN two\n"), @r#"
    [2/3] RUN one
    [3/3] RUN two
    "#);
    insta::assert_snapshot!(names("FROM scratch\nCOPY a /a\nCOPY b /b\n"), @r#"
    [1/2] COPY a /a
    [2/2] COPY b /b
    "#);
    insta::assert_snapshot!(names("FROM a\nCOPY --from=b x y\n"), @"[stage-0 2/2] COPY --from=b x y");
    insta::assert_snapshot!(names("FROM a\nRUN --mount=type=cache,target=/c x\n"), @"[stage-0 2/2] RUN --mount=type=cache,target=/c x");
}

#[test]
fn numbers_are_padded_to_the_last_one() {
    let text = format!("FROM a AS b\n{}", "RUN x\n".repeat(10));
    let plan = planned(&text);
    assert_eq!(plan.steps[0].name, "[b  2/11] RUN x");
    assert_eq!(plan.steps[9].name, "[b 11/11] RUN x");
}

#[test]
fn scratch_has_a_path_and_a_working_directory() {
    insta::assert_snapshot!(document(&planned("FROM scratch\n")), @r#"
    {
      "architecture": "amd64",
      "config": {
        "Env": [
          "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        ],
        "WorkingDir": "/"
      },
      "os": "linux",
      "rootfs": {
        "diff_ids": [],
        "type": "layers"
      }
    }
    "#);
}

#[test]
fn a_base_keeps_what_it_says_and_gets_a_path() {
    let config = |_: &str| {
        let mut config = base();
        config.config.env = vec!["A=1".into()];
        config.config.user = "app".into();
        config.author = Some("me".into());
        config.extra.insert("moby.buildkit.cache.v0".into(), "x".into());
        config.extra.insert("vendor".into(), 1.into());
        config.os_version = Some("9".into());
        config
    };
    let plan = try_plan_with("FROM a\n", &options(), &config).unwrap();
    insta::assert_snapshot!(document(&plan), @r#"
    {
      "architecture": "amd64",
      "author": "me",
      "config": {
        "Env": [
          "A=1",
          "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        ],
        "User": "app"
      },
      "history": [
        {
          "created_by": "base"
        }
      ],
      "os": "linux",
      "os.version": "9",
      "rootfs": {
        "diff_ids": [],
        "type": "layers"
      },
      "vendor": 1
    }
    "#);
}

#[test]
fn a_base_without_layers_is_scratch() {
    let empty = |_: &str| {
        let mut config =
            ImageConfig { architecture: "amd64".into(), os: "linux".into(), ..ImageConfig::default() };
        config.config.labels.insert("a".into(), "b".into());
        config
    };
    let plan = try_plan_with("FROM a\nCOPY x /\n", &options(), &empty).unwrap();
    assert_eq!(plan.target().base, Fs::Scratch);
    assert_eq!(plan.images, []);
    assert_eq!(plan.steps[0].name, "[1/1] COPY x /");
    assert_eq!(plan.target().config.config.labels["a"], "b");
}

#[test]
fn only_what_the_target_needs_is_planned() {
    let text = "FROM base-image AS base\nFROM other AS unused\nCOPY --from=7 a b\nEXPOSE nonsense\nADD https://x/y z\nFROM base AS left\nRUN l\nFROM base AS right\nRUN r\nFROM scratch\nCOPY --from=left /l /\n";
    insta::assert_snapshot!(dumped(text), @r#"
    platform linux/amd64
    image 0: docker.io/library/base-image:latest linux/amd64
    stage 0 base: image 0 -> image 0
    stage 2 left: image 0 -> step 0
      step 0 on image 0: [left 1/1] RUN l
        argv ["/bin/sh", "-c", "l"]
        env ["PATH=/usr/bin"]
        in / as ""
      history 0: RUN /bin/sh -c l # buildkit
    stage 4: scratch -> step 1
      step 1 on scratch: [stage-4 1/1] COPY --from=left /l /
        ["/l"] of step 0 -> "/"
      history 1: COPY /l / # buildkit
    "#);
    let right = Options { target: Some("RIGHT".into()), ..options() };
    let plan = planned_with(text, &right);
    assert_eq!(plan.stages.iter().map(|s| s.index).collect::<Vec<_>>(), [0, 3]);
    assert_eq!(plan.steps.len(), 1);
    let number = Options { target: Some("2".into()), ..options() };
    assert_eq!(planned_with(text, &number).target().name.as_deref(), Some("left"));
}

#[test]
fn a_mistyped_target_is_named_with_its_neighbour() {
    let target = Options { target: Some("biuld".into()), ..options() };
    insta::assert_snapshot!(errors_with("FROM a AS build\nFROM b AS test\n", &target), @r#"
    1:1 [] target: target stage "biuld" could not be found (did you mean build?)
    "#);
}

#[test]
fn of_stages_with_one_name_the_last_counts_for_copy_and_the_nearest_before_for_from() {
    let text = "FROM a AS x\nRUN 1\nFROM b AS x\nRUN 2\nFROM x\nCOPY --from=x a b\n";
    let plan = planned(text);
    assert_eq!(plan.stages.iter().map(|s| s.index).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(plan.images.len(), 1);
    // A stage is no base of itself: here FROM means the image.
    let plan = planned("FROM x AS x\nRUN 1\n");
    assert_eq!(plan.images[0].reference.familiar(), "x:latest");
}

#[test]
fn stage_names_ignore_case_but_not_in_from() {
    let plan = planned("FROM a AS Build\nRUN x\nFROM scratch\nCOPY --from=BUILD a b\n");
    assert_eq!(plan.stages.len(), 2);
    insta::assert_snapshot!(errors("FROM a AS Build\nFROM Build\n"), @r#"
    2:6 [Build] image: failed to parse stage name "Build": invalid reference "Build": the repository name must be lower case (did you mean build?)
    "#);
}

#[test]
fn a_child_stage_has_the_config_and_the_history_of_its_parent() {
    let text = "FROM a AS one\nARG V=1\nENV E=$V\nWORKDIR /w\nUSER u\nSHELL [\"/s\"]\nCMD x\nLABEL l=1\nRUN first\nFROM one\nRUN second\nENTRYPOINT [\"e\"]\n";
    insta::assert_snapshot!(dumped(text), @r#"
    platform linux/amd64
    image 0: docker.io/library/a:latest linux/amd64
    stage 0 one: image 0 -> step 1
      step 0 on image 0: [one 2/3] WORKDIR /w
        make /w for ""
      step 1 on step 0: [one 3/3] RUN first
        argv ["/s", "first"]
        env ["PATH=/usr/bin", "V=1", "E=1"]
        in /w as "u"
      history -: ARG V=1
      history -: ENV E=1
      history 0: WORKDIR /w
      history -: USER u
      history -: SHELL [/s]
      history -: CMD ["/s" "x"]
      history -: LABEL l=1
      history 1: RUN |1 V=1 /s first # buildkit
    stage 1: step 1 -> step 2
      step 2 on step 1: [stage-1 1/1] RUN second
        argv ["/s", "second"]
        env ["PATH=/usr/bin", "V=1", "E=1"]
        in /w as "u"
      history -: ARG V=1
      history -: ENV E=1
      history 0: WORKDIR /w
      history -: USER u
      history -: SHELL [/s]
      history -: CMD ["/s" "x"]
      history -: LABEL l=1
      history 1: RUN |1 V=1 /s first # buildkit
      history 2: RUN |1 V=1 /s second # buildkit
      history -: ENTRYPOINT ["e"]
    "#);
}

#[test]
fn a_stage_without_instructions_is_its_base() {
    let plan = planned("FROM a\n");
    assert_eq!(plan.target().result, Fs::Image(0));
    assert_eq!(plan.steps, []);
}

#[test]
fn platforms_of_stages() {
    let arm: Platform = "linux/arm64".parse().unwrap();
    let options = Options { platform: Some(arm), ..options() };
    let text = "FROM --platform=$BUILDPLATFORM go AS b\nARG TARGETARCH\nRUN x $TARGETARCH\nFROM --platform=linux/arm/v7 c AS c\nFROM d\nCOPY --from=b x y\nCOPY --from=c x y\n";
    insta::assert_snapshot!(dumped_with(text, &options), @r#"
    platform linux/arm64
    image 0: docker.io/library/go:latest linux/amd64
    image 1: docker.io/library/c:latest linux/arm/v7
    image 2: docker.io/library/d:latest linux/arm64
    stage 0 b: image 0 -> step 0
      step 0 on image 0: [b 2/2] RUN x arm64
        argv ["/bin/sh", "-c", "x $TARGETARCH"]
        env ["PATH=/usr/bin", "TARGETARCH=arm64"]
        in / as ""
      history -: ARG TARGETARCH=arm64
      history 0: RUN |1 TARGETARCH=arm64 /bin/sh -c x $TARGETARCH # buildkit
    stage 1 c: image 1 -> image 1
    stage 2: image 2 -> step 2
      step 1 on image 2: [stage-2 2/3] COPY --from=b x y
        ["x"] of step 0 -> "/y"
      step 2 on step 1: [stage-2 3/3] COPY --from=c x y
        ["x"] of image 1 -> "/y"
      history 1: COPY x y # buildkit
      history 2: COPY x y # buildkit
    "#);
    insta::assert_snapshot!(errors("FROM --platform=$NOPE a\n"), @"1:17 [$NOPE] from: empty platform value from expression $NOPE (FROM sees only ARGs that stand before the first FROM)");
    insta::assert_snapshot!(errors("FROM --platform=linux/a/b/c/d a\n"), @r#"
    1:17 [linux/a/b/c/d] from: failed to parse platform linux/a/b/c/d: invalid platform "linux/a/b/c/d": expected os/architecture[/variant], such as linux/amd64
    "#);
}

#[test]
fn scratch_has_the_platform_of_the_result() {
    let plan = planned("FROM --platform=linux/s390x scratch\n");
    assert_eq!(plan.target().config.architecture, "amd64");
}

#[test]
fn without_a_wish_the_platform_of_the_base_stays() {
    let config = |_: &str| ImageConfig { variant: Some("v9".into()), ..base() };
    let unasked = Options { platform: None, ..options() };
    let plan = try_plan_with("FROM a\n", &unasked, &config).unwrap();
    assert_eq!(plan.target().config.variant.as_deref(), Some("v9"));
    let asked = Options { platform: Some(amd64()), ..options() };
    let plan = try_plan_with("FROM a\n", &asked, &config).unwrap();
    assert_eq!(plan.target().config.variant, None);
}

fn with_contexts(contexts: &[(&str, NamedContext)]) -> Options {
    let contexts: BTreeMap<String, NamedContext> =
        contexts.iter().map(|(name, context)| ((*name).to_owned(), context.clone())).collect();
    Options { contexts, ..options() }
}

#[test]
fn a_named_context_replaces_a_stage_and_an_image() {
    let image = NamedContext::Image("other:1".parse().unwrap());
    let text = "FROM golang:1.11 AS build\nRUN never\nFROM alpine\nCOPY --from=build a /\nCOPY --from=tools:latest b /\nRUN --mount=from=build,target=/m x\n";
    let options = with_contexts(&[
        ("build", NamedContext::Folder),
        ("alpine", image),
        ("tools", NamedContext::Scratch),
    ]);
    insta::assert_snapshot!(dumped_with(text, &options), @r#"
    platform linux/amd64
    image 0: docker.io/library/other:1 linux/amd64
    stage 1: image 0 -> step 2
      step 0 on image 0: [stage-1 2/4] COPY --from=build a /
        ["a"] of context build -> "/"
      step 1 on step 0: [stage-1 3/4] COPY --from=tools:latest b /
        ["b"] of scratch -> "/"
      step 2 on step 1: [stage-1 4/4] RUN --mount=from=build,target=/m x
        argv ["/bin/sh", "-c", "x"]
        env ["PATH=/usr/bin"]
        in / as ""
        mount "/m": bind / of context build
      history 0: COPY a / # buildkit
      history 1: COPY b / # buildkit
      history 2: RUN /bin/sh -c x # buildkit
    "#);
}

#[test]
fn a_folder_as_a_base_is_copied_first() {
    let options = with_contexts(&[("src", NamedContext::Folder)]);
    insta::assert_snapshot!(dumped_with("FROM src AS b\nRUN x\n", &options), @r#"
    platform linux/amd64
    stage 0 b: scratch -> step 1
      step 0 on scratch: [b 1/2] FROM context src
        ["/"] of context src -> "/"
      step 1 on step 0: [b 2/2] RUN x
        argv ["/bin/sh", "-c", "x"]
        env ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        in / as ""
      history 0: COPY context src / # buildkit
      history 1: RUN /bin/sh -c x # buildkit
    "#);
    let replaced = with_contexts(&[("b", NamedContext::Folder)]);
    let plan = planned_with("FROM a AS b\nRUN never\nFROM b\nRUN x\n", &replaced);
    assert_eq!(plan.steps.len(), 2);
    assert_eq!(plan.images, []);
}

#[test]
fn a_named_context_for_one_platform_wins_over_the_general_one() {
    let general = NamedContext::Image("general".parse().unwrap());
    let special = NamedContext::Image("special".parse().unwrap());
    let options = with_contexts(&[("a", general), ("a::linux/amd64", special)]);
    assert_eq!(planned_with("FROM a:latest\n", &options).images[0].reference.familiar(), "special:latest");
    let options = with_contexts(&[("scratch", NamedContext::Folder)]);
    assert_eq!(planned_with("FROM scratch\n", &options).steps, []);
}

#[test]
fn an_image_used_twice_is_needed_once() {
    let plan = planned(
        "FROM a AS x\nFROM a\nCOPY --from=x a b\nCOPY --from=a:latest a b\nCOPY --from=docker.io/library/a a b\n",
    );
    assert_eq!(plan.images.len(), 1);
}

/// Each stage inherits all that the ones below it said; keeping that of all of them took a gigabyte for 2,000 stages.
#[test]
fn thousands_of_stages_upon_each_other_cost_no_more_than_their_lines() {
    let mut text = "FROM scratch AS s0\n".to_owned();
    for number in 1..1000 {
        text.push_str(&format!("FROM s{} AS s{number}\nLABEL l{number}=v\n", number - 1));
    }
    let plan = planned(&text);
    let (target, others) = plan.stages.split_last().unwrap();
    assert_eq!((target.config.config.labels.len(), target.history.len()), (999, 999));
    assert!(others.iter().all(|stage| stage.history.is_empty()), "nobody looks at these");
    // Several stages on one: the first of them takes nothing away from the others.
    let text = format!("FROM scratch AS a\nLABEL a=b\n{}", "FROM a\nLABEL c=d\n".repeat(300));
    assert_eq!(planned(&text).target().config.config.labels.len(), 2);
    let mut text = "FROM scratch AS a\nLABEL a=b\n".to_owned();
    for number in 0..300 {
        text.push_str(&format!("FROM a AS b{number}\nCOPY f /\n"));
    }
    text.push_str("FROM a\n");
    for number in 0..300 {
        text.push_str(&format!("COPY --from=b{number} /f /f{number}\n"));
    }
    assert_eq!(planned(&text).target().config.config.labels.len(), 1);
}
