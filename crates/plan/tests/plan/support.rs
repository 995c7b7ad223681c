//! Planning for tests: images that are known by name, results as text.

use jettison_dockerfile::Diagnostic;
use jettison_dockerfile::source::LineIndex;
use jettison_oci::{ContainerConfig, Digest, History, ImageConfig, Platform, RootFs};
use jettison_plan::{Images, Options, Outcome, Plan, dump, plan};

/// Rounds of asking for images; triggers of the tests bring in fewer.
const ROUNDS_MAX: usize = 8;

pub(crate) fn amd64() -> Platform {
    Platform::new("linux", "amd64", None)
}

/// Options on a fixed platform, so that tests do not depend on the machine.
pub(crate) fn options() -> Options {
    Options { platform: Some(amd64()), build_platform: Some(amd64()), ..Options::default() }
}

pub(crate) fn with_args(args: &[(&str, &str)]) -> Options {
    let build_args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Options { build_args, ..options() }
}

/// An image with one layer and some of everything.
pub(crate) fn base() -> ImageConfig {
    ImageConfig {
        architecture: "amd64".into(),
        os: "linux".into(),
        created: Some("2020-01-01T00:00:00Z".into()),
        config: ContainerConfig { env: vec!["PATH=/usr/bin".into()], ..ContainerConfig::default() },
        rootfs: RootFs { diff_ids: vec![Digest::sha256(b"layer")], ..RootFs::default() },
        history: vec![History { created_by: Some("base".into()), ..History::default() }],
        ..ImageConfig::default()
    }
}

/// Plans, answering every wish for an image with `config_of(familiar name)`.
pub(crate) fn try_plan_with(
    text: &str,
    options: &Options,
    config_of: &dyn Fn(&str) -> ImageConfig,
) -> Result<Plan, Vec<Diagnostic>> {
    let parsed = jettison_dockerfile::parse(text.as_bytes());
    let errors: Vec<Diagnostic> = parsed.diagnostics.into_iter().filter(Diagnostic::is_error).collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut images = Images::default();
    for _ in 0..ROUNDS_MAX {
        match plan(&parsed.dockerfile, options, &images)? {
            Outcome::Ready(plan) => return Ok(plan),
            Outcome::NeedsImages(wanted) => {
                assert!(!wanted.is_empty(), "a wish for nothing");
                for image in wanted {
                    assert!(
                        images.get(&image.reference, &image.platform).is_none(),
                        "asked twice: {image:?}"
                    );
                    let config = config_of(&image.reference.familiar());
                    images.insert(image.reference, image.platform, config);
                }
            }
        }
    }
    panic!("still asking for images after {ROUNDS_MAX} rounds");
}

pub(crate) fn try_plan(text: &str, options: &Options) -> Result<Plan, Vec<Diagnostic>> {
    try_plan_with(text, options, &|_| base())
}

pub(crate) fn planned(text: &str) -> Plan {
    planned_with(text, &options())
}

pub(crate) fn planned_with(text: &str, options: &Options) -> Plan {
    try_plan(text, options).unwrap_or_else(|errors| panic!("{}", rendered(text, &errors)))
}

/// The plan as text, or the errors.
pub(crate) fn dumped(text: &str) -> String {
    dumped_with(text, &options())
}

pub(crate) fn dumped_with(text: &str, options: &Options) -> String {
    match try_plan(text, options) {
        Ok(plan) => dump::dump(&plan),
        Err(errors) => rendered(text, &errors),
    }
}

/// The errors, one a line: place, kind, message, hint.
pub(crate) fn errors(text: &str) -> String {
    errors_with(text, &options())
}

pub(crate) fn errors_with(text: &str, options: &Options) -> String {
    match try_plan(text, options) {
        Ok(plan) => panic!("planned:\n{}", dump::dump(&plan)),
        Err(errors) => rendered(text, &errors),
    }
}

pub(crate) fn rendered(text: &str, errors: &[Diagnostic]) -> String {
    let lines = LineIndex::new(text);
    let line = |error: &Diagnostic| {
        let (line, column) = lines.position(error.span.start);
        let hint = error.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        let marked = text.get(error.span.start..error.span.end).unwrap_or("OUT OF RANGE");
        format!("{line}:{column} [{marked}] {}: {}{hint}", error.code, error.message)
    };
    errors.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The `config` of the result's config document, indented.
pub(crate) fn config(text: &str) -> String {
    config_with(text, &options(), &|_| base())
}

pub(crate) fn config_with(text: &str, options: &Options, config_of: &dyn Fn(&str) -> ImageConfig) -> String {
    let plan = try_plan_with(text, options, config_of)
        .unwrap_or_else(|errors| panic!("{}", rendered(text, &errors)));
    indented(&plan.target().config.config)
}

/// The whole config document of the result, indented.
pub(crate) fn document(plan: &Plan) -> String {
    indented(&plan.target().config)
}

fn indented<T: serde::Serialize>(value: &T) -> String {
    // Through a value, so that keys are sorted.
    let value = serde_json::to_value(value).expect("configs can be written");
    serde_json::to_string_pretty(&value).expect("values can be written")
}

/// The new history entries of the result; `*` marks those with a layer.
pub(crate) fn history(text: &str) -> String {
    history_with(text, &options())
}

pub(crate) fn history_with(text: &str, options: &Options) -> String {
    let plan = planned_with(text, options);
    let entry = |entry: &jettison_plan::HistoryEntry| {
        let mark = if entry.step.is_some() { '*' } else { '-' };
        format!("{mark} {}", entry.created_by.replace('\n', "\\n"))
    };
    plan.target().history.iter().map(entry).collect::<Vec<_>>().join("\n")
}

/// The names of all steps.
pub(crate) fn names(text: &str) -> String {
    planned(text).steps.into_iter().map(|step| step.name).collect::<Vec<_>>().join("\n")
}
