//! One step into the arguments: a known interpreter is given a file, a shell a command, npm the name of a script.
//!
//! Warnings, never errors: what an interpreter makes of its arguments is its own business. Where an option is not
//! known, nothing is said.

use std::io;

use super::{Program, Proof, shown, words};

/// Largest `package.json` that is read, bytes.
const PACKAGE_BYTES_MAX: u64 = 4 << 20;

/// What the arguments of a program say.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// A file; one of these names.
    File(Vec<String>),
    /// A command that a shell looks up.
    Command(String),
    /// A script of `package.json`.
    PackageScript(String),
}

impl Proof<'_> {
    /// Looks at what a known interpreter is asked to run.
    pub(super) fn arguments(&mut self, program: &Program, argv: &[String]) -> io::Result<()> {
        let name = argv[0].rsplit('/').next().unwrap_or_default().to_owned();
        let resolved = shown(&program.place.path);
        let resolved = resolved.rsplit('/').next().unwrap_or_default();
        let wanted = wanted(&name, &argv[1..]).or_else(|| wanted(resolved, &argv[1..]));
        let subject = self.subject.clone();
        match wanted {
            None => {}
            Some(Wanted::File(names)) => {
                for name in &names {
                    if self.view.exists(&self.absolute(name))? {
                        return Ok(());
                    }
                }
                let path = self.absolute(&names[0]);
                if !self.is_in_volume(&path) {
                    let place = format!("/{}", String::from_utf8_lossy(&words::cleaned(&path)));
                    let message = format!("{name} is asked to run {}, and there is no {place}", names[0]);
                    let file = place.rsplit('/').next().unwrap_or(&place).to_owned();
                    self.warning("argument-missing", subject, message)
                        .fix("copy it there", format!("COPY {file} {place}"));
                }
            }
            Some(Wanted::Command(command)) => {
                if words::is_shell_word(&command) || self.is_command(&command)? {
                    return Ok(());
                }
                let message =
                    format!("{name} is asked to run {command}, which is not in the image or not on PATH");
                let fixes = self.ways_to_program(&command)?;
                self.warning("argument-missing", subject, message).fixes.extend(fixes);
            }
            Some(Wanted::PackageScript(script)) => self.package_script(&name, &script)?,
        }
        Ok(())
    }

    /// Whether a shell would find a command.
    fn is_command(&self, command: &str) -> io::Result<bool> {
        if command.contains('/') {
            let path = self.absolute(command);
            return Ok(self.is_in_volume(&path) || self.view.exists(&path)?);
        }
        for folder in self.search_path() {
            if self.view.exists(format!("{folder}/{command}").as_bytes())? {
                return Ok(true);
            }
        }
        // busybox finds its own applets without a file of that name.
        let shell = self.view.file(b"/bin/sh")?;
        Ok(shell.is_some_and(|shell| shell.path.ends_with(b"busybox")))
    }

    fn package_script(&mut self, tool: &str, script: &str) -> io::Result<()> {
        let subject = self.subject.clone();
        let Some(text) = self.view.read(&self.absolute("package.json"), PACKAGE_BYTES_MAX)? else {
            let message = format!("{tool} is asked to run {script}, and WORKDIR has no package.json");
            let folder = String::from_utf8_lossy(&self.working_directory).into_owned();
            self.warning("argument-missing", subject, message)
                .fix("copy it there", format!("COPY package.json {}/", folder.trim_end_matches('/')))
                .fix("or name the folder that has it", "WORKDIR /app");
            return Ok(());
        };
        let Ok(package) = serde_json::from_slice::<serde_json::Value>(&text) else { return Ok(()) };
        let has_default = script == "start" && self.view.exists(&self.absolute("server.js"))?;
        if package["scripts"][script].is_null() && !has_default {
            let message = format!("{tool} is asked to run {script}, which package.json does not have");
            self.warning("argument-missing", subject, message).fix(
                "add it to package.json",
                format!("\"scripts\": {{ \"{script}\": \"node server.js\" }}"),
            );
        }
        Ok(())
    }
}

/// What a program called `name` is asked to run by `arguments`.
fn wanted(name: &str, arguments: &[String]) -> Option<Wanted> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match name {
        "sh" | "bash" | "dash" | "ash" | "zsh" => shell(&arguments),
        "node" | "nodejs" => {
            let script =
                first_file(&arguments, &["-r", "--require", "--import", "--loader"], &["-e", "-p", "-c"])?;
            let names = ["", ".js", ".mjs", ".cjs", ".json", "/index.js"];
            Some(Wanted::File(names.iter().map(|end| format!("{script}{end}")).collect()))
        }
        "java" => {
            let jar = arguments.iter().position(|argument| *argument == "-jar")?;
            Some(Wanted::File(vec![(*arguments.get(jar + 1)?).to_owned()]))
        }
        "ruby" | "perl" | "php" => {
            Some(Wanted::File(vec![first_file(&arguments, &[], &["-e", "-r", "-E", "-S", "-f", "-a"])?]))
        }
        "npm" | "yarn" | "pnpm" | "bun" => match arguments[..] {
            ["start", ..] => Some(Wanted::PackageScript("start".to_owned())),
            ["run" | "run-script", script, ..] if !script.starts_with('-') => {
                Some(Wanted::PackageScript(script.to_owned()))
            }
            _ => None,
        },
        "tini" | "tini-static" | "dumb-init" | "catatonit" => {
            let command = match arguments.iter().position(|argument| *argument == "--") {
                Some(end) => arguments.get(end + 1)?,
                None => arguments.iter().find(|argument| !argument.starts_with('-'))?,
            };
            Some(Wanted::Command((*command).to_owned()))
        }
        _ if name.starts_with("python") => {
            Some(Wanted::File(vec![first_file(&arguments, &["-W", "-X"], &["-c", "-m", "-"])?]))
        }
        _ => None,
    }
}

/// The first argument that is no option. `with_value`: options that take the next argument. `instead`: options that
/// make the interpreter run something else.
fn first_file(arguments: &[&str], with_value: &[&str], instead: &[&str]) -> Option<String> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if instead.iter().any(|option| {
            argument == option || (option.len() == 2 && *option != "-" && argument.starts_with(option))
        }) {
            return None;
        }
        if with_value.contains(argument) {
            rest.next();
        } else if !argument.starts_with('-') {
            return Some((*argument).to_owned());
        }
    }
    None
}

fn shell(arguments: &[&str]) -> Option<Wanted> {
    for (index, argument) in arguments.iter().enumerate() {
        let Some(letters) = argument.strip_prefix('-') else {
            return Some(Wanted::File(vec![(*argument).to_owned()]));
        };
        if letters.starts_with('-') || letters.contains(['o', 's']) {
            return None;
        }
        if letters.contains('c') {
            return words::first_command(arguments.get(index + 1)?).map(Wanted::Command);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> String {
        let words: Vec<String> = line.split('|').map(str::to_owned).collect();
        match wanted(&words[0], &words[1..]) {
            None => "-".to_owned(),
            Some(Wanted::File(names)) => format!("file {}", names[0]),
            Some(Wanted::Command(command)) => format!("command {command}"),
            Some(Wanted::PackageScript(script)) => format!("script {script}"),
        }
    }

    #[test]
    fn what_interpreters_are_asked_to_run() {
        for (line, want) in [
            ("python3|-u|app.py|--x", "file app.py"),
            ("python3|-W|ignore|app.py", "file app.py"),
            ("python3|-m|http.server", "-"),
            ("python3.12|-c|print()", "-"),
            ("node|--max-old-space-size=1|server", "file server"),
            ("node|-r|dotenv|app.js", "file app.js"),
            ("node|-e|1", "-"),
            ("java|-Xmx1g|-jar|/app.jar", "file /app.jar"),
            ("java|-cp|x|Main", "-"),
            ("sh|/start.sh", "file /start.sh"),
            ("sh|-c|exec /app --x", "command /app"),
            ("bash|-lc|serve && x", "command serve"),
            ("sh|-c|$X", "-"),
            ("npm|start", "script start"),
            ("npm|run|serve", "script serve"),
            ("tini|-g|--|/app", "command /app"),
            ("nginx|-g|daemon off;", "-"),
        ] {
            assert_eq!(asked(line), want, "{line}");
        }
    }
}
