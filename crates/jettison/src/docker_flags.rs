//! Flags that command lines written for docker have, and that mean little here: each one is accepted in silence, accepted
//! with a remark that it has no effect, or refused with what to do instead.
//!
//! Source: buildx `commands/build.go`, which accepts the old flags of `docker build` and ignores them.

use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;

use clap::Args;
use jettison_engine::SourcePolicy;

use crate::failure::Failure;

/// Names a file with rules on sources, as for BuildKit.
const SOURCE_POLICY: &str = "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY";
/// No policy is longer.
const POLICY_BYTES_MAX: u64 = 4 << 20;

/// The policy that the environment names.
pub(crate) fn source_policy() -> Result<Option<Arc<SourcePolicy>>, Failure> {
    let Some(path) = std::env::var_os(SOURCE_POLICY).filter(|path| !path.is_empty()) else { return Ok(None) };
    let failure = |reason: &dyn std::fmt::Display| {
        Failure::usage(format!("{SOURCE_POLICY} {}: {reason}", path.display()))
    };
    let mut text = Vec::new();
    let file = File::open(&path).map_err(|error| failure(&error))?;
    file.take(POLICY_BYTES_MAX + 1).read_to_end(&mut text).map_err(|error| failure(&error))?;
    if text.len() as u64 > POLICY_BYTES_MAX {
        return Err(failure(&"it is larger than 4 MiB"));
    }
    SourcePolicy::parse(&text).map(|policy| Some(Arc::new(policy))).map_err(|reason| failure(&reason))
}

/// The flags. None of them is shown in the help.
#[derive(Debug, Args)]
pub(crate) struct DockerFlags {
    /// There is one builder: accepted without effect
    #[arg(long, env = "BUILDX_BUILDER", hide = true, value_name = "NAME")]
    builder: Option<String>,
    /// Accepted without effect
    #[arg(short = 'D', long, hide = true)]
    debug: bool,
    /// Nothing is sent anywhere: accepted without effect
    #[arg(long, hide = true)]
    compress: bool,
    /// Nothing is left behind: accepted without effect
    #[arg(long, hide = true)]
    rm: bool,
    /// Nothing is left behind: accepted without effect
    #[arg(long, hide = true)]
    force_rm: bool,
    /// Accepted without effect
    #[arg(long, hide = true)]
    stream: bool,
    /// Accepted without effect
    #[arg(long, hide = true)]
    disable_content_trust: bool,
    /// How steps are isolated is not for choosing
    #[arg(long, hide = true, value_name = "NAME")]
    isolation: Option<String>,
    /// Steps have what docker gives them
    #[arg(long, hide = true, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// Refused
    #[arg(long, hide = true, value_name = "SPEC")]
    cache_from: Vec<String>,
    /// Refused
    #[arg(long, hide = true, value_name = "SPEC")]
    cache_to: Vec<String>,
    /// Refused
    #[arg(long = "policy", hide = true, value_name = "SPEC")]
    policies: Vec<String>,
}

impl DockerFlags {
    /// Refuses what must not be ignored: whoever gives it counts on it.
    pub(crate) fn refuse(&self) -> Result<(), Failure> {
        let caches = [("--cache-from", &self.cache_from), ("--cache-to", &self.cache_to)];
        let given = |(flag, specs): &(_, &Vec<String>)| {
            specs.iter().find(|spec| !spec.is_empty()).map(|spec| (*flag, spec.clone()))
        };
        if let Some((flag, spec)) = caches.iter().find_map(given) {
            return Err(Failure::usage(format!("{flag} {spec:?}: caches are not brought in or out yet"))
                .hint(
                    "keep the folder that JETTISON_ROOT names: builds take from it what they made before",
                ));
        }
        if let Some(spec) = self.policies.iter().find(|spec| !spec.is_empty()) {
            return Err(Failure::usage(format!("--policy {spec:?}: policies in Rego are not supported"))
                .hint(format!("rules in JSON are: {SOURCE_POLICY}=FILE")));
        }
        Ok(())
    }

    /// What to say about flags that have no effect and whose user may think that they have.
    pub(crate) fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        if let Some(name) = self.isolation.as_ref().filter(|name| !matches!(name.as_str(), "" | "default")) {
            notices.push(format!("--isolation {name}: without effect; steps are isolated by namespaces"));
        }
        if let Some(option) = self.security_opt.first() {
            notices.push(format!(
                "--security-opt {option}: without effect; steps have docker's capabilities and seccomp filter"
            ));
        }
        notices
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: DockerFlags,
    }

    fn of(words: &[&str]) -> DockerFlags {
        let words = [&["build"], words].concat();
        Line::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).flags
    }

    #[test]
    fn what_is_harmless_is_accepted_in_silence() {
        let flags = of(&[
            "--rm",
            "--force-rm",
            "--compress",
            "--stream",
            "-D",
            "--builder",
            "x",
            "--isolation=default",
        ]);
        assert!(flags.refuse().is_ok() && flags.notices().is_empty());
    }

    #[test]
    fn what_has_no_effect_is_told() {
        let flags = of(&["--isolation=hyperv", "--security-opt", "seccomp=unconfined"]);
        assert!(flags.refuse().is_ok());
        let notices = flags.notices();
        assert!(notices[0].starts_with("--isolation hyperv: without effect"), "{notices:?}");
        assert!(notices[1].starts_with("--security-opt seccomp=unconfined"), "{notices:?}");
    }

    #[test]
    fn what_must_not_be_ignored_is_refused_by_name() {
        for (flag, value) in [("--policy", "a.rego"), ("--cache-from", "x"), ("--cache-to", "type=inline")] {
            let error = of(&[flag, value]).refuse().unwrap_err().to_string();
            assert!(error.contains(flag) && error.contains(value), "{error}");
        }
    }
}
