//! Outlines: what a target takes, as in BuildKit's `dockerfile_outline_test.go`.

use jettison_dockerfile::source::LineIndex;
use jettison_plan::survey::outline;
use jettison_plan::{Images, Options};

use crate::support::{options, with_args};

/// The outline as text, one line for each thing, with its line number.
fn shown(text: &str, options: &Options) -> String {
    let parsed = jettison_dockerfile::parse(text.as_bytes());
    assert!(!parsed.has_errors(), "{:?}", parsed.diagnostics);
    let outline = outline(&parsed.dockerfile, options, &Images::default()).expect("there is such a target");
    let lines = LineIndex::new(text);
    let line = |span: jettison_dockerfile::Span| lines.position(span.start).0;
    let mut all = vec![format!("target {:?} {:?}", outline.name, outline.description)];
    let argument = |argument: jettison_plan::survey::Argument| {
        format!(
            "{} arg {}={:?} {:?}",
            line(argument.span),
            argument.name,
            argument.value,
            argument.description
        )
    };
    all.extend(outline.arguments.into_iter().map(argument));
    all.extend(outline.secrets.iter().map(|s| format!("{} secret {} {}", line(s.span), s.id, s.required)));
    all.extend(outline.agents.iter().map(|s| format!("{} ssh {} {}", line(s.span), s.id, s.required)));
    all.join("\n")
}

#[test]
fn arguments() {
    let text = "ARG inherited=box\nARG inherited2=box2\nARG unused=abc${inherited2}\n# sfx is a suffix\n\
                ARG sfx=\"usy${inherited}\"\n\nFROM b${sfx} AS first\n# this is not assigned to anything\nARG FOO=123\n\
                # BAR is a number\nARG BAR=456\nRUN true\n\nFROM alpine${unused} AS second\nARG BAZ\nRUN true\n\n\
                FROM scratch AS third\nARG ABC=a\n\n# target defines build target\nFROM third AS target\n\
                COPY --from=first /etc/passwd /\n\nFROM second\n";
    let options = Options { target: Some("target".to_owned()), ..with_args(&[("BAR", "678")]) };
    insta::assert_snapshot!(shown(text, &options), @r#"
    target Some("target") Some("defines build target")
    1 arg inherited=Some("box") None
    5 arg sfx=Some("usybox") Some("is a suffix")
    9 arg FOO=Some("123") None
    11 arg BAR=Some("678") Some("is a number")
    19 arg ABC=Some("a") None
    "#);
}

#[test]
fn secrets_and_agents() {
    let text = "FROM busybox AS first\n\
                RUN --mount=type=secret,target=/etc/passwd,required=true --mount=type=ssh true\n\nFROM alpine AS second\n\
                RUN --mount=type=secret,id=unused --mount=type=ssh,id=ssh2 true\n\nFROM scratch AS third\nARG BAR\n\
                RUN --mount=type=secret,id=second${BAR} true\n\nFROM third AS target\nCOPY --from=first /foo /\n\
                RUN --mount=type=ssh,id=ssh3,required true\n\nFROM second\n";
    let options = Options { target: Some("target".to_owned()), ..with_args(&[("BAR", "678")]) };
    insta::assert_snapshot!(shown(text, &options), @r#"
    target Some("target") None
    8 arg BAR=Some("678") None
    2 secret passwd true
    9 secret second678 false
    2 ssh default false
    13 ssh ssh3 true
    "#);
}

#[test]
fn globals_through_a_stage() {
    let text = "# G about G\nARG G=1\nARG H=2\nFROM scratch\nARG G\nARG H=3\nARG TARGETARCH\nARG NEW\n";
    insta::assert_snapshot!(shown(text, &options()), @r#"
    target None None
    2 arg G=Some("1") Some("about G")
    6 arg H=Some("3") None
    8 arg NEW=None None
    "#);
}

#[test]
fn an_unknown_target() {
    let file = jettison_dockerfile::parse(b"FROM a AS builder\n").dockerfile;
    let options = Options { target: Some("bilder".to_owned()), ..options() };
    let error = outline(&file, &options, &Images::default()).unwrap_err();
    assert_eq!(error.hint.as_deref(), Some("did you mean builder?"));
}
