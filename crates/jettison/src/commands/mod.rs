//! One file per command. Each is `run(args, environment)`: arguments in, exit code or failure out.

pub(crate) mod build;
mod build_flags;
mod build_inputs;
mod docker_daemon;
pub(crate) mod du;
pub(crate) mod images;
pub(crate) mod inspect;
pub(crate) mod load;
pub(crate) mod login;
pub(crate) mod logout;
mod names;
pub(crate) mod prune;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod save;
pub(crate) mod tag;
pub(crate) mod version;

use std::io::Write;
use std::process::ExitCode;

use crate::failure::Failure;

/// Prints to standard output; a reader that went away is no error.
fn print(text: &str) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::io("write to", "standard output", &error))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
