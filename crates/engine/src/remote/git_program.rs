//! The program `git`, kept in check: no configuration but ours, no prompts, no hooks, four ways of transport.
//!
//! A repository is hostile input. What could make git run something on its behalf is configuration (which a
//! repository cannot bring along, except through a submodule's URL), hooks, filters and transport helpers. So: a home of
//! its own, `GIT_CONFIG_NOSYSTEM`, an allow-list of transports, hooks pointed to nowhere. Secrets go by environment, not
//! by command line, which everybody on the machine can read.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::cancel::Cancel;
use crate::error::Error;

/// Most output that is read of one command, bytes (a listing of all names of a huge repository).
const OUTPUT_BYTES_MAX: u64 = 64 << 20;
/// Variables of the caller that git may see.
const PASSED_ON: [&str; 14] = [
    "PATH",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "TMPDIR",
    "USER",
];
/// Settings of every command. `safe.directory`: the folders are ours, whoever owns them in this user namespace.
const SETTINGS: [(&str, &str); 20] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.autocrlf", "false"),
    ("core.eol", "lf"),
    ("core.fileMode", "true"),
    ("core.symlinks", "true"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("core.logAllRefUpdates", "false"),
    ("core.askPass", ""),
    ("credential.helper", ""),
    ("protocol.ext.allow", "never"),
    ("protocol.file.allow", "never"),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("advice.detachedHead", "false"),
    ("init.defaultBranch", "master"),
    ("gc.auto", "0"),
    ("safe.directory", "*"),
    ("http.lowSpeedTime", "60"),
];

/// How git is to be run for one repository.
#[derive(Debug)]
pub(super) struct GitProgram<'a> {
    pub(super) cancel: &'a Cancel,
    /// An empty folder that is home to git and ssh.
    pub(super) home: &'a Path,
    /// The socket of an ssh agent.
    pub(super) agent: Option<PathBuf>,
    /// Further settings, among them authorizations.
    pub(super) settings: Vec<(String, String)>,
}

impl GitProgram<'_> {
    /// Runs `git ARGUMENTS` in `folder`; returns its standard output.
    pub(super) fn run<I, S>(&self, folder: &Path, arguments: I) -> Result<String, Error>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let arguments: Vec<OsString> = arguments.into_iter().map(|a| a.as_ref().to_owned()).collect();
        let mut command = Command::new("git");
        command.args(&arguments).current_dir(folder).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.environment(&mut command);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::Git {
                reason: "the program git is not installed".to_owned(),
                hint: Some("install git; it fetches repositories".to_owned()),
            },
            _ => Error::io("start", "git")(error),
        })?;
        let group = Pid::from_child(&child);
        let guard = self.cancel.guard(move || {
            // Gone already is as good.
            let _ = kill_process_group(group, Signal::KILL);
        });
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (output, errors) = std::thread::scope(|scope| {
            let errors = scope.spawn(|| read(stderr));
            (read(stdout), errors.join().unwrap_or_default())
        });
        let status = child.wait().map_err(Error::io("wait for", "git"))?;
        drop(guard);
        if self.cancel.is_raised() {
            return Err(Error::Canceled);
        }
        if status.success() {
            return Ok(String::from_utf8_lossy(&output).into_owned());
        }
        Err(self.failed(&arguments, &String::from_utf8_lossy(&errors)))
    }

    fn environment(&self, command: &mut Command) {
        command.env_clear();
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        // git's own curl knows one variable, other programs the other.
        if std::env::var_os("GIT_SSL_CAINFO").is_none()
            && let Some(file) = std::env::var_os("SSL_CERT_FILE")
        {
            command.env("GIT_SSL_CAINFO", file);
        }
        command.env("HOME", self.home).env("XDG_CONFIG_HOME", self.home).env("LC_ALL", "C");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.env("GIT_ATTR_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0").env("GIT_ASKPASS", "");
        command.env("GIT_ALLOW_PROTOCOL", "http:https:git:ssh").env("GIT_OPTIONAL_LOCKS", "0");
        command.env("GIT_SSH_COMMAND", self.ssh_command()).env("GIT_SSH_VARIANT", "ssh");
        if let Some(agent) = &self.agent {
            command.env("SSH_AUTH_SOCK", agent);
        }
        let ours = SETTINGS.iter().map(|(name, value)| (*name, *value));
        let more = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let speed = [("http.lowSpeedLimit", "1000")];
        let mut count = 0;
        for (name, value) in ours.chain(speed).chain(more) {
            command.env(format!("GIT_CONFIG_KEY_{count}"), name);
            command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
    }

    /// ssh with keys from the agent only. Hosts that the user or the system knows must be who they were; a new one is
    /// believed once (BuildKit asks whoever answers for its key).
    fn ssh_command(&self) -> String {
        let known = self.home.join("known_hosts");
        let mut trusted = vec!["/etc/ssh/ssh_known_hosts".to_owned()];
        if let Some(home) = std::env::var_os("HOME") {
            trusted.push(Path::new(&home).join(".ssh/known_hosts").display().to_string());
        }
        let trusted: Vec<String> =
            trusted.into_iter().filter(|path| !path.contains(['\'', '"', ' '])).collect();
        format!(
            "ssh -F /dev/null -o BatchMode=yes -o ConnectTimeout=30 -o IdentityFile=none -o StrictHostKeyChecking=accept-new \
             -o UserKnownHostsFile='{}' -o GlobalKnownHostsFile='{}'",
            known.display(),
            trusted.join(" ")
        )
    }

    /// git's own words: the last line that says why.
    fn failed(&self, arguments: &[OsString], errors: &str) -> Error {
        let line = errors
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("fatal: ").or_else(|| line.strip_prefix("error: ")))
            .or_else(|| errors.lines().rev().find(|line| !line.trim().is_empty()))
            .unwrap_or("it says nothing");
        let mut reason: String = line.chars().filter(|c| !c.is_control()).take(400).collect();
        for (_, secret) in self.settings.iter().filter(|(name, _)| name.ends_with(".extraheader")) {
            reason = reason.replace(secret, "****");
        }
        // The first that is neither `-c` nor its value.
        let is_option =
            |a: &OsString| a.as_encoded_bytes().starts_with(b"-") || a.as_encoded_bytes().contains(&b'=');
        let verb = arguments.iter().find(|a| !is_option(a));
        let verb = verb.map(|a| a.to_string_lossy().into_owned()).unwrap_or_default();
        let hint = if errors.contains("could not read Username") || errors.contains("Authentication failed") {
            Some("give a token with --secret id=GIT_AUTH_TOKEN,src=FILE (or env=NAME)".to_owned())
        } else if errors.contains("Permission denied (") {
            Some("give an ssh agent with a key for it: --ssh default".to_owned())
        } else {
            None
        };
        Error::Git { reason: format!("git {verb}: {reason}"), hint }
    }
}

fn read(from: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        // What cannot be read is missing from a message; the exit status decides.
        let _ = from.by_ref().take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes);
        let _ = std::io::copy(&mut from, &mut std::io::sink());
    }
    bytes
}
