//! Our side of a running step: start the child that sets it up, hear what becomes of it, wait, kill.
//!
//! Read `protocol.rs` for what is said and `child/mod.rs` for what the other side does.

use std::fs::File;
use std::io::{self, PipeReader, Seek as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::MemfdFlags;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};
use serde::{Deserialize, Serialize};

use crate::error::Context as _;
use crate::protocol::{self, Message};
use crate::{ControlGroup, Error, Spec, Stdio, executable, launcher, sys};

/// Longest wait for an answer of a port on the loopback interface.
const CONNECT_TIME_MAX: Duration = Duration::from_millis(500);

/// Must be the first call in `main`: if this process is a child that sets up a sandbox, it never returns.
pub fn init() {
    if let Some(role) = protocol::role() {
        crate::child::run(role);
    }
}

/// How the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code, if it exited.
    pub code: Option<i32>,
    /// The signal, if one ended it.
    pub signal: Option<i32>,
    /// It was killed while the kernel reported that it killed something for lack of memory, somewhere.
    pub oom_killed: bool,
}

impl Exit {
    /// Whether the exit code is 0.
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// As a shell counts: the exit code, or 128 plus the signal.
    pub fn shell_code(&self) -> i32 {
        self.code.unwrap_or_else(|| 128 + self.signal.unwrap_or(0))
    }
}

/// A running process in its sandbox. Dropping it kills everything inside.
#[derive(Debug)]
pub struct Child {
    /// Reads its standard output ([`Stdio::Piped`]). Read both, or the process stops when a pipe is full.
    pub stdout: Option<PipeReader>,
    /// Reads its standard error.
    pub stderr: Option<PipeReader>,
    setup: Setup,
    killer: Killer,
}

impl Child {
    /// Waits until the process and everything that it started have ended and the mount points made for it are gone. Its
    /// mounts may take a moment longer: they end, at the latest, when this is dropped.
    ///
    /// # Errors
    /// [`Error::ChildVanished`] if the process that supervises it was killed from outside; nothing runs then either.
    pub fn wait(&mut self) -> Result<Exit, Error> {
        loop {
            match protocol::receive(self.setup.control.as_fd()).context("wait for the step")? {
                Some((Message::Exited(exit), _)) => {
                    self.setup.ends = true;
                    return Ok(exit);
                }
                Some((Message::Failed(error), _)) => return Err(error),
                Some(_) => {}
                None => return Err(self.setup.vanished()),
            }
        }
    }

    /// A handle for killing it from elsewhere.
    pub fn killer(&self) -> Killer {
        self.killer.clone()
    }
}

/// Kills a sandbox from any thread. Cheap to clone; outlives the child harmlessly.
#[derive(Clone, Debug)]
pub struct Killer {
    /// Pid 1 inside. A pidfd never means another process.
    first: Arc<OwnedFd>,
}

impl Killer {
    /// Ends everything inside at once. No error if it is over already.
    pub fn kill(&self) {
        let _ = pidfd_send_signal(&*self.first, Signal::KILL);
    }

    /// Sends a signal to the process (pid 1 inside: signals without a handler are ignored, except SIGKILL). A number
    /// that is no signal does nothing.
    pub fn signal(&self, signal: i32) {
        if let Some(signal) = Signal::from_named_raw(signal) {
            let _ = pidfd_send_signal(&*self.first, signal);
        }
    }
}

impl Killer {
    /// Whether something accepts connections to a TCP port of the process's own loopback interface.
    ///
    /// # Errors
    /// If its network namespace cannot be entered (the process has ended, or we have no right to).
    pub fn answers(&self, port: u16) -> io::Result<bool> {
        let first = Arc::clone(&self.first);
        // A thread is in one network namespace; this one ends in the other.
        let asked = std::thread::spawn(move || -> io::Result<bool> {
            move_into_thread_name_spaces(first.as_fd(), ThreadNameSpaceType::NETWORK)?;
            let hosts: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            let connects =
                |host: &IpAddr| TcpStream::connect_timeout(&(*host, port).into(), CONNECT_TIME_MAX).is_ok();
            Ok(hosts.iter().any(connects))
        });
        asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.setup.reaped && !self.setup.ends {
            self.killer.kill();
        }
    }
}

/// The child that set the sandbox up and now waits for pid 1.
#[derive(Debug)]
struct Setup {
    pid: OwnedFd,
    control: OwnedFd,
    /// It has said its last word.
    ends: bool,
    reaped: bool,
}

impl Setup {
    /// Collects the exit status of the child, which ends right after its last message.
    fn reap(&mut self) -> String {
        self.reaped = true;
        loop {
            match waitid(WaitId::PidFd(self.pid.as_fd()), WaitIdOptions::EXITED) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(Some(status)) => {
                    return match (status.exit_status(), status.terminating_signal()) {
                        (_, Some(signal)) => format!("signal {signal}"),
                        (code, None) => format!("exit code {}", code.unwrap_or_default()),
                    };
                }
                Ok(None) => return "still running".into(),
                Err(errno) => return crate::Errno::from(errno).to_string(),
            }
        }
    }

    fn vanished(&mut self) -> Error {
        Error::ChildVanished { status: self.reap() }
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        if !self.reaped {
            // Whatever it is doing, if not ending: without it and pid 1 (see `Child::drop`, which runs first) nothing is
            // left.
            let _ = rustix::net::shutdown(&self.control, rustix::net::Shutdown::Both);
            self.reap();
        }
    }
}

/// Starts the process. Returns when it has been executed, or with the reason why not. Takes a few milliseconds; may be
/// called from many threads at once, and the calling thread may end before the process does.
///
/// The process is in a session of its own: Ctrl-C on our terminal does not reach it. Use a [`Killer`].
///
/// # Errors
/// Everything that keeps the program from running is an error here, never an exit code; see [`Error`].
pub fn spawn(spec: &Spec) -> Result<Child, Error> {
    spawn_in(spec, None)
}

/// As [`spawn`], in a control group, which must be there until the process has ended.
///
/// # Errors
/// As there.
pub fn spawn_in(spec: &Spec, group: Option<&ControlGroup>) -> Result<Child, Error> {
    if spec.argv.is_empty() {
        return Err(Error::EmptyCommand);
    }
    if let Some(child) = try_to_spawn(spec, group)? {
        return Ok(child);
    }
    // Somebody has killed the launcher while it heard us, or the child.
    launcher::give_up();
    try_to_spawn(spec, group)?.ok_or_else(|| Error::ChildVanished { status: "before it began".to_owned() })
}

/// `None` if there is no child, for it has not said that it begins.
fn try_to_spawn(spec: &Spec, group: Option<&ControlGroup>) -> Result<Option<Child>, Error> {
    let (mut stdout, mut stderr) = (None, None);
    let control = match spec.stdio {
        Stdio::Piped => {
            // The writing end is closed at once: standard input is at its end.
            let (input, _) = io::pipe().context("make a pipe")?;
            let (read_out, write_out) = io::pipe().context("make a pipe")?;
            let (read_err, write_err) = io::pipe().context("make a pipe")?;
            (stdout, stderr) = (Some(read_out), Some(read_err));
            ask_for_sandbox([input.as_fd(), write_out.as_fd(), write_err.as_fd()], spec, group)?
        }
        Stdio::Inherit => {
            let (input, output, errors) = (io::stdin(), io::stdout(), io::stderr());
            ask_for_sandbox([input.as_fd(), output.as_fd(), errors.as_fd()], spec, group)?
        }
    };
    let mut setup = match protocol::receive(control.as_fd()).context("talk with the sandbox")? {
        Some((Message::Begun(pid), _)) => {
            let pid =
                Pid::from_raw(pid).ok_or_else(|| Error::Internal(format!("the sandbox is process {pid}")))?;
            child(pid, control)?
        }
        Some((Message::Failed(error), _)) => return Err(error),
        Some((other, _)) => return Err(Error::Internal(format!("the sandbox said {other:?} first"))),
        None => return Ok(None),
    };
    match protocol::receive(setup.control.as_fd()).context("talk with the sandbox")? {
        Some((Message::Started, Some(first))) => {
            Ok(Some(Child { stdout, stderr, setup, killer: Killer { first: Arc::new(first) } }))
        }
        Some((Message::Failed(error), _)) => {
            setup.reap();
            Err(error)
        }
        None => Err(setup.vanished()),
        Some((other, _)) => Err(Error::Internal(format!("the sandbox said {other:?}"))),
    }
}

/// Lets a child try what is permitted here; see `probe.rs`.
pub(crate) fn spawn_probe() -> Result<crate::Probe, Error> {
    let nothing = send_to_file(&()).context("write the spec of the probe")?;
    let (input, output) = io::pipe().context("make a pipe")?;
    let mut setup = start(protocol::PROBE_ROLE, [input.as_fd(), output.as_fd(), output.as_fd()], &nothing)?;
    match protocol::receive(setup.control.as_fd()).context("talk with the probe")? {
        Some((Message::Probed(probe), _)) => {
            setup.reap();
            Ok(probe)
        }
        Some((other, _)) => Err(Error::Internal(format!("the probe said {other:?}"))),
        None => Err(setup.vanished()),
    }
}

/// Asks the launcher for a child that sets a sandbox up. Returns our end of its socket; nobody else of ours holds the
/// other one.
fn ask_for_sandbox(
    standard: [BorrowedFd<'_>; 3],
    spec: &Spec,
    group: Option<&ControlGroup>,
) -> Result<OwnedFd, Error> {
    let members: Vec<BorrowedFd<'_>> = group.iter().flat_map(|group| group.members()).collect();
    let task = protocol::Task { spec, groups: members.len() };
    let spec = send_to_file(&task).context("write the spec of the sandbox")?;
    let (ours, theirs) = protocol::channel().context("make a socket")?;
    for group in members {
        protocol::send(ours.as_fd(), &Message::Joins, Some(group)).context("send a control group")?;
    }
    let [input, output, errors] = standard;
    let descriptors = [input, output, errors, theirs.as_fd(), spec.as_fd()];
    launcher::start(descriptors, || {
        let nothing = send_to_file(&()).context("write the spec of the launcher")?;
        let (input, output) = io::pipe().context("make a pipe")?;
        let standard = [input.as_fd(), output.as_fd(), output.as_fd()];
        // It ends with us, and nobody asks how.
        let (_, socket) = execute(protocol::LAUNCHER_ROLE, standard, &nothing)?;
        Ok(socket)
    })?;
    Ok(ours)
}

/// Starts a child in a role, by executing our own program.
fn start(role: &str, standard: [BorrowedFd<'_>; 3], spec: &File) -> Result<Setup, Error> {
    let (pid, ours) = execute(role, standard, spec)?;
    child(pid, ours)
}

fn execute(role: &str, standard: [BorrowedFd<'_>; 3], spec: &File) -> Result<(Pid, OwnedFd), Error> {
    let executable = executable::own().context("find our own program")?;
    let (ours, theirs) = protocol::channel().context("make a socket")?;
    let [input, output, errors] = standard;
    let descriptors = [input, output, errors, theirs.as_fd(), spec.as_fd()];
    let arguments = protocol::arguments(role);
    let pid: Pid = sys::spawn(&executable.path, &arguments, &descriptors)
        // Some security modules refuse to execute from a mount that is attached nowhere.
        .or_else(|_| sys::spawn(c"/proc/self/exe", &arguments, &descriptors))
        .context(format!("start the process {role:?}"))?;
    Ok((pid, ours))
}

fn child(pid: Pid, control: OwnedFd) -> Result<Setup, Error> {
    // It is our child and not yet reaped, so the number still means it.
    let pid = pidfd_open(pid, PidfdFlags::empty()).context("open a pidfd")?;
    Ok(Setup { pid, control, ends: false, reaped: false })
}

/// Writes a value to a file in memory, ready to be read.
fn send_to_file(value: &impl Serialize) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("sandbox", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(value)?)?;
    file.rewind()?;
    Ok(file)
}
