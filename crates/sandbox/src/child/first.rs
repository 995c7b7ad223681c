//! Pid 1 of the sandbox, from the fork to the moment in which it becomes the program of the step.
//!
//! All mounts happen before the root is entered: from outside, the host's `/proc` is still there (the kernel wants to
//! see an unmasked one before it gives a user namespace a fresh one), and so are device nodes and sources of binds.

use std::convert::Infallible;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::mount::MountAttrFlags;
use rustix::process::{Signal, set_parent_process_death_signal, setsid};
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};

use super::identity::User;
use super::root::MountedRoot;
use super::{capabilities, dev, execute, identity, limits, proc, root, seccomp, step_mounts};
use crate::error::Context as _;
use crate::stubs::Stubs;
use crate::{Error, Security, Spec, mounts, sys};

/// What pid 1 tells the supervisor. The pipe closes when the program is executed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// Everything is mounted; these mount points had to be made.
    Ready(Stubs),
    /// It did not work; the mount points made until then, if they were not yet reported.
    Failed(Option<Stubs>, Error),
}

/// Everything until exec. Never returns. `groups` are files of control groups to be in.
pub(super) fn run(
    spec: &Spec,
    root: &MountedRoot,
    user: &User,
    groups: &[OwnedFd],
    report: OwnedFd,
    control: &OwnedFd,
) -> ! {
    let mut report = File::from(report);
    let mut stubs = Stubs::default();
    let mut ready = false;
    let result = join(groups).and_then(|()| {
        become_program(spec, root, user, &mut stubs, |stubs| {
            ready = true;
            tell(&mut report, &Report::Ready(std::mem::take(stubs)))
        })
    });
    let Err(error) = result;
    let _ = tell(&mut report, &Report::Failed((!ready).then_some(stubs), error));
    // Not used here, but open until now on purpose: it belongs to the supervisor, and closes by itself on exec.
    let _ = control.as_fd();
    sys::exit(1)
}

fn tell(report: &mut File, what: &Report) -> Result<(), Error> {
    let bytes = serde_json::to_vec(what).map_err(|error| Error::Internal(error.to_string()))?;
    report.write_all(&bytes).context("report to the supervisor")
}

/// Before anything that limits could be meant for; and before the step's view of control groups begins, so that it sees
/// those that it is in as the top.
fn join(groups: &[OwnedFd]) -> Result<(), Error> {
    for group in groups {
        // Zero is whoever writes it.
        rustix::io::write(group, b"0").context("enter the control group of the step")?;
    }
    // On its own, because kernels without control groups have none.
    let _ = sys::unshare(UnshareFlags::NEWCGROUP);
    Ok(())
}

fn become_program(
    spec: &Spec,
    root: &MountedRoot,
    user: &User,
    stubs: &mut Stubs,
    ready: impl FnOnce(&mut Stubs) -> Result<(), Error>,
) -> Result<Infallible, Error> {
    // First: from here on we end with the supervisor. (If it has ended already, the report below fails.)
    set_parent_process_death_signal(Some(Signal::KILL)).context("tie pid 1 to its supervisor")?;
    // A session of its own: no terminal, no signals meant for others.
    setsid().context("start a session")?;

    // The system's mounts first, those of the step on top, the shallow ones before the deep ones.
    let insecure = spec.security == Security::Insecure;
    let directory = root.directory();
    let proc_mount = proc::mount_proc(directory, stubs)?;
    let sys_mount = proc::mount_sys(directory, stubs, insecure)?;
    let dev_mount = dev::mount(directory, spec.shm_bytes, insecure, stubs)?;
    if !insecure {
        // Nodes that a layer brings or the step makes are files that nobody can open: a disk of the machine has a
        // number like any other. (Docker has a control group for that, which we may not have.)
        mounts::restrict(directory, MountAttrFlags::MOUNT_ATTR_NODEV, false).mounting("root", "/")?;
        // After /dev: the masks of files are its null device.
        proc::protect(&proc_mount, &sys_mount, &dev_mount)?;
    }
    step_mounts::mount(spec, root.base(), directory, stubs)?;
    drop((proc_mount, sys_mount, dev_mount));

    root::enter(directory)?;
    ready(stubs)?;

    // As root, so that a directory only root may enter can be the working directory, as with runc.
    rustix::process::chdir(if spec.cwd.is_empty() { "/" } else { spec.cwd.as_str() })
        .map_err(|errno| Error::WorkingDirectory { path: spec.cwd.clone(), errno: errno.into() })?;
    limits::set(&spec.limits)?;
    if spec.fixed_layout {
        // Before the filter, which forbids it.
        sys::fix_address_layout().context("switch off address randomisation")?;
    }
    if !insecure {
        // While we still have CAP_SETPCAP and CAP_SYS_ADMIN; everything after this is allowed by the filter.
        capabilities::limit_bounding_set()?;
        seccomp::install()?;
    }
    identity::become_user(user)?;
    if !insecure {
        capabilities::limit_own(user.uid == 0)?;
    }
    // Again, because a change of user clears it.
    set_parent_process_death_signal(Some(Signal::KILL)).context("tie pid 1 to its supervisor")?;
    // Last, because the runtime of our own program relies on SIGPIPE being ignored.
    sys::reset_signals();
    sys::close_range(3, true).context("mark descriptors")?;
    Err(execute::execute(&spec.argv, &identity::environment(&spec.env, user)))
}
