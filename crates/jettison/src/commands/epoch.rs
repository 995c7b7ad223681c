//! `SOURCE_DATE_EPOCH` of a build: `--build-arg`, else the environment, else a global ARG of the Dockerfile.
//!
//! An empty build argument takes the ARG's default away. `context`, or the name of a context, means the time of what was
//! fetched: of a commit, of a file or of the newest file in an archive. A folder has no time of its own. The name of a stage
//! that is one ADD of one remote source on scratch means the time of that (BuildKit: dockerfile2llb/epoch.go). What comes
//! of the time is in the engine.

use std::collections::BTreeMap;

use jettison_dockerfile::Dockerfile;
use jettison_dockerfile::Kind;
use jettison_engine::ContextSource;
use jettison_plan::remote::Remote;
use jettison_plan::{self as plan, Action};

use crate::failure::Failure;

const NAME: &str = "SOURCE_DATE_EPOCH";

/// What a time may be taken from.
pub(super) struct Sources<'a> {
    /// What the planner is told; its arguments are those of the build.
    pub(super) options: &'a plan::Options,
    pub(super) dockerfile: &'a [u8],
    pub(super) context: &'a ContextSource,
    pub(super) named: &'a BTreeMap<String, ContextSource>,
    /// Fetches something for its time.
    pub(super) time_of: &'a dyn Fn(&Remote) -> Result<Option<i64>, Failure>,
}

/// Seconds since 1970; `None` if nobody names a time.
pub(super) fn of_build(sources: &Sources<'_>) -> Result<Option<i64>, Failure> {
    let given = sources
        .options
        .build_args
        .iter()
        .rev()
        .find(|(name, _)| name == NAME)
        .map(|(_, value)| value.clone());
    let given = given.or_else(|| std::env::var(NAME).ok().filter(|text| !text.is_empty()));
    let text = given.or_else(|| default(&jettison_dockerfile::parse(sources.dockerfile).dockerfile));
    seconds(&text.unwrap_or_default(), sources)
}

/// Seconds since 1970 from the environment; `None` if nobody names a time.
pub(super) fn of_environment() -> Result<Option<i64>, Failure> {
    let text = std::env::var(NAME).unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| no_number(&text))
}

/// The default of a global ARG, without quotes around it.
fn default(dockerfile: &Dockerfile) -> Option<String> {
    let items = dockerfile.global_args.iter().flat_map(|arg| &arg.items);
    let value = items.rev().find(|item| item.name.value == NAME)?.default.as_ref()?;
    Some(value.value.trim_matches(['"', '\'']).to_owned())
}

fn seconds(text: &str, sources: &Sources<'_>) -> Result<Option<i64>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    let source = if text == "context" { Some(sources.context) } else { sources.named.get(text) };
    if let Some(source) = source {
        return Ok(match source {
            ContextSource::Fetched(fetched) => fetched.time_s(),
            ContextSource::Folder(_) | ContextSource::Empty => None,
        });
    }
    if let Ok(number) = text.parse() {
        return Ok(Some(number));
    }
    let file = jettison_dockerfile::parse(sources.dockerfile).dockerfile;
    if let Some(stage) = named_stage(&file, text) {
        let remote = only_source(&file, stage, sources.options).ok_or_else(|| {
            Failure::usage(format!("{NAME} is the stage {text}, which has no time of its own"))
                .hint("a stage with a time is FROM scratch, then one ADD of one URL or Git repository")
        })?;
        return (sources.time_of)(&remote);
    }
    Err(no_number(text)
        .hint("it may also be `context`, the name of a --build-context, or that of a stage with one ADD"))
}

fn no_number(text: &str) -> Failure {
    Failure::usage(format!("{NAME} is {text:?}, which is no number of seconds since 1970"))
}

fn named_stage<'a>(file: &'a Dockerfile, name: &str) -> Option<&'a jettison_dockerfile::Stage> {
    let is_it = |stage: &&jettison_dockerfile::Stage| {
        stage.from.name.as_ref().is_some_and(|own| own.value.eq_ignore_ascii_case(name))
    };
    file.stages.iter().rev().find(is_it)
}

/// What a stage fetches, if it does nothing else.
fn only_source(
    file: &Dockerfile,
    stage: &jettison_dockerfile::Stage,
    options: &plan::Options,
) -> Option<Remote> {
    let adds = stage.instructions.iter().filter(|i| matches!(i.kind, Kind::Add(_))).count();
    let others = stage.instructions.iter().any(|i| !matches!(i.kind, Kind::Add(_) | Kind::Arg(_)));
    if adds != 1 || others {
        return None;
    }
    let target = stage.from.name.as_ref().map(|name| name.value.clone());
    let options = plan::Options { target, ..options.clone() };
    let plan::Outcome::Ready(plan) = plan::plan(file, &options, &plan::Images::default()).ok()? else {
        return None;
    };
    match &plan.steps[..] {
        [step] if plan.images.is_empty() => match &step.action {
            Action::Copy(copy) if copy.sources.is_empty() && copy.inline.is_empty() => {
                match &copy.remotes[..] {
                    [only] => Some(only.remote.clone()),
                    _ => None,
                }
            }
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn of(file: &str, value: &str) -> Result<Option<i64>, Failure> {
        let options = plan::Options {
            build_args: vec![(NAME.to_owned(), value.to_owned())],
            ..plan::Options::default()
        };
        let sources = Sources {
            options: &options,
            dockerfile: file.as_bytes(),
            context: &ContextSource::Folder(".".into()),
            named: &BTreeMap::from([("x".to_owned(), ContextSource::Empty)]),
            time_of: &|remote| {
                assert_eq!(remote.shown(), "https://example.com/a-1.tar");
                Ok(Some(5))
            },
        };
        of_build(&sources)
    }

    #[test]
    fn the_build_argument_beats_the_default_and_an_empty_one_takes_it_away() {
        let file = "ARG SOURCE_DATE_EPOCH=\"7\"\nFROM scratch\n";
        assert_eq!(of(file, "9").unwrap(), Some(9));
        for nothing in ["", "context", "x"] {
            assert_eq!(of(file, nothing).unwrap(), None);
        }
        assert_eq!(default(&jettison_dockerfile::parse(file.as_bytes()).dockerfile).as_deref(), Some("7"));
        assert!(of(file, "yesterday").is_err());
    }

    #[test]
    fn a_stage_with_one_remote_source_has_a_time() {
        let with = |stage: &str| format!("FROM scratch AS time\n{stage}FROM scratch\nCOPY f /\n");
        let good = with("ARG V=1\nADD https://example.com/a-$V.tar /\n");
        assert_eq!(of(&good, "TIME").unwrap(), Some(5));
        for stage in ["", "COPY f /\n", "ADD f /\n", "ADD https://example.com/a-1.tar /\nENV A=1\n"] {
            let error = of(&with(stage), "time").unwrap_err().to_string();
            assert!(error.contains("no time of its own"), "{error}");
        }
        assert!(of(&good.replace("FROM scratch AS", "FROM image AS"), "time").is_err());
    }
}
