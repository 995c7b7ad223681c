//! `--verify=run`: starts an image in the sandbox and watches it for a while.
//!
//! It has no network but its own loopback, and what it writes is thrown away. If the image EXPOSEs TCP ports, one of
//! them has to answer; else the process has to live for a set time, or to end well.

use std::fmt;
use std::io::Read;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jettison_engine::{self as engine, Cancel, event::Weight, network_files};
use jettison_oci::{ContainerConfig, Platform};
use jettison_sandbox::{self as sandbox, Emulation, Exit, Killer, Network, Root, Spec};
use jettison_store::{SnapshotId, Store};

/// How long a process that exposes nothing has to live.
const LIFE: Duration = Duration::from_secs(2);
/// How long an exposed port may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(25);
/// Last bytes of output that are kept.
const TAIL_BYTES: usize = 2 << 10;
/// Exit codes of shells for what cannot be executed and what is not found.
const NOT_STARTED: [i32; 2] = [126, 127];

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trial {
    /// A port answered.
    Answered { port: u16, after: Duration },
    /// It was still there after the set time.
    Lived {
        /// The ports that did not answer, if it exposes any.
        silent: Vec<u16>,
        output: String,
    },
    /// It ended by itself.
    Ended { exit: String, code: i32, output: String },
    /// It did not start.
    NotStarted(String),
    /// It is for a machine that this one neither is nor emulates: which one, and why not.
    OtherMachine(String, String),
    /// It has no command.
    NoCommand,
}

impl Trial {
    /// How much it weighs.
    pub(crate) fn weight(&self) -> Weight {
        match self {
            Self::NotStarted(_) => Weight::Error,
            Self::Ended { code, output, .. } if NOT_STARTED.contains(code) || is_loader_error(output) => {
                Weight::Error
            }
            Self::Ended { code: 0, .. } | Self::Answered { .. } => Weight::Note,
            Self::Lived { silent, .. } if silent.is_empty() => Weight::Note,
            Self::Ended { .. } | Self::Lived { .. } | Self::OtherMachine(..) | Self::NoCommand => {
                Weight::Warning
            }
        }
    }

    /// Stable name.
    pub(crate) fn rule(&self) -> &'static str {
        match self {
            Self::Answered { .. } => "run-answers",
            Self::Lived { silent, .. } if silent.is_empty() => "run-lives",
            Self::Lived { .. } => "run-silent",
            Self::Ended { .. } => "run-ended",
            Self::NotStarted(_) => "run-not-started",
            Self::OtherMachine(..) | Self::NoCommand => "run-impossible",
        }
    }
}

/// What glibc's and musl's loaders say.
fn is_loader_error(output: &str) -> bool {
    output.contains("error while loading shared libraries") || output.contains("Error loading shared library")
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tail = |output: &str| match output.trim() {
            "" => String::new(),
            text => format!("; it said: {text}"),
        };
        match self {
            Self::Answered { port, after } => {
                write!(f, "started: port {port} answers after {:.1} s", after.as_secs_f64())
            }
            Self::Lived { silent, output } if silent.is_empty() => {
                write!(f, "started: it lives after {} s{}", LIFE.as_secs(), tail(output))
            }
            Self::Lived { silent, output } => {
                let ports: Vec<String> = silent.iter().map(ToString::to_string).collect();
                let ports = ports.join(", ");
                write!(
                    f,
                    "started, but port {ports} does not answer within {} s{}",
                    ANSWER_MAX.as_secs(),
                    tail(output)
                )
            }
            Self::Ended { exit, output, .. } => write!(f, "started and ended with {exit}{}", tail(output)),
            Self::NotStarted(reason) => write!(f, "did not start: {reason}"),
            Self::OtherMachine(platform, reason) => {
                write!(f, "not started: it is for {platform}, this machine is {}: {reason}", Platform::host())
            }
            Self::NoCommand => f.write_str("not started: it has neither ENTRYPOINT nor CMD"),
        }
    }
}

/// Why programs of a platform cannot be started here; `None` if they can: it is this machine's, or an emulator is there.
pub(crate) fn other_machine(platform: &Platform) -> Option<Trial> {
    let reason = match sandbox::emulation(&platform.architecture) {
        _ if platform.os != "linux" => "only programs for Linux run here".to_owned(),
        Emulation::Missing(reason) => reason,
        Emulation::Native | Emulation::Handled => return None,
    };
    Some(Trial::OtherMachine(platform.to_string(), reason))
}

/// Starts an image whose files are `snapshot` and says what happened.
pub(crate) fn run(
    store: &Store,
    snapshot: Option<&SnapshotId>,
    config: &ContainerConfig,
    cancel: &Cancel,
) -> Result<Trial, engine::Error> {
    let draft = store.begin_snapshot(snapshot)?;
    let root = if draft.lowers().is_empty() {
        Root::Directory(draft.fs().to_owned())
    } else {
        Root::Overlay {
            lowers: draft.lowers().to_vec(),
            upper: draft.fs().to_owned(),
            work: draft.work().to_owned(),
        }
    };
    let Some(spec) = spec(config, root) else { return Ok(Trial::NoCommand) };
    let mut child = match sandbox::spawn(&spec) {
        Ok(child) => child,
        Err(error) => return Ok(Trial::NotStarted(error.to_string())),
    };
    let killer = child.killer();
    let guard = {
        let killer = killer.clone();
        cancel.guard(move || killer.kill())
    };
    let tail: Arc<Mutex<Vec<u8>>> = Arc::default();
    let (sender, ended) = mpsc::channel();
    let trial = std::thread::scope(|scope| {
        if let Some(stdout) = child.stdout.take() {
            scope.spawn(|| keep_tail(stdout, &tail));
        }
        if let Some(stderr) = child.stderr.take() {
            scope.spawn(|| keep_tail(stderr, &tail));
        }
        scope.spawn(move || sender.send(child.wait()));
        let watched = watch(&killer, &ended, &tcp_ports(config));
        killer.kill();
        watched
    });
    drop(guard);
    if cancel.is_raised() {
        return Err(engine::Error::Canceled);
    }
    let output = {
        let tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&tail).into_owned()
    };
    Ok(match trial {
        Watched::Answered(port, after) => Trial::Answered { port, after },
        Watched::Lived(silent) => Trial::Lived { silent, output },
        Watched::Ended(Ok(exit)) => Trial::Ended { exit: exit_text(exit), code: exit.shell_code(), output },
        Watched::Ended(Err(error)) => Trial::NotStarted(error.to_string()),
    })
}

enum Watched {
    Answered(u16, Duration),
    Lived(Vec<u16>),
    Ended(Result<Exit, sandbox::Error>),
}

fn watch(killer: &Killer, ended: &Receiver<Result<Exit, sandbox::Error>>, ports: &[u16]) -> Watched {
    let start = Instant::now();
    let deadline = if ports.is_empty() { LIFE } else { ANSWER_MAX };
    loop {
        match ended.recv_timeout(PAUSE) {
            Ok(result) => return Watched::Ended(result),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return Watched::Lived(ports.to_vec()),
        }
        // A namespace that cannot be entered belongs to a process that is about to be reported as ended.
        if let Some(port) = ports.iter().find(|port| killer.answers(**port).unwrap_or(false)) {
            return Watched::Answered(*port, start.elapsed());
        }
        if start.elapsed() >= deadline {
            return Watched::Lived(ports.to_vec());
        }
    }
}

fn keep_tail(mut from: impl Read, tail: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer) {
            Ok(n) if n > 0 => {
                let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                tail.extend_from_slice(&buffer[..n]);
                let surplus = tail.len().saturating_sub(TAIL_BYTES);
                tail.drain(..surplus);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}

fn spec(config: &ContainerConfig, root: Root) -> Option<Spec> {
    let entrypoint = config.entrypoint.iter().flatten();
    let argv: Vec<String> = entrypoint.chain(config.cmd.iter().flatten()).cloned().collect();
    if argv.is_empty() {
        return None;
    }
    let mut spec = Spec::new(root, argv);
    spec.env.clone_from(&config.env);
    if config.env_value("PATH").is_none() {
        spec.env.insert(0, crate::commands::run::DEFAULT_PATH.to_owned());
    }
    spec.cwd = if config.working_dir.is_empty() { "/".to_owned() } else { config.working_dir.clone() };
    spec.user.clone_from(&config.user);
    spec.hostname = "jettison".to_owned();
    spec.hosts = network_files::hosts(&spec.hostname, &[]);
    spec.network = Network::None;
    Some(spec)
}

/// TCP ports that the image exposes.
fn tcp_ports(config: &ContainerConfig) -> Vec<u16> {
    let ports = config.exposed_ports.keys().filter_map(|text| match text.split_once('/') {
        Some((port, "tcp")) => port.parse().ok(),
        Some(_) => None,
        None => text.parse().ok(),
    });
    ports.collect()
}

fn exit_text(exit: Exit) -> String {
    match (exit.code, exit.signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_weighs_how_much() {
        let ended = |code, output: &str| {
            Trial::Ended { exit: String::new(), code, output: output.to_owned() }.weight()
        };
        assert_eq!(ended(0, ""), Weight::Note);
        assert_eq!(ended(1, "usage: x"), Weight::Warning);
        assert_eq!(ended(127, ""), Weight::Error);
        assert_eq!(ended(1, "x: error while loading shared libraries: libz.so.1"), Weight::Error);
        assert_eq!(Trial::Lived { silent: vec![80], output: String::new() }.weight(), Weight::Warning);
    }

    #[test]
    fn only_tcp_ports_are_asked() {
        let mut config = ContainerConfig::default();
        for port in ["80/tcp", "53/udp", "8080", "x/tcp"] {
            config.exposed_ports.insert(port.to_owned(), jettison_oci::Empty {});
        }
        assert_eq!(tcp_ports(&config), [80, 8080]);
    }
}
