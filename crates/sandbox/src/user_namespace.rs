//! Becoming root of an own user namespace at start-up.
//!
//! ```text
//! jettison (plain user, one thread)
//!   └─ fork ─▶ child: unshare user + mount namespace ──"unshared"──▶ parent
//!                     waits                          ◀──"mapped"──── writes the id maps, or runs newuidmap
//!                     returns from `enter` as root                   waits, forwards signals, ends as the child ends
//! ```
//!
//! A fork is enough, there is no second exec: the process has one thread, and what the child knows is in its memory. No
//! marker in the environment that could be forged, inherited or lost, and a start-up that costs less than a
//! millisecond more than root's.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::set_parent_process_death_signal;
use rustix::process::{Pid, Signal, WaitOptions, getegid, geteuid, getppid, kill_process, waitpid};
use rustix::thread::{CapabilitySet, UnshareFlags, capabilities};

use crate::error::Context as _;
use crate::sys::{self, Fork};
use crate::{Error, Probe, Tier, emulation, id_ranges, probe};

/// Where [`enter`] got us: the tier in which we are now, and why it is not a better one.
pub type Entered = Probe;

static ENTERED: OnceLock<Entered> = OnceLock::new();

/// What the parent forwards. Those that the terminal sends reach the child by themselves.
const FORWARDED: &[libc::c_int] =
    &[libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

/// Enters the private world in which everything else happens. Must be called while the process has one thread, once;
/// a second call returns what the first one found.
///
/// With enough privilege this is a private mount namespace of this process. For a plain user it forks: the child
/// returns from here as root of a new user namespace; the parent never returns, forwards signals and ends as the
/// child ends. Where no namespace can be had it returns [`Tier::NoNamespaces`] with the reason.
///
/// # Errors
/// [`Error::Internal`] if there are threads already; [`Error::System`] if something fails that has nothing to do with what is permitted here.
pub fn enter() -> Result<Entered, Error> {
    enter_for(&[])
}

/// The same for steps that will run programs of `architectures` (in Go's words). Where the kernel has no handler for
/// one of them but an emulator is installed, root goes into a user namespace of its own too, with all its ids: only
/// there can a handler be had without changing the host.
///
/// # Errors
/// As [`enter`].
pub fn enter_for(architectures: &[String]) -> Result<Entered, Error> {
    if let Some(entered) = entered() {
        return Ok(entered);
    }
    let own_handlers = architectures.iter().any(|name| emulation::wants_own_handlers(name));
    let outcome = match establish(own_handlers)? {
        Established::Here(probe) => probe,
        Established::Parent(child) => supervise(child),
    };
    Ok(ENTERED.get_or_init(|| outcome).clone())
}

/// What `enter` found, if it was called.
pub(crate) fn entered() -> Option<Entered> {
    ENTERED.get().cloned()
}

/// Who we are after [`establish`].
pub(crate) enum Established {
    /// The process that goes on, in this tier.
    Here(Probe),
    /// The one that only waits for it.
    Parent(Pid),
}

/// Makes the best of what is permitted; with `own_handlers` a user namespace is the best.
pub(crate) fn establish(own_handlers: bool) -> Result<Established, Error> {
    if !Path::new("/proc/self/fd").exists() {
        // Ids are mapped through it, and directories are handed to overlayfs through it.
        return Ok(Established::Here(Probe {
            tier: Tier::NoNamespaces,
            reason: Some("/proc is not mounted".to_owned()),
            lift: Some("mount -t proc proc /proc".to_owned()),
        }));
    }
    if sys::thread_count() > 1 {
        return Err(Error::Internal("enter() was called when there were threads already".into()));
    }
    let sets = capabilities(None).context("read our capabilities")?;
    if own_handlers && sets.effective.contains(CapabilitySet::SYS_ADMIN) {
        let attempt = new_user_namespace()?;
        if !matches!(attempt, Established::Here(Probe { tier: Tier::NoNamespaces, .. })) {
            return Ok(attempt);
        }
    }
    let mut refused = None;
    if sets.effective.contains(CapabilitySet::SYS_ADMIN) {
        match sys::unshare(UnshareFlags::NEWNS) {
            Ok(()) => {
                let probe = match separate_mounts() {
                    Ok(()) => Probe { tier: Tier::Root, reason: None, lift: None },
                    // What we would mount could show up on the host: rather mount nothing.
                    Err(errno) => probe::root_is_no_mount(errno),
                };
                return Ok(Established::Here(probe));
            }
            Err(error) => refused = Some(error),
        }
    }
    let attempt = new_user_namespace()?;
    if let (Established::Here(Probe { tier: Tier::NoNamespaces, .. }), Some(error)) = (&attempt, refused) {
        return Ok(Established::Here(probe::no_namespaces(&error)));
    }
    Ok(attempt)
}

/// Nothing that we mount reaches the host. What the host unmounts is unmounted here too, so that we do not keep its
/// file systems busy.
fn separate_mounts() -> Result<(), rustix::io::Errno> {
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM)
}

fn new_user_namespace() -> Result<Established, Error> {
    let (mut from_child, mut to_parent) = io::pipe().context("make a pipe")?;
    let (mut from_parent, mut to_child) = io::pipe().context("make a pipe")?;
    let parent = rustix::process::getpid();
    let signals: Vec<libc::c_int> = FORWARDED.iter().copied().chain([libc::SIGCHLD]).collect();
    // Before there is a child, so that no signal falls between.
    sys::set_signal_mask(&signals, true);
    match sys::fork().context("fork")? {
        Fork::Child => {
            drop((from_child, to_child));
            sys::set_signal_mask(&[], false);
            let unshared = sys::unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS);
            tell(&mut to_parent, &unshared);
            // An empty answer: the parent is gone, or has given up.
            let mut mapped = String::new();
            let _ = from_parent.read_to_string(&mut mapped);
            let Ok(probe) = serde_json::from_str::<Probe>(&mapped) else { sys::exit(1) };
            // After unshare, which may clear it.
            let tied = set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from);
            if getppid() != Some(parent) {
                sys::exit(1);
            }
            tell(&mut to_parent, &tied.and_then(|()| Ok(separate_mounts()?)));
            Ok(Established::Here(probe))
        }
        Fork::Parent(child) => {
            drop((from_parent, to_parent));
            let outcome = hear(&mut from_child).and_then(|()| {
                let probe = map_ids(child)?;
                to_child.write_all(&serde_json::to_vec(&probe)?)?;
                drop(to_child);
                hear(&mut from_child)
            });
            match outcome {
                Ok(()) => Ok(Established::Parent(child)),
                Err(error) => {
                    let _ = kill_process(child, Signal::KILL);
                    let _ = waitpid(Some(child), WaitOptions::empty());
                    sys::set_signal_mask(&[], false);
                    Ok(Established::Here(probe::no_namespaces(&error)))
                }
            }
        }
    }
}

/// One error number, 0 for none; ends the process if it is one.
fn tell(to_parent: &mut io::PipeWriter, result: &io::Result<()>) {
    let code = result.as_ref().err().map_or(0, |error| error.raw_os_error().unwrap_or(libc::EIO));
    let told = to_parent.write_all(&code.to_ne_bytes());
    if code != 0 || told.is_err() {
        sys::exit(1);
    }
}

fn hear(from_child: &mut io::PipeReader) -> io::Result<()> {
    let mut code = [0; 4];
    from_child.read_exact(&mut code)?;
    match i32::from_ne_bytes(code) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// Gives the child's namespace ids: all of ours, those of `/etc/subuid`, or one.
fn map_ids(child: Pid) -> io::Result<Probe> {
    let sets = capabilities(None)?;
    let may_map = CapabilitySet::SETUID | CapabilitySet::SETGID;
    if geteuid().is_root() && sets.effective.contains(may_map) && map_all_of_ours(child).is_ok() {
        return Ok(Probe { tier: Tier::UserNamespace { ids: count_ids(child) }, reason: None, lift: None });
    }
    match map_ranges(child) {
        Ok(ids) => Ok(Probe { tier: Tier::UserNamespace { ids }, reason: None, lift: None }),
        Err((reason, lift)) => {
            let proc = PathBuf::from(format!("/proc/{child}"));
            // The order is the kernel's: without the privilege to set groups, giving up setgroups comes first.
            fs::write(proc.join("setgroups"), "deny")?;
            fs::write(proc.join("uid_map"), format!("0 {} 1\n", geteuid()))?;
            fs::write(proc.join("gid_map"), format!("0 {} 1\n", getegid()))?;
            Ok(Probe { tier: Tier::SingleId, reason: Some(reason), lift })
        }
    }
}

/// Root without CAP_SYS_ADMIN (a pod): every id that we have ourselves, unchanged.
fn map_all_of_ours(child: Pid) -> io::Result<()> {
    for file in ["uid_map", "gid_map"] {
        let ours = fs::read_to_string(format!("/proc/self/{file}"))?;
        let same: String = ours
            .lines()
            .filter_map(|line| {
                let mut fields = line.split_whitespace();
                let (inside, _, count) = (fields.next()?, fields.next()?, fields.next()?);
                Some(format!("{inside} {inside} {count}\n"))
            })
            .collect();
        fs::write(format!("/proc/{child}/{file}"), same)?;
    }
    Ok(())
}

fn count_ids(child: Pid) -> u64 {
    let map = fs::read_to_string(format!("/proc/{child}/uid_map")).unwrap_or_default();
    map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum()
}

/// With newuidmap and newgidmap. Errors are the reason and what would lift it.
fn map_ranges(child: Pid) -> Result<u64, (String, Option<String>)> {
    let uid = geteuid().as_raw();
    let name = id_ranges::user_name(uid);
    let who = name.clone().unwrap_or_else(|| uid.to_string());
    if rustix::thread::no_new_privs().unwrap_or(false) {
        let lift = "start without no_new_privs (in Kubernetes: allowPrivilegeEscalation: true)".to_owned();
        return Err(("no_new_privs is set, so newuidmap has no effect".to_owned(), Some(lift)));
    }
    let missing = |file: &str| {
        let lift = format!("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {who}");
        (format!("{who} has no range in {file}"), Some(lift))
    };
    for (program, file, id) in
        [("newuidmap", "/etc/subuid", uid), ("newgidmap", "/etc/subgid", getegid().as_raw())]
    {
        let text = fs::read_to_string(file).unwrap_or_default();
        let ranges = id_ranges::ranges(&text, name.as_deref(), uid);
        if ranges.is_empty() {
            return Err(missing(file));
        }
        let Some(path) = id_ranges::find_program(program) else {
            let lift = "install it (Debian, Ubuntu: apt install uidmap; Fedora: shadow-utils)".to_owned();
            return Err((format!("{program} is not installed"), Some(lift)));
        };
        let arguments = id_ranges::map_arguments(id, &ranges);
        let output = Command::new(path)
            .arg(child.to_string())
            .args(arguments.iter().map(u32::to_string))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| (format!("{program}: {error}"), None))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err((format!("{program} failed: {}", said.lines().next().unwrap_or("").trim()), None));
        }
    }
    Ok(count_ids(child))
}

/// Waits for the child as a faithful shadow: passes signals on, ends as it ends.
fn supervise(child: Pid) -> ! {
    let mut signals = FORWARDED.to_vec();
    signals.push(libc::SIGCHLD);
    loop {
        match waitpid(Some(child), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => sys::exit(code),
                (None, Some(signal)) => sys::die_by_signal(signal),
                (None, None) => {}
            },
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => sys::exit(1),
        }
        let Ok((signal, sent_by_process)) = sys::wait_for_signal(&signals) else { continue };
        if signal != libc::SIGCHLD
            && sent_by_process
            && let Some(signal) = Signal::from_named_raw(signal)
        {
            let _ = kill_process(child, signal);
        }
    }
}
