//! `SOURCE_DATE_EPOCH` of a build: `--build-arg`, else the environment, else a global ARG of the Dockerfile.
//!
//! An empty build argument takes the ARG's default away. `context` says nothing about a folder, which has no time of its
//! own (BuildKit: dockerfile2llb/epoch.go). What comes of the time is in the engine.

use std::path::Path;

use jettison_dockerfile::Dockerfile;

use crate::failure::Failure;

const NAME: &str = "SOURCE_DATE_EPOCH";

/// Seconds since 1970; `None` if nobody names a time.
pub(super) fn of_build(
    build_args: &[(String, String)],
    dockerfile: &[u8],
    context: &str,
) -> Result<Option<i64>, Failure> {
    let given = build_args.iter().rev().find(|(name, _)| name == NAME).map(|(_, value)| value.clone());
    let given = given.or_else(|| std::env::var(NAME).ok().filter(|text| !text.is_empty()));
    let text = given.or_else(|| default(&jettison_dockerfile::parse(dockerfile).dockerfile));
    seconds(&text.unwrap_or_default(), context)
}

/// Seconds since 1970 from the environment; `None` if nobody names a time.
pub(super) fn of_environment() -> Result<Option<i64>, Failure> {
    seconds(&std::env::var(NAME).unwrap_or_default(), "")
}

/// The default of a global ARG, without quotes around it.
fn default(dockerfile: &Dockerfile) -> Option<String> {
    let items = dockerfile.global_args.iter().flat_map(|arg| &arg.items);
    let value = items.rev().find(|item| item.name.value == NAME)?.default.as_ref()?;
    Some(value.value.trim_matches(['"', '\'']).to_owned())
}

fn seconds(text: &str, context: &str) -> Result<Option<i64>, Failure> {
    if text.is_empty() || (text == "context" && Path::new(context).is_dir()) {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| Failure::usage(format!("{NAME} is {text:?}, which is no number of seconds since 1970")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_build_argument_beats_the_default_and_an_empty_one_takes_it_away() {
        let file = b"ARG SOURCE_DATE_EPOCH=\"7\"\nFROM scratch\n";
        let given = |value: &str| vec![(NAME.to_owned(), value.to_owned())];
        assert_eq!(of_build(&given("9"), file, ".").unwrap(), Some(9));
        assert_eq!(of_build(&given(""), file, ".").unwrap(), None);
        assert_eq!(of_build(&given("context"), file, ".").unwrap(), None);
        assert_eq!(default(&jettison_dockerfile::parse(file).dockerfile).as_deref(), Some("7"));
        assert!(of_build(&given("yesterday"), file, ".").is_err());
        assert!(of_build(&given("context"), file, "https://example.com/x.git").is_err());
    }
}
