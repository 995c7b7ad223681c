//! `jettison logout`: forgets the credentials for a registry.

use std::process::ExitCode;

use jettison_registry::{Client, Config};

use super::print;
use crate::args::Logout;
use crate::failure::Failure;

pub(crate) fn run(args: &Logout) -> Result<ExitCode, Failure> {
    let client = Client::new(Config::from_env()?);
    if client.erase_login(&args.registry)? {
        print(&format!("Removed the credentials for {}\n", args.registry))
    } else {
        print(&format!("There were no credentials for {}\n", args.registry))
    }
}
