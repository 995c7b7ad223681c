//! The child that sets a sandbox up and then supervises it. One thread, the copy of a process that was executed for this
//! and has done nothing else (`launcher.rs`), nothing inherited but five descriptors.
//!
//! ```text
//! our process ──spawn──▶ supervisor (this file)          caller's pid namespace, the sandbox's other ones
//!                          1 unshare (ahead: `launcher.rs`), root mounted, user known, working directory made
//!                          2 fork ──────────▶ pid 1 (`first.rs`)
//!                          3 report, wait        mounts, privileges, exec
//!                          4 remove stubs, report the end
//! ```
//!
//! Each step below says why it stands where it does.

mod capabilities;
mod dev;
mod execute;
mod first;
mod identity;
pub(crate) mod limits;
mod network;
mod proc;
mod root;
pub(crate) mod seccomp;
mod step_mounts;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, pidfd_open, pidfd_send_signal, umask, waitpid,
};
use rustix::thread::UnshareFlags;

use crate::error::Context as _;
use crate::protocol::{self, Message};
use crate::stubs::Stubs;
use crate::sys::{self, Fork};
use crate::{Error, Exit, Network, launcher};

/// Plays the role and ends the process.
pub(crate) fn run(role: &str) -> ! {
    // First of all: whatever else is open was left open by whoever started our process; a step must not have it.
    let closed = sys::close_range(protocol::FIRST_FOREIGN, false);
    let Ok(control) = closed.and_then(|()| sys::inherited(protocol::CONTROL)) else { sys::exit(1) };
    // What is made for the step must not depend on the umask of whoever called us.
    umask(Mode::from_raw_mode(0o022));
    if role == protocol::PROBE_ROLE {
        name_ourselves();
        // If nobody listens any more, nobody needs to know.
        let _ = protocol::send(control.as_fd(), &Message::Probed(crate::probe::try_everything()), None);
        sys::exit(0)
    }
    let prepared = launcher::run(control);
    // In a copy, whose descriptors are its own.
    let (Ok(control), Ok(spec)) = (sys::inherited(protocol::CONTROL), sys::inherited(protocol::SPEC)) else {
        sys::exit(1)
    };
    let own = Message::Begun(getpid().as_raw_nonzero().get());
    if protocol::send(control.as_fd(), &own, None).is_err() {
        // Given up already.
        sys::exit(0)
    }
    let message = match supervise(&control, spec, prepared) {
        Ok(exit) => Message::Exited(exit),
        Err(error) => Message::Failed(error),
    };
    let _ = protocol::send(control.as_fd(), &message, None);
    sys::exit(0)
}

/// We are executed through a descriptor, whose number would be our name in lists of processes.
fn name_ourselves() {
    let _ = rustix::thread::set_name(c"jettison-run");
}

/// What is the same for every sandbox, done before anybody asks for one.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// How it went; said when somebody asks.
    namespaces: Result<(), Error>,
    /// See [`count_oom_kills`].
    oom_kills: u64,
}

/// Prepares this process for a sandbox.
pub(crate) fn prepare() -> Prepared {
    name_ourselves();
    let oom_kills = File::open(OOM_KILLS).map_or(0, |file| count_oom_kills(&file));
    Prepared { namespaces: unshare_namespaces(), oom_kills }
}

fn unshare_namespaces() -> Result<(), Error> {
    // Before any mount, so that every mount happens where nobody else can see it. The pid namespace takes effect for
    // the next fork only: we stay outside, and what we fork becomes pid 1.
    let namespaces = UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    sys::unshare(namespaces).context("unshare namespaces")?;
    // Mounts of ours must not travel out, nor those of the host in.
    let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount_change("/", private).mounting("private propagation", "/")
}

fn supervise(control: &OwnedFd, spec: OwnedFd, prepared: Prepared) -> Result<Exit, Error> {
    prepared.namespaces?;
    let mut text = Vec::new();
    File::from(spec).read_to_end(&mut text).context("read the spec")?;
    let protocol::Task { spec, groups }: protocol::Task<crate::Spec> =
        serde_json::from_slice(&text).map_err(|error| Error::Internal(error.to_string()))?;
    drop(text);
    // They were sent before we began, and nothing else is ever sent to us.
    let groups = (0..groups).map(|_| receive_group(control)).collect::<Result<Vec<_>, _>>()?;

    // As soon as there is a network namespace; needs its capabilities, which end with exec.
    if spec.network == Network::None {
        sys::unshare(UnshareFlags::NEWNET).context("unshare the network namespace")?;
        network::bring_loopback_up()?;
    }
    rustix::system::sethostname(spec.hostname.as_bytes()).context("set the host name")?;

    // Before the user can be looked up in it.
    let root = root::mount(&spec.root)?;
    // Before the step's mounts, as BuildKit does it: a mount over /etc/passwd changes nothing, and a working directory
    // that is made under a mount point stays in the layer.
    let user = identity::resolve(root.directory().as_fd(), &spec.user)?;
    root::make_working_directory(root.directory(), &spec.cwd, &user)?;

    let (report_in, report_out) = io::pipe().context("make a pipe")?;
    // Opened now: once pid 1 has entered the root, so have we.
    let oom_kills = File::open(OOM_KILLS).ok();
    let first = match sys::fork().context("fork")? {
        Fork::Child => first::run(&spec, &root, &user, &groups, report_out.into(), control),
        Fork::Parent(pid) => pid,
    };
    // Ours would keep the report open.
    drop(report_out);
    drop(groups);
    // Not yet reaped, so the number still means our child.
    let first_fd = pidfd_open(first, PidfdFlags::empty()).context("open a pidfd")?;
    let stubs = match read_report(report_in) {
        Ok(stubs) => stubs,
        Err((stubs, error)) => {
            let _ = wait_for_end(first);
            root.remove(&stubs);
            return Err(error);
        }
    };
    // The pipes of the step must end with the step, not with us.
    let input = io::stdin();
    let _ = sys::replace_standard_descriptor(input.as_fd(), 1);
    let _ = sys::replace_standard_descriptor(input.as_fd(), 2);
    let _ = protocol::send(control.as_fd(), &Message::Started, Some(first_fd.as_fd()));

    let mut exit = wait(first, &first_fd, control.as_fd())?;
    let killed = exit.signal == Some(libc::SIGKILL) || exit.code == Some(128 + libc::SIGKILL);
    exit.oom_killed = killed && oom_kills.is_some_and(|file| count_oom_kills(&file) > prepared.oom_kills);
    // After everything inside has ended (the end of pid 1 waits for that), so that nobody fills them again.
    root.remove(&stubs);
    Ok(exit)
}

fn receive_group(control: &OwnedFd) -> Result<OwnedFd, Error> {
    match protocol::receive(control.as_fd()).context("receive a control group")? {
        Some((Message::Joins, Some(group))) => Ok(group),
        other => Err(Error::Internal(format!("{other:?} instead of a control group"))),
    }
}

/// What pid 1 has to say before it is another program: first its stubs, then nothing (executed) or an error.
fn read_report(report: io::PipeReader) -> Result<Stubs, (Stubs, Error)> {
    let mut values =
        serde_json::Deserializer::from_reader(io::BufReader::new(report)).into_iter::<first::Report>();
    let mut stubs = Stubs::default();
    loop {
        match values.next() {
            Some(Ok(first::Report::Ready(made))) => stubs = made,
            Some(Ok(first::Report::Failed(made, error))) => return Err((made.unwrap_or(stubs), error)),
            Some(Err(error)) => return Err((stubs, Error::Internal(error.to_string()))),
            None => return Ok(stubs),
        }
    }
}

/// Waits for pid 1, and kills it when the other end of the life line is gone.
fn wait(first: Pid, first_fd: &OwnedFd, control: BorrowedFd<'_>) -> Result<Exit, Error> {
    let mut lines = [PollFd::new(first_fd, PollFlags::IN), PollFd::from_borrowed_fd(control, PollFlags::IN)];
    loop {
        match poll(&mut lines, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other.context("wait for the step")?,
        };
        if !lines[1].revents().is_empty() {
            // Nothing is ever said in this direction: our process is gone, or has given the step up.
            let _ = pidfd_send_signal(first_fd, Signal::KILL);
            return wait_for_end(first).context("wait for the step");
        }
        if !lines[0].revents().is_empty() {
            return wait_for_end(first).context("wait for the step");
        }
    }
}

fn wait_for_end(first: Pid) -> Result<Exit, rustix::io::Errno> {
    loop {
        match waitpid(Some(first), WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) | Ok(None) => {}
            Ok(Some((_, status))) => {
                return Ok(Exit {
                    code: status.exit_status(),
                    signal: status.terminating_signal(),
                    oom_killed: false,
                });
            }
            Err(errno) => return Err(errno),
        }
    }
}

/// Where the kernel counts.
const OOM_KILLS: &str = "/proc/vmstat";

/// How often the kernel has killed for lack of memory since it started, anywhere (also within control groups).
fn count_oom_kills(counters: &File) -> u64 {
    let mut text = String::new();
    let mut counters: &File = counters;
    let _ = counters.read_to_string(&mut text);
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}
