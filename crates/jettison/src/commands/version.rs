//! `jettison version`: what this is, and what this machine permits.

use std::process::ExitCode;

use jettison_sandbox::{Tier, probe};

use super::print;
use crate::failure::Failure;

pub(crate) fn run() -> Result<ExitCode, Failure> {
    let probe = probe();
    let tier = match probe.tier {
        Tier::Root => "full, as root".to_owned(),
        Tier::UserNamespace { ids } => format!("full, in a user namespace with {ids} ids"),
        Tier::SingleId => "in a user namespace with one id (every file belongs to root)".to_owned(),
        Tier::NoNamespaces => "none: RUN steps are not possible here".to_owned(),
    };
    let mut text = format!("jettison {}\nisolation: {tier}\n", env!("CARGO_PKG_VERSION"));
    if let Some(reason) = probe.reason {
        text.push_str(&format!("  because: {reason}\n"));
    }
    if let Some(lift) = probe.lift {
        text.push_str(&format!("  to change it: {lift}\n"));
    }
    print(&text)
}
