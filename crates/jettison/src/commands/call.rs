//! `jettison build --call=METHOD`: each method has its file; here they are told apart.

use std::process::ExitCode;

use super::build_inputs::Session;
use super::{build, check, outline, print, targets};
use crate::args::{Build, CheckFormat};
use crate::call::{Call, Method};
use crate::environment::Environment;
use crate::failure::Failure;

/// The methods: BuildKit's name of the request, its version, what it does.
const METHODS: [(&str, &str, &str); 4] = [
    ("check", "1.0.0", "Lint a Dockerfile"),
    ("outline", "1.0.0", "List all parameters current build target supports"),
    ("subrequests.describe", "1.0.0", "List available subrequest types"),
    ("targets", "1.0.0", "List all targets current build supports"),
];

pub(crate) fn run(
    args: &Build,
    call: Call,
    offline: bool,
    environment: &Environment,
) -> Result<ExitCode, Failure> {
    if call.method == Method::Describe {
        return describe(call.format);
    }
    let session = Session::new(environment, args.progress);
    let request = build::request(args, &session)?;
    match call.method {
        Method::Outline => outline::run(&request, call.format),
        Method::Targets => targets::run(&request, call.format),
        Method::Check | Method::Describe => check::carry_out(&request, call, offline, environment),
    }
}

fn describe(format: CheckFormat) -> Result<ExitCode, Failure> {
    if format != CheckFormat::Text {
        let methods = METHODS.map(|(name, version, about)| {
            serde_json::json!({"name": name, "version": version, "type": "rpc", "description": about})
        });
        return print(&format!("{:#}\n", serde_json::json!(methods)));
    }
    let rows = METHODS.map(|(name, version, about)| [name, version, about].map(str::to_owned));
    print(&super::columns(&["NAME", "VERSION", "DESCRIPTION"], &rows, 2))
}
