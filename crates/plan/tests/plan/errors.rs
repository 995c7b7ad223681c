//! What is refused, where it is pointed at, and what is suggested.

use std::fmt::Write as _;

use crate::support::{dumped, errors, errors_with, options, planned};
use jettison_plan::Options;

#[test]
fn sources_that_are_not_there_yet() {
    insta::assert_snapshot!(errors("FROM a AS one\nCOPY --from=two x y\nFROM b AS two\nFROM one\n"), @r#"
    2:13 [two] stage: cannot copy from stage "two", it needs to be defined before current stage "one"
    "#);
    insta::assert_snapshot!(errors("FROM a AS one\nCOPY --from=one x y\n"), @"2:13 [one] stage: circular dependency detected on stage: one");
    insta::assert_snapshot!(errors("FROM a\nCOPY --from=7 x y\n"), @"2:13 [7] stage: invalid stage index 7");
    insta::assert_snapshot!(errors("FROM a\nCOPY --from=-1 x y\n"), @"2:13 [-1] stage: invalid stage index -1");
    insta::assert_snapshot!(errors("FROM a\nRUN --mount=from=late,target=/m x\nFROM b AS late\nFROM late\nCOPY --from=0 x y\n"), @r#"
    2:13 [from=late,target=/m] stage: cannot mount from stage "late" to "/m", stage needs to be defined before current command
    "#);
}

#[test]
fn names_that_are_no_images() {
    insta::assert_snapshot!(errors("FROM a AS build\nFROM scratch\nCOPY --from=Buidl/ x y\n"), @r#"
    3:13 [Buidl/] image: failed to parse stage name "Buidl/": invalid reference "Buidl/": the repository name has a character or separator that is not allowed (did you mean build?)
    "#);
    insta::assert_snapshot!(errors("FROM UPPER\n"), @r#"
    1:6 [UPPER] image: failed to parse stage name "UPPER": invalid reference "UPPER": the repository name must be lower case
    "#);
}

#[test]
fn a_blank_base() {
    insta::assert_snapshot!(errors("ARG VERSION=1\nFROM $VERSIO\n"), @"2:6 [$VERSIO] from: base name ($VERSIO) should not be blank (did you mean VERSION?)");
    insta::assert_snapshot!(errors("FROM $X\n"), @"1:6 [$X] from: base name ($X) should not be blank (FROM sees only ARGs that stand before the first FROM)");
}

#[test]
fn features_that_are_not_there_are_named() {
    insta::assert_snapshot!(errors("FROM a\nRUN --device=vendor.com/gpu x\n"), @"2:14 [vendor.com/gpu] unsupported: RUN --device is not supported: vendor.com/gpu");
}

#[test]
fn copy_takes_files_only() {
    insta::assert_snapshot!(errors("FROM a\nCOPY https://example.org/x /\n"), @"2:6 [https://example.org/x] copy: source can't be a URL for COPY (ADD fetches URLs and Git repositories)");
    insta::assert_snapshot!(errors("FROM a\nARG S=git://example.org/x\nCOPY $S /\n"), @"3:6 [$S] copy: source can't be a git ref for COPY (ADD fetches URLs and Git repositories)");
    insta::assert_snapshot!(errors("FROM a\nADD --checksum=sha256:0 x /\n"), @"2:16 [sha256:0] copy: checksum requires HTTP(S) or Git sources");
    insta::assert_snapshot!(errors("FROM a\nADD --checksum=sha256:0 x y /\n"), @"2:16 [sha256:0] copy: checksum can't be specified for multiple sources");
    insta::assert_snapshot!(errors("FROM a\nARG U=https://example.org/x\nADD --checksum=sha256:0 $U /\n"), @r#"3:16 [sha256:0] copy: invalid checksum "sha256:0""#);
    insta::assert_snapshot!(errors("FROM a\nADD https://example.org/x.git?depth=1 /\n"), @r#"2:5 [https://example.org/x.git?depth=1] copy: unexpected query "depth""#);
    insta::assert_snapshot!(errors("FROM a\nCOPY <<a/b /\nEOF\na/b\n"), @"2:6 [<<a/b] copy: the name of a heredoc is a file name, it must not contain a slash: a/b");
}

#[test]
fn values_out_of_range() {
    insta::assert_snapshot!(errors("FROM a\nCOPY --chmod=64a x /\n"), @"2:14 [64a] value: invalid chmod parameter: '64a'. it should be octal string and between 0 and 07777");
    insta::assert_snapshot!(errors("FROM a\nARG M=u=z\nCOPY --chmod=$M x /\n"), @"3:14 [$M] value: invalid chmod parameter: 'u=z': invalid syntax");
    insta::assert_snapshot!(errors("FROM a\nEXPOSE 80/icmp\n"), @"2:8 [80/icmp] value: invalid proto: icmp");
    insta::assert_snapshot!(errors("FROM a\nSTOPSIGNAL SIGTREM\n"), @"2:12 [SIGTREM] value: invalid signal: SIGTREM (did you mean SIGTERM?)");
    insta::assert_snapshot!(errors("FROM a\nVOLUME $X\n"), @"2:8 [$X] value: VOLUME specified can not be an empty string");
    insta::assert_snapshot!(errors("FROM a\nENV $X=1\n"), @"2:5 [$X] value: names can not be blank");
    insta::assert_snapshot!(errors("FROM a\nRUN []\n"), @"2:1 [RUN []] value: RUN needs a command");
}

#[test]
fn an_expansion_that_asks_for_a_value() {
    insta::assert_snapshot!(errors("FROM a\nARG V\nWORKDIR ${V:?say which}\n"), @"3:9 [${V:?say which}] expansion: V: say which");
    insta::assert_snapshot!(errors("ARG V=\"${W:?say which}\"\nFROM a\n"), @r#"
    1:7 ["${W:?say which}"] expansion: W: say which
    "#);
}

#[test]
fn all_mistakes_are_reported_at_once_in_order_of_place() {
    insta::assert_snapshot!(errors("FROM a AS b\nEXPOSE x\nSTOPSIGNAL x\nFROM c\nCOPY --from=b x y\nEXPOSE y\n"), @r#"
    2:8 [x] value: invalid containerPort: x
    3:12 [x] value: invalid signal: x
    6:8 [y] value: invalid containerPort: y
    "#);
}

#[test]
fn mistakes_are_reported_before_images_are_asked_for() {
    // The support code answers wishes for images; here it must not come to that.
    let parsed =
        jettison_dockerfile::parse(b"FROM a AS b\nRUN x\nFROM scratch\nCOPY --from=b x y\nEXPOSE x\n");
    let result = jettison_plan::plan(&parsed.dockerfile, &options(), &jettison_plan::Images::default());
    assert!(result.is_err());
}

#[test]
fn a_value_that_doubles_itself_is_stopped() {
    let mut text = "FROM a\nENV v0=0123456789abcdef\n".to_owned();
    for n in 0..40 {
        writeln!(text, "ENV v{}=$v{n}$v{n}", n + 1).unwrap();
    }
    insta::assert_snapshot!(errors(&text).lines().next().unwrap(), @"19:9 [$v16$v16] expansion: the variables of this word hold more than 1048576 bytes");
}

#[test]
fn no_stage_at_all() {
    let empty = jettison_dockerfile::Dockerfile::default();
    let errors =
        jettison_plan::plan(&empty, &Options::default(), &jettison_plan::Images::default()).unwrap_err();
    assert_eq!(errors[0].message, "dockerfile contains no stages to build");
}

#[test]
fn an_unknown_target_is_an_error_even_if_the_file_is_fine() {
    let options = Options { target: Some("x".into()), ..options() };
    insta::assert_snapshot!(errors_with("FROM a AS completely-different\n", &options), @r#"
    1:1 [] target: target stage "x" could not be found
    "#);
    assert_eq!(planned("FROM a AS x\n").target().name.as_deref(), Some("x"));
    assert!(dumped("FROM a AS x\n").starts_with("platform"));
}
