//! One file per command. Each is `run(args, environment)`: arguments in, exit code or failure out.

mod brought;
pub(crate) mod build;
mod build_flags;
mod build_inputs;
mod build_limits;
pub(crate) mod call;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod diff;
mod docker_daemon;
pub(crate) mod du;
mod epoch;
mod folders;
pub(crate) mod fsck;
mod image_source;
pub(crate) mod images;
pub(crate) mod inspect;
mod last_build;
pub(crate) mod load;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod man;
mod names;
mod outline;
pub(crate) mod prune;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod report;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod save;
pub(crate) mod sbom;
pub(crate) mod size;
pub(crate) mod slim;
pub(crate) mod tag;
mod targets;
pub(crate) mod verify;
pub(crate) mod version;
pub(crate) mod why;

use std::io::Write;
use std::process::ExitCode;

pub(crate) use build_limits::ram_in_bytes;
pub(crate) use targets::description as stage_description;

use crate::failure::Failure;

/// Says on standard error what an answer lacks.
fn warn_of_gap(gap: &str) {
    warn(&format!("not complete: {gap}"));
}

/// Says something on standard error in one line.
pub(crate) fn warn(text: &str) {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    // Nobody is left to tell if standard error is gone.
    let _ = writeln!(std::io::stderr(), "warning: {text}");
}

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

/// Rows below titles, each column as wide as its widest cell and `gap` blanks.
fn columns<const N: usize>(titles: &[&str; N], rows: &[[String; N]], gap: usize) -> String {
    let titles = titles.map(str::to_owned);
    let all = || std::iter::once(&titles).chain(rows);
    let mut widths = [0; N];
    for row in all() {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in all() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:<0$}", width + gap));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
