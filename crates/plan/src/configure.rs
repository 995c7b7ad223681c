//! Instructions that change no file: they are folded into the config of the stage, and leave a history entry.
//!
//! Source: BuildKit `dockerfile2llb/convert.go` (dispatchEnv and its neighbours).

use jettison_dockerfile::{ArgItem, Command, Diagnostic, Healthcheck, KeyValue, Kind, Span, Word, suggest};
use jettison_oci::{self as oci, Empty};

use crate::arguments::NOT_IN_ENVIRONMENT;
use crate::draft::Draft;
use crate::planner::{At, Planner};
use crate::{expose, go_format, signal};

impl Planner<'_> {
    pub(crate) fn configure(&mut self, draft: &mut Draft, kind: &Kind, at: At<'_>) -> Result<(), Diagnostic> {
        match kind {
            Kind::Arg(items) => self.arg(draft, items, at),
            Kind::Env(pairs) => self.env(draft, pairs, at),
            Kind::Label(pairs) => self.label(draft, pairs, at),
            Kind::Expose(words) => self.expose(draft, words, at),
            Kind::Volume(words) => self.volume(draft, words, at),
            Kind::User(word) => {
                let user = self.expander(draft, at).word(word)?;
                draft.record(format!("USER {user}"), None);
                draft.config.config.user = user;
                Ok(())
            }
            Kind::Stopsignal(word) => self.stop_signal(draft, word, at),
            Kind::Cmd(command) => {
                let argv = argv(draft, command);
                draft.record(format!("CMD {}", go_format::quoted_list(&argv)), None);
                draft.config.config.cmd = non_empty(argv);
                draft.config.config.args_escaped = true;
                draft.cmd_set = true;
                Ok(())
            }
            Kind::Entrypoint(command) => {
                let argv = argv(draft, command);
                draft.record(format!("ENTRYPOINT {}", go_format::quoted_list(&argv)), None);
                draft.config.config.entrypoint = non_empty(argv);
                // A command of the base belongs to the entry point of the base.
                if !draft.cmd_set {
                    draft.config.config.cmd = None;
                }
                Ok(())
            }
            Kind::Shell(argv) => {
                draft.record(format!("SHELL {}", go_format::list(argv)), None);
                draft.config.config.shell = Some(argv.clone());
                Ok(())
            }
            Kind::Healthcheck(check) => {
                let check = health_check(check);
                draft.record(health_check_history(&check), None);
                draft.config.config.healthcheck = Some(check);
                Ok(())
            }
            Kind::Maintainer(name) => {
                draft.record(format!("MAINTAINER {}", name.value), None);
                draft.config.author = Some(name.value.clone());
                Ok(())
            }
            Kind::Onbuild(onbuild) => {
                draft.config.config.on_build.push(onbuild.trigger.value.clone());
                Ok(())
            }
            Kind::Add(_) | Kind::Copy(_) | Kind::Run(_) | Kind::Workdir(_) => {
                unreachable!("instructions that make steps are told apart before")
            }
        }
    }

    /// Every name of the instruction sees the ones before it, unlike in ENV.
    fn arg(&mut self, draft: &mut Draft, items: &[ArgItem], at: At<'_>) -> Result<(), Diagnostic> {
        let mut texts = Vec::new();
        for item in items {
            let expander = self.expander(draft, at);
            let name = expander.word(&item.name)?;
            let value = match (self.arguments.given.get(&name), &item.default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => Some(expander.word(default)?),
                (None, None) => self.arguments.global.value(&name).map(str::to_owned),
            };
            texts.push(match &value {
                Some(value) => format!("{name}={value}"),
                None => name.clone(),
            });
            if let Some(value) = value.as_ref().filter(|_| !NOT_IN_ENVIRONMENT.contains(&name.as_str())) {
                draft.environment.set(&name, value);
            }
            draft.arguments.push((name, value));
        }
        draft.record(format!("ARG {}", texts.join(" ")), None);
        Ok(())
    }

    fn env(&mut self, draft: &mut Draft, pairs: &[KeyValue], at: At<'_>) -> Result<(), Diagnostic> {
        let pairs = self.pairs(draft, pairs, at)?;
        for (name, value) in &pairs {
            draft.set_variable(name, value);
        }
        draft.record(format!("ENV {}", joined(&pairs)), None);
        Ok(())
    }

    fn label(&mut self, draft: &mut Draft, pairs: &[KeyValue], at: At<'_>) -> Result<(), Diagnostic> {
        let pairs = self.pairs(draft, pairs, at)?;
        draft.record(format!("LABEL {}", joined(&pairs)), None);
        draft.config.config.labels.extend(pairs);
        Ok(())
    }

    /// Names and values, all expanded with the variables from before the instruction.
    fn pairs(
        &self,
        draft: &Draft,
        pairs: &[KeyValue],
        at: At<'_>,
    ) -> Result<Vec<(String, String)>, Diagnostic> {
        let expander = self.expander(draft, at);
        let expand = |pair: &KeyValue| {
            let name = expander.word(&pair.key)?;
            if name.is_empty() {
                let span = expander.span(pair.key.span);
                return Err(Diagnostic::error("value", "names can not be blank", span));
            }
            Ok((name, expander.word(&pair.value)?))
        };
        pairs.iter().map(expand).collect()
    }

    fn expose(&mut self, draft: &mut Draft, words: &[Word], at: At<'_>) -> Result<(), Diagnostic> {
        let expander = self.expander(draft, at);
        let mut sorted: Vec<&Word> = words.iter().collect();
        sorted.sort_by(|a, b| a.value.cmp(&b.value));
        let mut ports = Vec::new();
        for word in sorted {
            for spec in expander.words(word)? {
                let some = expose::ports(&spec)
                    .map_err(|message| Diagnostic::error("value", message, expander.span(word.span)))?;
                ports.extend(some);
            }
        }
        draft.record(format!("EXPOSE {}", go_format::list(&ports)), None);
        draft.config.config.exposed_ports.extend(ports.into_iter().map(|port| (port, Empty {})));
        Ok(())
    }

    fn volume(&mut self, draft: &mut Draft, words: &[Word], at: At<'_>) -> Result<(), Diagnostic> {
        let expander = self.expander(draft, at);
        let mut volumes = Vec::new();
        for word in words {
            let volume = expander.word(word)?;
            if volume.is_empty() {
                let message = "VOLUME specified can not be an empty string";
                return Err(Diagnostic::error("value", message, expander.span(word.span)));
            }
            volumes.push(volume);
        }
        draft.record(format!("VOLUME {}", go_format::list(&volumes)), None);
        draft.config.config.volumes.extend(volumes.into_iter().map(|volume| (volume, Empty {})));
        Ok(())
    }

    fn stop_signal(&mut self, draft: &mut Draft, word: &Word, at: At<'_>) -> Result<(), Diagnostic> {
        let expander = self.expander(draft, at);
        let signal = expander.word(word)?;
        if !signal::is_signal(&signal) {
            return Err(unknown_signal(&signal, expander.span(word.span)));
        }
        draft.record(format!("STOPSIGNAL {signal}"), None);
        draft.config.config.stop_signal = Some(signal);
        Ok(())
    }
}

fn unknown_signal(signal: &str, span: Span) -> Diagnostic {
    let error = Diagnostic::error("value", format!("invalid signal: {signal}"), span);
    let names: Vec<String> = signal::names().collect();
    match suggest::nearest(signal, names.iter().map(String::as_str)) {
        Some(near) => error.with_hint(format!("did you mean {near}?")),
        None => error,
    }
}

fn joined(pairs: &[(String, String)]) -> String {
    let texts: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    texts.join(" ")
}

fn argv(draft: &Draft, command: &Command) -> Vec<String> {
    match command {
        Command::Shell(text) => draft.with_shell(text),
        Command::Exec(argv) => argv.clone(),
    }
}

/// An empty list clears the inherited value, and is absent from the config.
fn non_empty(argv: Vec<String>) -> Option<Vec<String>> {
    Some(argv).filter(|argv| !argv.is_empty())
}

fn health_check(check: &Healthcheck) -> oci::Healthcheck {
    match check {
        Healthcheck::None => {
            oci::Healthcheck { test: vec!["NONE".to_owned()], ..oci::Healthcheck::default() }
        }
        Healthcheck::Check { command, interval, timeout, start_period, start_interval, retries } => {
            let test = match command {
                Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
                Command::Exec(argv) => {
                    std::iter::once("CMD".to_owned()).chain(argv.iter().cloned()).collect()
                }
            };
            oci::Healthcheck {
                test,
                interval: *interval,
                timeout: *timeout,
                start_period: *start_period,
                start_interval: *start_interval,
                retries: *retries,
            }
        }
    }
}

/// Go's text of the structure.
fn health_check_history(check: &oci::Healthcheck) -> String {
    format!(
        "HEALTHCHECK {{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        go_format::list(&check.test),
        go_format::duration(check.interval),
        go_format::duration(check.timeout),
        go_format::duration(check.start_period),
        go_format::duration(check.start_interval),
        check.retries
    )
}
