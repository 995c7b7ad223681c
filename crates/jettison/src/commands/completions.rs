//! `jettison completions SHELL`: made from the definitions that arguments are parsed with.

use std::process::ExitCode;

use super::print;
use crate::args::{self, Completions};
use crate::failure::Failure;

pub(crate) fn run(args: &Completions) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "jettison", &mut script);
    print(&String::from_utf8_lossy(&script))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;
    use clap_complete::Shell;

    use crate::args;

    /// Names of commands and long flags that a user can see.
    fn visible() -> Vec<String> {
        let mut names = Vec::new();
        for command in args::command().get_subcommands() {
            names.push(command.get_name().to_owned());
            let flags = command.get_arguments().filter(|argument| !argument.is_hide_set());
            names.extend(flags.filter_map(|flag| flag.get_long().map(str::to_owned)));
        }
        names
    }

    #[test]
    fn every_shell_gets_every_command_and_flag() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut args::command(), "jettison", &mut script);
            let script = String::from_utf8(script).unwrap();
            for name in visible() {
                assert!(script.contains(&name), "{shell}: no {name}");
            }
        }
    }
}
