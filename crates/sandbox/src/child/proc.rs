//! `/proc` and `/sys` of the step, and what of them it must not see or change.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, openat, statfs};
use rustix::io::Errno;

use crate::error::Context as _;
use crate::in_root::{Leaf, Make, resolve};
use crate::stubs::Stubs;
use crate::{Error, mounts};

/// Hidden below `/proc`: Docker's list. They tell about the host, or reach into it.
const MASKED_IN_PROC: &[&str] = &[
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
];
/// Hidden below `/sys`.
const MASKED_IN_SYS: &[&str] = &["devices/virtual/powercap", "firmware"];
/// Hidden below the folder of each processor: how hot it became tells of others' work. Source: moby `oci/defaults.go`
/// (GHSA-6fw5-f8r9-fgfm).
const PROCESSORS: &str = "devices/system/cpu";
/// Read-only below `/proc`.
const READ_ONLY_IN_PROC: &[&str] = &["bus", "fs", "irq", "sys", "sysrq-trigger"];
/// `CGROUP2_SUPER_MAGIC` of linux/magic.h.
const CGROUP2: u64 = 0x6367_7270;

/// Mounts `/proc` of our own pid namespace; so this must be pid 1, not its supervisor.
pub(super) fn mount_proc(root: &OwnedFd, stubs: &mut Stubs) -> Result<OwnedFd, Error> {
    let mount = match mounts::new("proc", &[], mounts::DATA_ONLY) {
        // A user namespace gets no fresh one where parts of the present one are masked (inside a container). Then the
        // step sees the one that we see: with the processes around us, but with no right to look into them.
        Err(error) if is_refused(&error) => mounts::clone_path(Path::new("/proc"), true),
        other => other,
    };
    let mount = mount.mounting("proc", "/proc")?;
    mounts::attach(&mount, place_directory(root, "/proc", stubs)?).mounting("proc", "/proc")?;
    Ok(mount)
}

/// Mounts `/sys`, read-only unless `writable`, with the control groups of the step.
pub(super) fn mount_sys(root: &OwnedFd, stubs: &mut Stubs, writable: bool) -> Result<OwnedFd, Error> {
    let access = if writable { mounts::DATA_ONLY } else { mounts::DATA_ONLY.union(mounts::READ_ONLY) };
    let fresh = mounts::new("sysfs", &[], access);
    let is_fresh = fresh.is_ok();
    let mount = match fresh {
        // sysfs shows the network, so a user namespace that shares the host's network gets no fresh one. The host's,
        // read-only with everything on it, tells no more.
        Err(error) if is_refused(&error) => mounts::clone_path(Path::new("/sys"), true)
            .and_then(|mount| mounts::restrict(&mount, mounts::READ_ONLY, true).map(|()| mount)),
        other => other,
    };
    let mount = mount.mounting("sysfs", "/sys")?;
    mounts::attach(&mount, place_directory(root, "/sys", stubs)?).mounting("sysfs", "/sys")?;
    if is_fresh {
        mount_control_groups(&mount, access);
    }
    Ok(mount)
}

/// Programs look there for limits, and do without.
fn mount_control_groups(sys: &OwnedFd, access: rustix::mount::MountAttrFlags) {
    let unified = statfs("/sys/fs/cgroup").is_ok_and(|stat| stat.f_type as u64 == CGROUP2);
    if !unified {
        return;
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if let Ok(place) = openat(sys, "fs/cgroup", flags, Mode::empty())
        && let Ok(groups) = mounts::new("cgroup2", &[], access)
    {
        let _ = mounts::attach(&groups, &place);
    }
}

/// Hides and write-protects parts of `/proc` and `/sys`.
pub(super) fn protect(proc: &OwnedFd, sys: &OwnedFd, dev: &OwnedFd) -> Result<(), Error> {
    for path in READ_ONLY_IN_PROC {
        let Some((place, _)) = find(proc, path) else { continue };
        let target = || format!("/proc/{path}");
        let mount = mounts::clone(proc, Path::new(path), true).mounting("read-only", target())?;
        mounts::restrict(&mount, mounts::READ_ONLY, true).mounting("read-only", target())?;
        mounts::attach(&mount, &place).mounting("read-only", target())?;
    }
    // One directory hides them all: the first mask, of which the others are copies (only what is attached can be copied
    // before Linux 6.15).
    let mut empty: Option<OwnedFd> = None;
    let proc_paths = MASKED_IN_PROC.iter().map(|&path| (proc, "/proc", path));
    let heat = heat_of_processors(sys);
    let sys_paths = MASKED_IN_SYS.iter().copied().chain(heat.iter().map(String::as_str));
    let sys_paths = sys_paths.map(|path| (sys, "/sys", path));
    for (mount, folder, path) in proc_paths.chain(sys_paths) {
        let Some((place, kind)) = find(mount, path) else { continue };
        let target = || format!("{folder}/{path}");
        let mask = match (kind, &empty) {
            (FileType::Directory, None) => new_empty_directory(),
            (FileType::Directory, Some(empty)) => mounts::clone(empty, Path::new(""), false),
            _ => mounts::clone(dev, Path::new("null"), false),
        };
        let mask = mask.mounting("mask", target())?;
        mounts::attach(&mask, &place).mounting("mask", target())?;
        if kind == FileType::Directory {
            empty.get_or_insert(mask);
        }
    }
    Ok(())
}

/// One path for each processor of the machine that counts how often it became too hot.
fn heat_of_processors(sys: &OwnedFd) -> Vec<String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = openat(sys, PROCESSORS, flags, Mode::empty()).and_then(rustix::fs::Dir::new);
    let entries = folder.into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| {
        let name = entry.file_name().to_str().ok()?;
        let number = name.strip_prefix("cpu")?;
        let is_processor = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_processor.then(|| format!("{PROCESSORS}/{name}/thermal_throttle"))
    });
    names.collect()
}

fn new_empty_directory() -> std::io::Result<OwnedFd> {
    let options = [("size", "4k"), ("mode", "0755")];
    mounts::new("tmpfs", &options, mounts::DATA_ONLY.union(mounts::READ_ONLY))
}

/// What is there, if it is there in this kernel.
fn find(mount: &OwnedFd, path: &str) -> Option<(OwnedFd, FileType)> {
    let place = openat(mount, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&place).ok()?.st_mode);
    Some((place, kind))
}

fn is_refused(error: &std::io::Error) -> bool {
    [Errno::PERM, Errno::ACCESS].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// The mount point of a standard directory, made if the image lacks it.
pub(super) fn place_directory(root: &OwnedFd, path: &str, stubs: &mut Stubs) -> Result<OwnedFd, Error> {
    let mut recorder = stubs.recorder(root.as_fd()).mounting("mount point", path)?;
    let mut make = Make { leaf: Leaf::Directory, owner: (0, 0), around: &mut recorder };
    resolve(root.as_fd(), path.as_ref(), Some(&mut make)).mounting("mount point", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_processor_has_its_heat() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["cpu0", "cpu12", "cpufreq", "cpu", "cpux1"] {
            std::fs::create_dir_all(dir.path().join(PROCESSORS).join(name)).unwrap();
        }
        let root = std::fs::File::open(dir.path()).unwrap().into();
        let mut found = heat_of_processors(&root);
        found.sort();
        let at = |name: &str| format!("{PROCESSORS}/{name}/thermal_throttle");
        assert_eq!(found, [at("cpu0"), at("cpu12")]);
    }
}
