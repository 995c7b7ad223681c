//! ARG, `--build-arg`, the arguments that exist by themselves, and who wins.

use jettison_plan::{Action, Options, Run};

use crate::support::{errors, history, history_with, options, planned, planned_with, with_args};

/// The environment of the last RUN, without PATH.
fn environment(text: &str, options: &Options) -> String {
    last_run(text, options).env.into_iter().filter(|e| !e.starts_with("PATH=")).collect::<Vec<_>>().join(" ")
}

fn last_run(text: &str, options: &Options) -> Run {
    let plan = planned_with(text, options);
    let mut runs = plan.steps.into_iter().filter_map(|step| match step.action {
        Action::Run(run) => Some(run),
        _ => None,
    });
    runs.next_back().expect("a RUN")
}

#[test]
fn global_arguments_serve_from_and_arguments_without_a_value() {
    let text = "ARG V=1\nARG I=img:$V\nFROM $I\nARG V\nARG W\nARG E=\nRUN x\n";
    assert_eq!(planned(text).images[0].reference.familiar(), "img:1");
    assert_eq!(environment(text, &options()), "V=1 E=");
    assert_eq!(environment(text, &with_args(&[("V", "2"), ("W", "3")])), "V=2 W=3 E=");
    assert_eq!(environment("ARG V=1\nFROM a\nRUN x\n", &options()), "");
}

#[test]
fn a_given_value_beats_a_default_and_is_not_expanded() {
    let args = with_args(&[("A", "first"), ("A", "$B"), ("UNUSED", "x")]);
    assert_eq!(environment("FROM a\nARG B=1\nARG A=${C:?never}\nRUN x\n", &args), "B=1 A=$B");
}

#[test]
fn arguments_of_one_instruction_see_each_other_but_variables_do_not() {
    assert_eq!(environment("FROM a\nARG q1=1 q2=$q1\nRUN x\n", &options()), "q1=1 q2=1");
    assert_eq!(
        environment("FROM a\nENV abc=hello\nENV abc=bye def=$abc\nRUN x\n", &options()),
        "abc=bye def=hello"
    );
}

#[test]
fn the_last_definition_wins_for_run_and_the_variable_stays_in_the_config() {
    let text = "FROM a\nENV B=e\nARG B\nRUN x\n";
    let args = with_args(&[("B", "c")]);
    assert_eq!(environment(text, &args), "B=c");
    assert_eq!(planned_with(text, &args).target().config.config.env_value("B"), Some("e"));
    assert_eq!(environment("FROM a\nARG B=1\nENV B=2\nRUN x\n", &args), "B=2");
    // Also across stages.
    assert_eq!(environment("FROM a AS p\nENV B=e\nARG B\nFROM p\nRUN x\n", &args), "B=c");
}

#[test]
fn a_later_argument_without_a_value_keeps_the_value() {
    assert_eq!(environment("FROM a\nARG A=1\nARG A\nRUN x\n", &options()), "A=1");
}

#[test]
fn the_documented_idiom_for_defaults() {
    let text = "FROM a\nARG my_arg\nENV my_arg \"${my_arg:-def}\"\nRUN x\n";
    assert_eq!(environment(text, &options()), "my_arg=def");
    assert_eq!(environment(text, &with_args(&[("my_arg", "given")])), "my_arg=given");
}

#[test]
fn platform_arguments_have_to_be_declared_in_a_stage() {
    let text = "FROM a\nARG TARGETPLATFORM\nARG BUILDARCH TARGETVARIANT TARGETSTAGE\nRUN x\n";
    assert_eq!(
        environment(text, &options()),
        "TARGETPLATFORM=linux/amd64 BUILDARCH=amd64 TARGETVARIANT= TARGETSTAGE=default"
    );
    assert_eq!(environment("FROM a\nRUN x\n", &options()), "");
    let text = "FROM a AS b\nARG TARGETOS\nARG TARGETARCH=foo\nARG TARGETSTAGE\nRUN x\n";
    let args = with_args(&[("TARGETOS", "plan9")]);
    assert_eq!(environment(text, &args), "TARGETOS=plan9 TARGETARCH=foo TARGETSTAGE=b");
}

#[test]
fn the_epoch_is_an_argument_like_others() {
    let text = "FROM a\nARG SOURCE_DATE_EPOCH\nRUN x\n";
    assert_eq!(environment(text, &with_args(&[("SOURCE_DATE_EPOCH", "7")])), "SOURCE_DATE_EPOCH=7");
}

#[test]
fn proxies_need_no_declaration_and_are_kept_apart() {
    let args = with_args(&[("HTTP_PROXY", "h"), ("no_Proxy", "n"), ("ftp_proxy", "")]);
    let run = last_run("FROM a\nENV U=$HTTP_PROXY\nRUN x\n", &args);
    assert_eq!(run.proxy_env, ["HTTP_PROXY=h", "http_proxy=h", "NO_PROXY=n", "no_proxy=n"]);
    assert_eq!(run.env, ["PATH=/usr/bin", "U="]);
    let declared = last_run("FROM a\nARG HTTP_PROXY\nENV U=$HTTP_PROXY\nRUN x\n", &args);
    assert_eq!(declared.env, ["PATH=/usr/bin", "HTTP_PROXY=h", "U=h"]);
}

#[test]
fn attestation_arguments_never_enter_the_environment() {
    let text = "FROM a\nARG BUILDKIT_SBOM_SCAN_STAGE=true\nRUN x\n";
    assert_eq!(environment(text, &options()), "");
}

#[test]
fn histories_show_arguments_once_with_the_last_value() {
    let text = "FROM a\nARG A=1 B\nARG C\nRUN one\nARG A=2\nENV B=3\nRUN [\"two\", \"words\"]\n";
    insta::assert_snapshot!(history(text), @r#"
    - ARG A=1 B
    - ARG C
    * RUN |3 A=1 B= C= /bin/sh -c one # buildkit
    - ARG A=2
    - ENV B=3
    * RUN |3 A=2 B=3 C= two words # buildkit
    "#);
    let proxies = with_args(&[("HTTPS_PROXY", "secret")]);
    assert!(!history_with(text, &proxies).contains("secret"));
    insta::assert_snapshot!(history("FROM a AS p\nARG A=1\nFROM p\nARG B=2\nRUN x\n"), @r#"
    - ARG A=1
    - ARG B=2
    * RUN |2 A=1 B=2 /bin/sh -c x # buildkit
    "#);
}

#[test]
fn an_unused_global_default_is_evaluated_all_the_same() {
    insta::assert_snapshot!(errors("ARG FOO=${FOO:?\"custom error\"}\nFROM a\n"), @r#"
    1:9 [${FOO:?"custom error"}] expansion: FOO: custom error
    "#);
    planned_with("ARG FOO=${FOO:?\"custom error\"}\nFROM a\n", &with_args(&[("FOO", "1")]));
}
