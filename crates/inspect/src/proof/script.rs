//! Scripts: the `#!` line as the kernel reads it, `env` as people use it, the interpreter by the same rules again.
//!
//! Source: Linux `fs/binfmt_script.c`; coreutils `env -S`.

use std::io;

use super::permission::Use;
use super::{Program, Proof, Subject, shown};
use crate::tree::{Place, Walk};

/// Bytes of the first line that the kernel keeps. Source: Linux BINPRM_BUF_SIZE.
const LINE_BYTES_MAX: usize = 256;

/// A `#!` line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    interpreter: Vec<u8>,
    /// All that follows, as one argument.
    argument: Option<Vec<u8>>,
}

/// Takes the beginning of a file apart; `None` if it names no interpreter.
fn parse(start: &[u8]) -> Option<Line> {
    let line = &start[2..start.len().min(LINE_BYTES_MAX)];
    let line = &line[..memchr::memchr(b'\n', line).unwrap_or(line.len())];
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let begin = line.iter().position(|byte| !blank(byte))?;
    let end = line.iter().rposition(|byte| !blank(byte))?;
    let line = &line[begin..=end];
    let split = line.iter().position(|byte| blank(byte) || *byte == 0).unwrap_or(line.len());
    let rest = &line[split..];
    let argument = rest.iter().position(|byte| !blank(byte)).map(|at| rest[at..].to_vec());
    Some(Line { interpreter: line[..split].to_vec(), argument })
}

/// The command that `env` is asked to find: the whole argument, or its first word that is no option or assignment
/// behind `-S`.
fn env_command(argument: &str) -> Option<String> {
    let Some(split) = argument.strip_prefix("-S").or_else(|| argument.strip_prefix("--split-string=")) else {
        // Without -S everything behind env is one word, spaces included.
        return (!argument.starts_with('-')).then(|| argument.to_owned());
    };
    let mut words = split.split_ascii_whitespace();
    while let Some(word) = words.next() {
        match word {
            "-u" | "--unset" | "-C" | "--chdir" => drop(words.next()),
            _ if word.starts_with('-') || word.contains('=') => {}
            _ if word.contains(['$', '\'', '"', '\\']) => return None,
            _ => return Some(word.to_owned()),
        }
    }
    None
}

impl Proof<'_> {
    /// A file that begins with `#!`.
    pub(super) fn script(
        &mut self,
        place: &Place,
        start: &[u8],
        depth: usize,
    ) -> io::Result<Option<Program>> {
        let path = shown(&place.path);
        let subject = Subject::File(path.clone());
        let Some(line) = parse(start) else {
            let message = format!("{path}: its #! line names no interpreter, so the kernel refuses it");
            self.error("script-interpreter-missing", subject, message).fix("name one", "#!/bin/sh");
            return Ok(None);
        };
        if !self.identity.may_read(&place.node) {
            let uid = self.identity.uid;
            let message =
                format!("{path}: user {uid} may execute the script, but its interpreter may not read it");
            let fixes = self.ways_to_permit(&path, Use::Read)?;
            self.error("script-not-readable", subject.clone(), message).fixes(fixes);
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut interpreter = text(&line.interpreter);
        let mut argument = line.argument.as_deref().map(text);
        let last = argument.as_mut().unwrap_or(&mut interpreter);
        if last.ends_with('\r') {
            last.pop();
            let message = format!(
                "{path}: its first line ends in a carriage return, so the kernel looks for {last:?} + CR"
            );
            let run = self.run(&format!("sed -i 's/\\r$//' {path}"));
            self.error("script-carriage-return", subject.clone(), message)
                .fix("take the Windows line ends out", run)
                .fix("or keep git from adding them: in .gitattributes", "*.sh text eol=lf");
        }
        let is_env = interpreter.rsplit('/').next() == Some("env");
        let Some(found) = self.interpreter(&path, &interpreter, depth)? else { return Ok(None) };
        let Some(argument) = argument.filter(|_| is_env) else {
            return Ok(Some(Self::behind(place, &interpreter, found)));
        };
        let Some(command) = env_command(&argument) else {
            return Ok(Some(Self::behind(place, &interpreter, found)));
        };
        match self.named_by_env(&path, &command, &argument, depth)? {
            Some(found) => Ok(Some(Self::behind(place, &command, found))),
            None => Ok(None),
        }
    }

    /// The script, once its interpreter is known.
    fn behind(place: &Place, interpreter: &str, found: Program) -> Program {
        let name = interpreter.trim_start_matches("/usr/bin/env ");
        Program { place: place.clone(), kind: format!("script for {name}, {}", found.kind), ..found }
    }

    fn interpreter(&mut self, script: &str, interpreter: &str, depth: usize) -> io::Result<Option<Program>> {
        let subject = Subject::File(script.to_owned());
        let found = match self.view.walk(&self.absolute(interpreter), &self.identity)? {
            Walk::Found(place) if place.node.is_file() => place,
            Walk::Denied(directory) => {
                let message = format!(
                    "{script} needs {interpreter}, and user {} may not enter {}",
                    self.identity.uid,
                    shown(&directory)
                );
                let fixes = self.ways_to_permit(&shown(&directory), Use::Enter)?;
                self.error("script-interpreter-missing", subject, message).fixes(fixes);
                return Ok(None);
            }
            _ => {
                let message = format!("{script} needs {interpreter}, which is not in the image");
                self.interpreter_missing(message, script, interpreter);
                return Ok(None);
            }
        };
        if !self.identity.may_execute(&found.node) {
            let message =
                format!("{script} needs {interpreter}, which user {} may not execute", self.identity.uid);
            let fixes = self.ways_to_permit(interpreter, Use::Execute)?;
            self.error("script-interpreter-missing", subject, message).fixes(fixes);
        }
        self.program(&found, depth + 1)
    }

    fn named_by_env(
        &mut self,
        script: &str,
        command: &str,
        argument: &str,
        depth: usize,
    ) -> io::Result<Option<Program>> {
        let places = if command.contains('/') {
            vec![self.absolute(command)]
        } else {
            self.search_path().iter().map(|folder| format!("{folder}/{command}").into_bytes()).collect()
        };
        for path in places {
            if let Walk::Found(place) = self.view.walk(&path, &self.identity)?
                && place.node.is_file()
                && self.identity.may_execute(&place.node)
            {
                return self.program(&place, depth + 1);
            }
        }
        let message = format!("{script} needs {command:?} by way of env, and it is not on PATH");
        if command.contains(' ') {
            let subject = Subject::File(script.to_owned());
            self.error("script-interpreter-missing", subject, message).fix(
                "env takes all behind it as one word unless told to split",
                format!("#!/usr/bin/env -S {argument}"),
            );
        } else {
            self.interpreter_missing(message, script, command);
        }
        Ok(None)
    }

    fn interpreter_missing(&mut self, message: String, script: &str, interpreter: &str) {
        let name = interpreter.rsplit('/').next().unwrap_or(interpreter);
        // bash is what most scripts name out of habit.
        let has_shell = matches!(self.view.file(b"/bin/sh"), Ok(Some(_)));
        let subject = Subject::File(script.to_owned());
        let finding = self.error("script-interpreter-missing", subject, message);
        if name == "bash" && has_shell {
            finding.fix("if it is plain shell, name the shell that is there", "#!/bin/sh");
        }
        if let Some(base) = base_with(name) {
            finding.fix(format!("use a base that has {name}"), format!("FROM {base}"));
        }
        if finding.fixes.is_empty() {
            let place = if interpreter.starts_with('/') {
                interpreter.to_owned()
            } else {
                format!("/usr/local/bin/{interpreter}")
            };
            finding.fix(
                "bring it (replace `build` by the stage that has it)",
                format!("COPY --from=build --chmod=755 {place} {place}"),
            );
        }
    }
}

/// An image that has an interpreter.
fn base_with(interpreter: &str) -> Option<&'static str> {
    Some(match interpreter {
        "sh" | "ash" => "alpine",
        "bash" | "dash" | "perl" => "debian:stable-slim",
        "node" | "nodejs" => "node:lts-slim",
        "ruby" => "ruby:slim",
        "php" => "php:cli",
        _ if interpreter.starts_with("python") => "python:3-slim",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_the_kernel_reads_them() {
        let line = |text: &str| {
            parse(text.as_bytes()).map(|line| {
                let argument = line.argument.unwrap_or_default();
                format!(
                    "{}|{}",
                    String::from_utf8_lossy(&line.interpreter),
                    String::from_utf8_lossy(&argument)
                )
            })
        };
        assert_eq!(line("#!/bin/sh\nx").as_deref(), Some("/bin/sh|"));
        assert_eq!(line("#! \t/bin/sh -e -u \n").as_deref(), Some("/bin/sh|-e -u"));
        assert_eq!(line("#!/bin/sh\r\n").as_deref(), Some("/bin/sh\r|"));
        assert_eq!(line("#!/bin/sh").as_deref(), Some("/bin/sh|"));
        assert_eq!(line("#!\n/bin/sh"), None);
        assert_eq!(line("#!  "), None);
    }

    #[test]
    fn what_env_is_asked_for() {
        for (argument, want) in [
            ("python3", Some("python3")),
            ("python3 -u", Some("python3 -u")),
            ("-S python3 -u", Some("python3")),
            ("-S -i -u X A=1 node --x", Some("node")),
            ("-i", None),
            ("-S ${X}", None),
        ] {
            assert_eq!(env_command(argument).as_deref(), want, "{argument}");
        }
    }
}
