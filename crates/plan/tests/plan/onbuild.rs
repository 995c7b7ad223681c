//! Triggers of bases: when they run, where, and what they bring along.

use jettison_dockerfile::Diagnostic;
use jettison_oci::ImageConfig;
use jettison_plan::dump::dump;

use crate::support::{base, dumped, options, rendered, try_plan_with};

/// Images called `trigger` carry the triggers.
fn with_triggers(triggers: &'static [&'static str]) -> impl Fn(&str) -> ImageConfig {
    move |name| {
        let mut config = base();
        if name.starts_with("trigger") {
            config.config.on_build = triggers.iter().map(|t| (*t).to_owned()).collect();
        }
        config
    }
}

fn outcome(text: &str, triggers: &'static [&'static str]) -> String {
    let result: Result<_, Vec<Diagnostic>> = try_plan_with(text, &options(), &with_triggers(triggers));
    result.map_or_else(|errors| rendered(text, &errors), |plan| dump(&plan))
}

#[test]
fn triggers_of_an_image_run_behind_from_and_are_gone() {
    let out = outcome("FROM trigger\nRUN own\n", &["COPY . /app", "ENV A=1", "RUN build $A"]);
    insta::assert_snapshot!(out, @r#"
    platform linux/amd64
    image 0: docker.io/library/trigger:latest linux/amd64
    stage 0: image 0 -> step 2
      step 0 on image 0: [2/4] ONBUILD COPY . /app
        ["."] of context -> "/app"
      step 1 on step 0: [3/4] ONBUILD RUN build 1
        argv ["/bin/sh", "-c", "build $A"]
        env ["PATH=/usr/bin", "A=1"]
        in / as ""
      step 2 on step 1: [4/4] RUN own
        argv ["/bin/sh", "-c", "own"]
        env ["PATH=/usr/bin", "A=1"]
        in / as ""
      history 0: COPY . /app # buildkit
      history -: ENV A=1
      history 1: RUN /bin/sh -c build $A # buildkit
      history 2: RUN /bin/sh -c own # buildkit
    "#);
    let plan = try_plan_with("FROM trigger\n", &options(), &with_triggers(&["ENV A=1"])).unwrap();
    assert!(plan.target().config.config.on_build.is_empty());
}

#[test]
fn triggers_of_a_stage_run_in_its_children_only() {
    let text = "FROM a AS one\nONBUILD RUN triggered\nFROM one AS two\nRUN own\nFROM two\nRUN last\n";
    insta::assert_snapshot!(dumped(text), @r#"
    platform linux/amd64
    image 0: docker.io/library/a:latest linux/amd64
    stage 0 one: image 0 -> image 0
    stage 1 two: image 0 -> step 1
      step 0 on image 0: [two 1/2] ONBUILD RUN triggered
        argv ["/bin/sh", "-c", "triggered"]
        env ["PATH=/usr/bin"]
        in / as ""
      step 1 on step 0: [two 2/2] RUN own
        argv ["/bin/sh", "-c", "own"]
        env ["PATH=/usr/bin"]
        in / as ""
      history 0: RUN /bin/sh -c triggered # buildkit
      history 1: RUN /bin/sh -c own # buildkit
    stage 2: step 1 -> step 2
      step 2 on step 1: [stage-2 1/1] RUN last
        argv ["/bin/sh", "-c", "last"]
        env ["PATH=/usr/bin"]
        in / as ""
      history 0: RUN /bin/sh -c triggered # buildkit
      history 1: RUN /bin/sh -c own # buildkit
      history 2: RUN /bin/sh -c last # buildkit
    "#);
}

#[test]
fn a_trigger_brings_in_a_stage_and_an_image() {
    let text = "FROM a AS helper\nRUN help\nFROM trigger\n";
    let triggers =
        &["COPY --from=helper x /", "COPY --from=other y /", "RUN --mount=from=helper,target=/h z"];
    insta::assert_snapshot!(outcome(text, triggers), @r#"
    platform linux/amd64
    image 0: docker.io/library/a:latest linux/amd64
    image 1: docker.io/library/trigger:latest linux/amd64
    image 2: docker.io/library/other:latest linux/amd64
    stage 0 helper: image 0 -> step 0
      step 0 on image 0: [helper 2/2] RUN help
        argv ["/bin/sh", "-c", "help"]
        env ["PATH=/usr/bin"]
        in / as ""
      history 0: RUN /bin/sh -c help # buildkit
    stage 1: image 1 -> step 3
      step 1 on image 1: [stage-1 2/4] ONBUILD COPY --from=helper x /
        ["x"] of step 0 -> "/"
      step 2 on step 1: [stage-1 3/4] ONBUILD COPY --from=other y /
        ["y"] of image 2 -> "/"
      step 3 on step 2: [stage-1 4/4] ONBUILD RUN --mount=from=helper,target=/h z
        argv ["/bin/sh", "-c", "z"]
        env ["PATH=/usr/bin"]
        in / as ""
        mount "/h": bind / of step 0
      history 1: COPY x / # buildkit
      history 2: COPY y / # buildkit
      history 3: RUN /bin/sh -c z # buildkit
    "#);
}

#[test]
fn a_trigger_brings_in_a_stage_on_a_base_with_triggers() {
    let text = "FROM trigger-two AS helper\nFROM trigger\nCOPY --from=helper a /\n";
    let config_of = |name: &str| {
        let mut config = base();
        config.config.on_build = match name {
            "trigger:latest" => vec!["RUN one".to_owned()],
            "trigger-two:latest" => vec!["RUN two".to_owned()],
            _ => Vec::new(),
        };
        config
    };
    let plan = try_plan_with(text, &options(), &config_of).unwrap();
    let names: Vec<&str> = plan.steps.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "[helper 2/2] ONBUILD RUN two",
            "[stage-1 2/3] ONBUILD RUN one",
            "[stage-1 3/3] COPY --from=helper a /"
        ]
    );
}

#[test]
fn mistakes_in_triggers_point_to_the_from_that_brought_them() {
    insta::assert_snapshot!(outcome("FROM a\nFROM trigger\n", &["FOO x"]), @r#"
    2:1 [FROM trigger] unknown-instruction: ONBUILD trigger "FOO x" of the base: unknown instruction: FOO (did you mean FROM?)
    "#);
    insta::assert_snapshot!(outcome("FROM trigger\n", &["EXPOSE x"]), @r#"
    1:1 [FROM trigger] value: ONBUILD trigger "EXPOSE x" of the base: invalid containerPort: x
    "#);
    insta::assert_snapshot!(outcome("FROM trigger\n", &["ONBUILD RUN x"]), @r#"
    1:1 [FROM trigger] onbuild: ONBUILD trigger "ONBUILD RUN x" of the base: ONBUILD isn't allowed as an ONBUILD trigger
    "#);
    insta::assert_snapshot!(outcome("FROM trigger\n", &["COPY --from=5 a b"]), @r#"
    1:1 [FROM trigger] stage: ONBUILD trigger "COPY --from=5 a b" of the base: invalid stage index 5
    "#);
    insta::assert_snapshot!(outcome("FROM trigger\n", &["FROM x"]), @r#"
    1:1 [FROM trigger] onbuild: ONBUILD trigger "FROM x" of the base: FROM isn't allowed as an ONBUILD trigger
    "#);
    insta::assert_snapshot!(outcome("FROM trigger\n", &["RUN a\nRUN b"]), @r#"
    1:1 [FROM trigger] onbuild: ONBUILD trigger "RUN a\nRUN b" of the base: onbuild trigger should be a single expression
    "#);
}

#[test]
fn a_heredoc_in_a_trigger() {
    insta::assert_snapshot!(outcome("FROM trigger\n", &["COPY <<EOF /x\nhello\nEOF"]), @r#"
    platform linux/amd64
    image 0: docker.io/library/trigger:latest linux/amd64
    stage 0: image 0 -> step 0
      step 0 on image 0: [2/2] ONBUILD COPY <<EOF /x
        [] of context -> "/x"
        inline EOF "hello\n"
      history 0: COPY <<EOF /x # buildkit
    "#);
}
