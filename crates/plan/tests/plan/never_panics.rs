//! Whatever the parser makes of any text, planning it ends with a plan, a wish or errors with places inside it.

use std::fmt::Write as _;

use jettison_plan::{Images, Options, Outcome, dump, plan};
use proptest::prelude::*;

use crate::support::{base, options};

fn plan_anything(text: &str, options: &Options) {
    let parsed = jettison_dockerfile::parse(text.as_bytes());
    let mut images = Images::default();
    for _ in 0..16 {
        match plan(&parsed.dockerfile, options, &images) {
            Ok(Outcome::Ready(plan)) => {
                for (id, step) in plan.steps.iter().enumerate() {
                    assert!(step.stage < plan.stages.len());
                    assert!(!step.name.contains('\n'));
                    assert!(!matches!(step.input, jettison_plan::Fs::Step(input) if input >= id));
                }
                assert!(!dump::dump(&plan).is_empty());
                return;
            }
            Ok(Outcome::NeedsImages(wanted)) => {
                for (n, image) in wanted.into_iter().enumerate() {
                    let mut config = base();
                    if n % 2 == 1 {
                        config.config.on_build = vec!["COPY --from=0 a b".into(), "nonsense".into()];
                    }
                    images.insert(image.reference, image.platform, config);
                }
            }
            Err(errors) => {
                assert!(!errors.is_empty());
                for error in errors {
                    assert!(error.span.end <= text.len().max(error.span.start), "{error:?}");
                }
                return;
            }
        }
    }
    panic!("no end of wishes");
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,3}",
        Just("$a".to_owned()),
        Just("${b:-x y}".to_owned()),
        Just("${c:?no}".to_owned()),
        Just("\"".to_owned()),
        Just("..".to_owned()),
        Just("/".to_owned()),
        Just("0".to_owned()),
        Just("[\"a\"]".to_owned()),
        Just("a=b".to_owned()),
        Just("80-90/udp".to_owned()),
        Just("https://x/y".to_owned()),
        Just("<<EOF".to_owned()),
        Just("EOF".to_owned()),
        Just("--from=a".to_owned()),
        Just("--from=$a".to_owned()),
        Just("--mount=type=cache,target=$a".to_owned()),
        Just("--mount=from=b,target=/x".to_owned()),
        Just("--chmod=755".to_owned()),
        Just("CMD".to_owned()),
    ]
}

fn line() -> impl Strategy<Value = String> {
    let keyword = prop_oneof![
        Just("FROM"),
        Just("FROM a AS b\nFROM b AS"),
        Just("ARG"),
        Just("ENV"),
        Just("COPY"),
        Just("ADD"),
        Just("RUN"),
        Just("WORKDIR"),
        Just("EXPOSE"),
        Just("ONBUILD COPY"),
        Just("LABEL"),
        Just("USER"),
        Just("VOLUME"),
        Just("HEALTHCHECK"),
        Just("SHELL"),
        Just("STOPSIGNAL"),
        Just("CMD"),
        Just("ENTRYPOINT"),
        Just("EOF"),
    ];
    (keyword, prop::collection::vec(word(), 0..5))
        .prop_map(|(keyword, words)| format!("{keyword} {}\n", words.join(" ")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn lines_of_the_language(lines in prop::collection::vec(line(), 0..12), target in prop::option::of("[ab0-3]")) {
        let text = format!("FROM a AS a\n{}", lines.concat());
        plan_anything(&text, &Options { target, ..options() });
    }

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        plan_anything(&text, &options());
    }
}

#[test]
fn a_long_chain_of_stages_neither_overflows_nor_takes_long() {
    let mut text = "FROM scratch AS s0\n".to_owned();
    for n in 1..400 {
        writeln!(text, "FROM s{} AS s{n}\nCOPY a /", n - 1).unwrap();
    }
    plan_anything(&text, &options());
}
