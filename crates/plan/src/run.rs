//! RUN: argv, environment, mounts.
//!
//! Source: BuildKit `dockerfile2llb/convert.go` (dispatchRun, runCommandString).

use std::collections::HashMap;

use jettison_dockerfile::expand::Env as _;
use jettison_dockerfile::{self as ast, Diagnostic, RunCommand, Word};

use crate::draft::Draft;
use crate::graph::{Action, MountKind, Network, Run, Security};
use crate::planner::{At, Planner};
use crate::step_name;

/// Where the script of a `#!` heredoc appears.
const SCRIPT_DIRECTORY: &str = "/dev/pipes";

/// The build argument that names the host.
const HOST_NAME_ARGUMENT: &str = "BUILDKIT_SANDBOX_HOSTNAME";

impl Planner<'_> {
    pub(crate) fn run(&mut self, draft: &mut Draft, run: &ast::Run, at: At<'_>) -> Result<(), Diagnostic> {
        let place = |word: &Word| at.place.unwrap_or(word.span);
        if let Some(device) = run.devices.first() {
            let message = format!("RUN --device is not supported: {}", device.value);
            return Err(Diagnostic::error("unsupported", message, place(device)));
        }
        let (argv, script) = command(draft, &run.command);
        if argv.is_empty() {
            return Err(Diagnostic::error("value", "RUN needs a command", at.span));
        }
        let network = match &run.network {
            None => self.options.network,
            Some(word) => network(word, place(word))?,
        };
        let security = match &run.security {
            None => Security::Sandbox,
            Some(word) => security(word, place(word))?,
        };
        let mounts = self.mounts(draft, &run.mounts, at)?;
        let name = self.run_name(draft, run, &mounts, at);
        let history = history(draft, &argv);
        let action = Action::Run(Run {
            argv,
            script,
            env: draft.environment.to_entries(),
            proxy_env: self.arguments.proxies.clone(),
            cwd: draft.working_directory(),
            user: draft.config.config.user.clone(),
            mounts,
            network,
            host_name: self.host_name(),
            security,
            no_cache: self.no_cache(draft),
        });
        let step = self.add_step(draft, action, at.span, name);
        draft.record(history, Some(step));
        Ok(())
    }

    fn host_name(&self) -> Option<String> {
        let given = self.options.build_args.iter().rev().find(|(name, _)| name == HOST_NAME_ARGUMENT);
        given.map(|(_, value)| value.clone()).filter(|name| !name.is_empty())
    }

    /// The text of the step; variables that hold a secret are masked, and a lone heredoc shows how it begins.
    fn run_name(&self, draft: &Draft, run: &ast::Run, mounts: &[crate::graph::Mount], at: At<'_>) -> String {
        let secret = |name: &str| {
            mounts.iter().any(|m| matches!(&m.kind, MountKind::Secret { env: Some(env), .. } if env == name))
        };
        let masked = |name: &str| {
            if secret(name) { Some("****".to_owned()) } else { draft.environment.get(name) }
        };
        let text = match lone_heredoc(&run.command, at.text) {
            Some(body) => format!("{} ({})", at.text, step_name::summary(body)),
            None => at.text.to_owned(),
        };
        step_name::text(&text, self.file.directives.escape_char(), &masked)
    }
}

/// argv, and the script that it starts.
fn command(draft: &Draft, command: &RunCommand) -> (Vec<String>, Option<(String, String)>) {
    match command {
        RunCommand::Shell(text) => (draft.with_shell(text), None),
        RunCommand::Exec(argv) => (argv.clone(), None),
        RunCommand::Script { name, body } => {
            (draft.with_shell(&format!("{SCRIPT_DIRECTORY}/{name}")), Some((name.clone(), body.clone())))
        }
    }
}

/// The body, if the command is one heredoc and nothing else: its text is not in the line of the instruction.
fn lone_heredoc<'c>(command: &'c RunCommand, line: &str) -> Option<&'c str> {
    match command {
        RunCommand::Script { body, .. } => Some(body),
        RunCommand::Shell(body) => {
            let operator = line.rfind("<<")?;
            let lone = line[..operator].ends_with(char::is_whitespace) && !body.starts_with("<<");
            let word = line[operator..].trim_start_matches(['<', '-']).trim();
            let first = body.lines().next().unwrap_or_default();
            (lone && !word.contains(char::is_whitespace) && !line.ends_with(first)).then_some(body.as_str())
        }
        RunCommand::Exec(_) => None,
    }
}

/// `RUN |N A=1 B= /bin/sh -c TEXT # buildkit`: the declared arguments with the values that RUN sees, each name once.
fn history(draft: &Draft, argv: &[String]) -> String {
    let mut shown: Vec<String> = Vec::new();
    let mut positions: HashMap<&str, usize> = HashMap::new();
    for (name, value) in &draft.arguments {
        let value = draft.environment.value(name).or(value.as_deref()).unwrap_or_default();
        let text = format!("{name}={value}");
        if let Some(position) = positions.get(name.as_str()) {
            shown[*position] = text;
        } else {
            positions.insert(name, shown.len());
            shown.push(text);
        }
    }
    if !shown.is_empty() {
        shown.insert(0, format!("|{}", shown.len()));
    }
    shown.extend(argv.iter().cloned());
    format!("RUN {} # buildkit", shown.join(" "))
}

fn network(word: &Word, span: ast::Span) -> Result<Network, Diagnostic> {
    match word.value.as_str() {
        "default" => Ok(Network::Default),
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        other => Err(Diagnostic::error("value", format!("invalid network mode {other:?}"), span)
            .with_hint("it is default, none or host; variables are not expanded here")),
    }
}

fn security(word: &Word, span: ast::Span) -> Result<Security, Diagnostic> {
    match word.value.as_str() {
        "sandbox" => Ok(Security::Sandbox),
        "insecure" => Ok(Security::Insecure),
        other => Err(Diagnostic::error("value", format!("security {other:?} is not valid"), span)
            .with_hint("it is sandbox or insecure; variables are not expanded here")),
    }
}
