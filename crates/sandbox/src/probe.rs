//! What this machine permits, found out by trying: no list of kernel versions and settings is as true as a call that
//! works. Settings are only read to explain a refusal.

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::process::{WaitOptions, waitpid};
use serde::{Deserialize, Serialize};

use crate::error::Context as _;
use crate::user_namespace::{Established, entered, establish};
use crate::{Error, mounts, overlay, spawn};

/// How much isolation can be had here, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tier {
    /// Real root (or root of a container with CAP_SYS_ADMIN): all ids.
    Root,
    /// A user namespace with several ids, from `/etc/subuid` and `/etc/subgid`.
    UserNamespace {
        /// How many user ids are mapped.
        ids: u64,
    },
    /// A user namespace with one id: no file can belong to anyone else.
    SingleId,
    /// No namespaces: RUN is impossible, everything else works.
    NoNamespaces,
}

/// The answer of [`probe`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The best tier that works.
    pub tier: Tier,
    /// Why nothing better works, in one line; `None` if nothing is missing.
    pub reason: Option<String>,
    /// The smallest change that would lift it, in one line.
    pub lift: Option<String>,
}

/// Tries, in a process of its own, what this machine permits. Costs a few milliseconds; nothing is changed. After
/// [`crate::enter`] it repeats what that found.
pub fn probe() -> Probe {
    entered().unwrap_or_else(|| {
        spawn::spawn_probe().unwrap_or_else(|error| Probe {
            tier: Tier::NoNamespaces,
            reason: Some(error.to_string()),
            lift: None,
        })
    })
}

/// The probing child: enters the world as [`crate::enter`] would, tries an overlay there, and passes the answer up.
pub(crate) fn try_everything() -> Probe {
    let failed =
        |error: &Error| Probe { tier: Tier::NoNamespaces, reason: Some(error.to_string()), lift: None };
    let (answer, question) = match io::pipe() {
        Ok(pipe) => pipe,
        Err(error) => return no_namespaces(&error),
    };
    match establish(false) {
        Err(error) => failed(&error),
        Ok(Established::Here(mut probe)) => {
            if probe.tier != Tier::NoNamespaces
                && let Err(error) = try_overlay()
            {
                probe.reason = Some(format!("overlayfs cannot be mounted: {error}"));
                probe.lift = Some("modprobe overlay, and a kernel of at least 5.12".to_owned());
            }
            if matches!(probe.tier, Tier::Root | Tier::NoNamespaces) {
                return probe;
            }
            // In a user namespace there is a parent who waits and has the socket as well; the answer goes there.
            let _ = serde_json::to_writer(question, &probe);
            crate::sys::exit(0)
        }
        Ok(Established::Parent(child)) => {
            drop(question);
            let probe = serde_json::from_reader(answer).unwrap_or_else(|error| Probe {
                tier: Tier::NoNamespaces,
                reason: Some(format!("the process in the new namespace ended early: {error}")),
                lift: None,
            });
            let _ = waitpid(Some(child), WaitOptions::empty());
            probe
        }
    }
}

/// Two empty directories in memory, one over the other. They have to lie somewhere in our mount namespace, which is
/// private and ends with this process.
fn try_overlay() -> Result<(), Error> {
    let memory = mounts::new("tmpfs", &[], mounts::DATA_ONLY).mounting("tmpfs", "(probe)")?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place =
        ["/sys", "/tmp", "/etc"].into_iter().find_map(|path| openat(CWD, path, flags, Mode::empty()).ok());
    let place = place.ok_or_else(|| Error::Internal("there is no directory to mount on".into()))?;
    let names = ["a", "b"];
    for name in names {
        mkdirat(&memory, name, Mode::RWXU).context("make a directory")?;
    }
    mounts::attach(&memory, &place).mounting("tmpfs", "(probe)")?;
    let paths = names.map(|name| PathBuf::from(format!("/proc/self/fd/{}/{name}", memory.as_raw_fd())));
    overlay::mount_overlay(&paths, None).map(drop)
}

/// Explains why no namespace can be had.
pub(crate) fn no_namespaces(error: &io::Error) -> Probe {
    let (reason, lift) =
        explain(error, |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned());
    Probe { tier: Tier::NoNamespaces, reason: Some(reason), lift: Some(lift) }
}

/// Explains why the mounts of the host cannot be kept apart from ours.
pub(crate) fn root_is_no_mount(errno: rustix::io::Errno) -> Probe {
    Probe {
        tier: Tier::NoNamespaces,
        reason: Some(format!(
            "the root directory is no mount point (a chroot): {}",
            crate::Errno::from(errno)
        )),
        lift: Some("mount --bind DIRECTORY DIRECTORY before chroot DIRECTORY".to_owned()),
    }
}

/// `read` reads a setting; an argument, so that every machine can be tested on every machine.
fn explain(error: &io::Error, read: impl Fn(&str) -> String) -> (String, String) {
    let text = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let filtered =
        read("/proc/self/status").lines().any(|line| line.starts_with("Seccomp:") && line.ends_with('2'));
    if read("/proc/sys/user/max_user_namespaces") == "0" {
        return text("user namespaces are switched off", "sysctl -w user.max_user_namespaces=15000");
    }
    if read("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
        return text(
            "user namespaces are switched off for plain users",
            "sysctl -w kernel.unprivileged_userns_clone=1",
        );
    }
    if read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
        return text(
            "AppArmor denies user namespaces to programs without a profile",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile that allows userns",
        );
    }
    match error.raw_os_error() {
        Some(libc::EPERM) if filtered => text(
            "seccomp denies unshare (a container)",
            "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined; in Kubernetes: \
             hostUsers: false with the capability SYS_ADMIN",
        ),
        Some(libc::EPERM) => text(
            "the kernel denies user namespaces (a chroot, or a security module)",
            "run outside of the chroot, or as root",
        ),
        Some(libc::ENOSPC) => text(
            "there are too many user namespaces, or too deep ones",
            "raise user.max_user_namespaces, or start from an outer namespace",
        ),
        Some(libc::EINVAL | libc::ENOSYS) => {
            text("this kernel has no user namespaces", "a kernel of at least 5.12 with CONFIG_USER_NS")
        }
        _ => (
            format!(
                "user namespaces cannot be used: {}",
                crate::Errno(error.raw_os_error().unwrap_or(libc::EIO))
            ),
            "run as root".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_explained_in_one_line() {
        let with = |path: &'static str, value: &'static str, errno| {
            let error = io::Error::from_raw_os_error(errno);
            explain(&error, |asked| if asked == path { value.to_owned() } else { String::new() })
        };
        let cases = [
            with("/proc/self/status", "Name:\tx\nSeccomp:\t2", libc::EPERM),
            with("/proc/sys/user/max_user_namespaces", "0", libc::ENOSPC),
            with("/proc/sys/kernel/unprivileged_userns_clone", "0", libc::EPERM),
            with("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", libc::EACCES),
            with("", "", libc::EPERM),
            with("", "", libc::EINVAL),
            with("", "", libc::EIO),
        ];
        for (reason, lift) in &cases {
            assert!(!reason.contains('\n') && !lift.contains('\n') && !reason.is_empty() && !lift.is_empty());
        }
        assert_eq!(cases[0].0, "seccomp denies unshare (a container)");
        assert_eq!(cases[6].0, "user namespaces cannot be used: Input/output error");
    }
}
