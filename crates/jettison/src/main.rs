//! The program: arguments, commands, errors with hints and exit codes.
//!
//! `args.rs` is what can be typed; `commands/` has one file per command; `failure.rs` turns every error into what
//! people see; `environment.rs` is all that is read from the outside.

mod args;
mod attestations;
mod call;
mod commands;
mod docker_config;
mod docker_flags;
mod environment;
mod failure;
mod limit_flags;
mod output_flag;
mod progress;
mod proof;
mod report;
mod settings;
mod signals;
mod snippet;
mod ssh_keys;
mod trial;

use std::process::ExitCode;

use clap::FromArgMatches as _;

use args::{Cli, Command};
use environment::Environment;
use failure::Failure;

fn main() -> ExitCode {
    // First of all: a process that is to become a sandbox must not do anything else.
    jettison_sandbox::init();
    let parsed = args::command().try_get_matches_from(args::with_plain_flags(std::env::args_os()));
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors: clap knows their streams and codes.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(cli) {
        Ok(code) => code,
        Err(failure) => {
            let code = signals::exit_code().unwrap_or(failure.kind as u8);
            if failure.canceled {
                Failure::new(failure.kind, "canceled").print(None, environment::stderr_has_colour());
            } else {
                failure.print(None, environment::stderr_has_colour());
            }
            ExitCode::from(code)
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    if let Command::Build(args) = &cli.command
        && let Some(call) = call::Call::of(args)?
    {
        return commands::call::run(args, call, false, &Environment::outside());
    }
    // Before any thread exists: a plain user's process continues inside a user namespace from here on.
    let environment = match &cli.command {
        Command::Version
        | Command::Check(_)
        | Command::Completions(_)
        | Command::Login(_)
        | Command::Logout(_)
        | Command::Man(_) => Environment::outside(),
        Command::Build(args) => Environment::enter(&args.architectures())?,
        Command::Verify(args) => Environment::enter(&args.architectures())?,
        _ => Environment::enter(&[])?,
    };
    match cli.command {
        Command::Build(args) => commands::build::run(*args, &environment),
        Command::Check(args) => commands::check::run(&args, &environment),
        Command::Images(args) => commands::images::run(&args, &environment),
        Command::Inspect(args) => commands::inspect::run(&args, &environment),
        Command::Tag(args) => commands::tag::run(&args, &environment),
        Command::Rm(args) => commands::rm::run(&args, &environment),
        Command::Fsck(args) => commands::fsck::run(&args, &environment),
        Command::Prune(args) => commands::prune::run(&args, &environment),
        Command::Du(args) => commands::du::run(&args, &environment),
        Command::Pull(args) => commands::pull::run(&args, &environment),
        Command::Push(args) => commands::push::run(&args, &environment),
        Command::Save(args) => commands::save::run(&args, &environment),
        Command::Load(args) => commands::load::run(&args, &environment),
        Command::Run(args) => commands::run::run(args, &environment),
        Command::Diff(args) => commands::diff::run(&args, &environment),
        Command::Sbom(args) => commands::sbom::run(&args, &environment),
        Command::Size(args) => commands::size::run(&args, &environment),
        Command::Slim(args) => commands::slim::run(&args, &environment),
        Command::Report(args) => commands::report::run(&args, &environment),
        Command::Why(args) => commands::why::run(&args, &environment),
        Command::Verify(args) => commands::verify::run(&args, &environment),
        Command::Login(args) => commands::login::run(&args),
        Command::Logout(args) => commands::logout::run(&args),
        Command::Version => commands::version::run(),
        Command::Completions(args) => commands::completions::run(&args),
        Command::Man(args) => commands::man::run(&args),
    }
}
