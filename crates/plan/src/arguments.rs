//! ARG before the first FROM, the arguments that exist without being declared, and `--build-arg`.
//!
//! Source: BuildKit `dockerfile2llb/convert.go` (buildMetaArgs, proxyEnvFromBuildArgs) and `platform.go`
//! (defaultArgs).

use std::collections::HashMap;

use jettison_dockerfile::{Diagnostic, Dockerfile};
use jettison_oci::Platform;

use crate::environment::{Environment, Expander};
use crate::graph::Options;

/// Proxy settings that need no ARG, in the order in which RUN gets them.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

/// Arguments that steer attestations and never enter an environment.
pub(crate) const NOT_IN_ENVIRONMENT: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// What FROM lines see and value-less ARGs in stages fall back to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments {
    /// Platform arguments and global ARGs.
    pub(crate) global: Environment,
    /// `--build-arg`; the last of a name wins.
    pub(crate) given: HashMap<String, String>,
    /// `HTTP_PROXY=…`, `http_proxy=…` and so on.
    pub(crate) proxies: Vec<String>,
}

impl Arguments {
    /// Evaluates the global scope. Errors in it are collected; later arguments do without the failed one.
    pub(crate) fn new(
        file: &Dockerfile,
        options: &Options,
        target: &Platform,
        build: &Platform,
        errors: &mut Vec<Diagnostic>,
    ) -> Self {
        let given: HashMap<String, String> = options.build_args.iter().cloned().collect();
        let mut global = Environment::default();
        for (prefix, platform) in [("BUILD", build), ("TARGET", target)] {
            let parts = [
                ("PLATFORM", platform.to_string()),
                ("OS", platform.os.clone()),
                ("OSVERSION", platform.os_version.clone().unwrap_or_default()),
                ("ARCH", platform.architecture.clone()),
                ("VARIANT", platform.variant.clone().unwrap_or_default()),
            ];
            for (name, value) in parts {
                let name = format!("{prefix}{name}");
                let value = given.get(&name).unwrap_or(&value);
                global.set(&name, value);
            }
        }
        let stage = given.get("TARGETSTAGE").cloned().unwrap_or_else(|| target_stage(file, options));
        global.set("TARGETSTAGE", &stage);
        let mut arguments = Self { proxies: proxies(options), given, global };
        arguments.declare(file, errors);
        arguments
    }

    fn declare(&mut self, file: &Dockerfile, errors: &mut Vec<Diagnostic>) {
        let escape = file.directives.escape_char();
        for item in file.global_args.iter().flat_map(|arg| &arg.items) {
            let expander = Expander { environment: &self.global, escape, place: None };
            let evaluated = expander.word(&item.name).and_then(|name| {
                let value = match (self.given.get(&name), &item.default) {
                    (Some(given), _) => Some(given.clone()),
                    (None, Some(default)) => Some(expander.word(default)?),
                    (None, None) => None,
                };
                Ok((name, value))
            });
            match evaluated {
                Ok((name, Some(value))) => self.global.set(&name, &value),
                Ok((_, None)) => {}
                Err(error) => errors.push(error),
            }
        }
    }
}

/// The requested target, else the name of the last stage, else `default`.
fn target_stage(file: &Dockerfile, options: &Options) -> String {
    let last = || file.stages.last()?.from.name.as_ref().map(|name| name.value.clone());
    options.target.clone().filter(|t| !t.is_empty()).or_else(last).unwrap_or_else(|| "default".to_owned())
}

fn proxies(options: &Options) -> Vec<String> {
    let mut entries = Vec::new();
    for name in PROXIES {
        let given = options.build_args.iter().rev().find(|(n, _)| n.eq_ignore_ascii_case(name));
        if let Some((_, value)) = given.filter(|(_, value)| !value.is_empty()) {
            entries.push(format!("{}={value}", name.to_ascii_uppercase()));
            entries.push(format!("{name}={value}"));
        }
    }
    entries
}
