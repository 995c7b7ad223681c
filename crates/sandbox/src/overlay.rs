//! Overlay mounts that are attached nowhere: a descriptor is all there is, and closing it ends the mount.
//!
//! Options, each with its reason:
//! * `userxattr`: opaque directories carry `user.overlay.opaque`, which a plain user may write too, so the store looks
//!   the same for everybody. It also switches off `redirect_dir` and `metacopy`, which would leave upper directories
//!   that mean nothing without their lowers.
//! * `index=off`: an index ties the upper directory to these lowers at this place; ours move between mounts.
//! * `volatile` (with an upper): without it each unmount writes the whole file system beneath back to disk, which
//!   takes longer than most steps, and each fsync of a package manager waits for the disk. After a power cut the upper
//!   may be incomplete; it is a draft until the store commits it, and drafts are thrown away.
//!
//! Directories are handed over as `/proc/self/fd/N`: no limit of length (255), nothing to escape, and the paths of the
//! host do not show in the step's `/proc/mounts`.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};
use rustix::thread::UnshareFlags;

use crate::error::Context as _;
use crate::{Error, mounts, sys};

/// More layers the kernel does not stack.
const LAYERS_MAX: usize = 500;

/// Mounts `lowers` (top first, may be empty), and `upper` with its `work` directory if it is to be writable.
///
/// The descriptor is the root directory of the merged tree: use it with `openat2`. Nothing appears in any directory.
/// Always mounted with `userxattr`, so that trees mean the same for root and for a plain user. A single lower without an
/// upper is shown as it is, and so is an upper without lowers: there is nothing to merge.
///
/// # Errors
/// [`Error::Mount`] if overlayfs refuses, [`Error::System`] if a directory cannot be opened.
pub fn mount_overlay(lowers: &[PathBuf], upper: Option<(&Path, &Path)>) -> Result<OwnedFd, Error> {
    let mount = detached(lowers, upper)?;
    // A mount descriptor is O_PATH; callers expect a directory that can be read. It keeps the mount alive as well.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(&mount, ".", flags, Mode::empty()).mounting("overlay", "(detached)")
}

/// The same as a mount descriptor, which can be attached. (Once it is closed without having been attached, what was
/// opened through it still works, but can be attached no more.)
pub(crate) fn detached(lowers: &[PathBuf], upper: Option<(&Path, &Path)>) -> Result<OwnedFd, Error> {
    match (lowers, upper) {
        ([], None) => {
            mounts::new("tmpfs", &[("mode", "0755")], mounts::READ_ONLY).mounting("tmpfs", "(overlay)")
        }
        // overlayfs wants a lower directory. Over nothing the upper is the whole tree, and can be used as it is.
        ([], Some((upper, _))) => {
            mounts::clone_path(upper, false).mounting(upper.display().to_string(), "(overlay)")
        }
        // Without an upper it wants two; one is simply itself, read-only.
        ([only], None) => {
            let mount = mounts::clone_path(only, false).mounting(only.display().to_string(), "(overlay)")?;
            mounts::restrict(&mount, mounts::READ_ONLY, true).mounting("read-only", "(overlay)")?;
            Ok(mount)
        }
        _ => {
            let lowers = lowers.iter().map(|path| Directory::open(path)).collect::<Result<Vec<_>, _>>()?;
            mount(&lowers, upper)
        }
    }
}

/// A directory that becomes part of an overlay. It must lie in our mount namespace: before 6.15 overlayfs takes nothing
/// else, in particular no detached mounts.
struct Directory {
    /// Keeps [`Directory::name`] valid.
    _fd: OwnedFd,
    name: OsString,
}

impl Directory {
    fn open(path: &Path) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .context(format!("open the layer directory {}", path.display()))?;
        let name = format!("/proc/self/fd/{}", fd.as_raw_fd()).into();
        Ok(Self { _fd: fd, name })
    }

    /// The same directory, seen from the mount namespace of the calling thread.
    fn reopen(&self) -> io::Result<Self> {
        let path = std::fs::read_link(&self.name)?;
        Self::open(&path).map_err(|error| io::Error::other(error.to_string()))
    }
}

fn mount(lowers: &[Directory], upper: Option<(&Path, &Path)>) -> Result<OwnedFd, Error> {
    if lowers.len() > LAYERS_MAX {
        return Err(Error::System {
            action: format!("mount {} layers: overlayfs takes at most {LAYERS_MAX}", lowers.len()),
            errno: crate::Errno(libc::EINVAL),
        });
    }
    let work = upper.map(|(_, work)| work);
    let upper = match upper {
        Some((upper, work)) => {
            forget_volatile(work);
            Some((Directory::open(upper)?, Directory::open(work)?))
        }
        None => None,
    };
    let upper = upper.as_ref();
    let root = match with_context(lowers, upper, upper.is_some()) {
        // Before 5.10 there is no `volatile`; some file systems refuse it.
        Err(Errno::INVAL) if upper.is_some() => with_context(lowers, upper, false),
        other => other,
    };
    let mount = match root {
        // Before 6.7 lowers cannot be given one by one.
        Err(Errno::INVAL) => with_option_string(lowers, upper).mounting("overlay", "(detached)"),
        other => other.mounting("overlay", "(detached)"),
    }?;
    work.map_or(Ok(()), |work| refuse_read_only(&mount, work))?;
    Ok(mount)
}

/// Where overlayfs cannot make its own directory below `work`, for want of space say, it mounts read-only and tells
/// nobody but the kernel's log (`ovl_make_workdir` in `fs/overlayfs/super.c`). Whoever passes over errors would think that
/// it has written something.
fn refuse_read_only(mount: &OwnedFd, work: &Path) -> Result<(), Error> {
    let action = || format!("make overlayfs's work directory in {}", work.display());
    let state = rustix::fs::fstatvfs(mount).context(action())?;
    if !state.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    let probe = work.join("probe");
    let made = rustix::fs::mkdir(&probe, Mode::RWXU).and_then(|()| rustix::fs::rmdir(&probe));
    made.and(Err(Errno::ROFS)).context(action())
}

fn with_context(
    lowers: &[Directory],
    upper: Option<&(Directory, Directory)>,
    volatile: bool,
) -> Result<OwnedFd, Errno> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // Also the name in the first column of the step's /proc/mounts.
    fsconfig_set_string(&context, "source", "overlay")?;
    for lower in lowers {
        fsconfig_set_string(&context, "lowerdir+", &lower.name)?;
    }
    if let Some((upper, work)) = upper {
        fsconfig_set_string(&context, "upperdir", &upper.name)?;
        fsconfig_set_string(&context, "workdir", &work.name)?;
        if volatile {
            fsconfig_set_flag(&context, "volatile")?;
        }
    }
    fsconfig_set_flag(&context, "userxattr")?;
    fsconfig_set_string(&context, "index", "off")?;
    fsconfig_create(&context)?;
    let attributes = if upper.is_some() { MountAttrFlags::empty() } else { mounts::READ_ONLY };
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// The way of kernels before 6.7: mount(2) with one string. It needs a place, so it happens in a mount namespace of a
/// thread that exists for this purpose; what is brought home is a detached copy.
fn with_option_string(lowers: &[Directory], upper: Option<&(Directory, Directory)>) -> io::Result<OwnedFd> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            sys::unshare(UnshareFlags::NEWNS)?;
            let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
            rustix::mount::mount_change("/", private)?;
            // What was opened before lies in the namespace that we have left.
            let lowers = lowers.iter().map(Directory::reopen).collect::<io::Result<Vec<_>>>()?;
            let upper = upper.map(|(upper, work)| Ok::<_, io::Error>((upper.reopen()?, work.reopen()?)));
            let upper = upper.transpose()?;
            let options = CString::new(option_string(&lowers, upper.as_ref()))?;
            let place = &lowers.first().ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?.name;
            let place = std::fs::read_link(place)?;
            rustix::mount::mount("overlay", &place, "overlay", MountFlags::empty(), options.as_c_str())?;
            let copy = mounts::clone_path(&place, false)?;
            if upper.is_none() {
                mounts::restrict(&copy, mounts::READ_ONLY, false)?;
            }
            Ok(copy)
        });
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the mounting thread panicked")))
    })
}

fn option_string(lowers: &[Directory], upper: Option<&(Directory, Directory)>) -> Vec<u8> {
    let names: Vec<&[u8]> = lowers.iter().map(|lower| lower.name.as_bytes()).collect();
    let mut options = b"userxattr,index=off,lowerdir=".to_vec();
    options.extend(names.join(&b':'));
    if let Some((upper, work)) = upper {
        for (key, directory) in [(",volatile,upperdir=", upper), (",workdir=", work)] {
            options.extend_from_slice(key.as_bytes());
            options.extend_from_slice(directory.name.as_bytes());
        }
    }
    options
}

/// Removes the mark that a volatile overlay leaves in its work directory. It would refuse another mount, for fear of a
/// crash in between; a draft that outlives a crash is never mounted again, so there was none.
fn forget_volatile(work: &Path) {
    let mark = work.join("work/incompat/volatile");
    if rustix::fs::unlinkat(CWD, mark.join("dirty"), AtFlags::empty()).is_ok() {
        for directory in [&mark, &work.join("work/incompat")] {
            let _ = rustix::fs::unlinkat(CWD, directory, AtFlags::REMOVEDIR);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileTypeExt as _;

    use super::*;

    /// Two lowers and an upper with its work directory in a fresh directory; `None` (with a reason) if we may not
    /// mount here.
    fn trees() -> Option<tempfile::TempDir> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: mounting needs root");
            return None;
        }
        let base = tempfile::tempdir().unwrap();
        for name in ["low", "high", "upper", "work"] {
            std::fs::create_dir(base.path().join(name)).unwrap();
        }
        std::fs::write(base.path().join("low/both"), "low").unwrap();
        std::fs::write(base.path().join("low/only"), "low").unwrap();
        std::fs::write(base.path().join("high/both"), "high").unwrap();
        Some(base)
    }

    fn read(root: &OwnedFd, name: &str) -> Result<String, Errno> {
        let fd = rustix::fs::openat(root, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut text = String::new();
        io::Read::read_to_string(&mut std::fs::File::from(fd), &mut text).unwrap();
        Ok(text)
    }

    fn create(root: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(root, name, flags, Mode::from_raw_mode(0o644))
    }

    fn mounts_of_this_process() -> String {
        std::fs::read_to_string("/proc/self/mountinfo").unwrap()
    }

    #[test]
    fn merges_writes_and_leaves_no_mount() {
        let Some(base) = trees() else { return };
        let path = |name: &str| base.path().join(name);
        let before = mounts_of_this_process();
        for round in 0..2 {
            // The second round mounts the same upper again, as a draft may be.
            let root =
                mount_overlay(&[path("high"), path("low")], Some((&path("upper"), &path("work")))).unwrap();
            assert_eq!(read(&root, "both").unwrap(), "high");
            assert_eq!(read(&root, "only").is_ok(), round == 0);
            create(&root, "new").unwrap();
            let _ = rustix::fs::unlinkat(&root, "only", rustix::fs::AtFlags::empty());
            assert_eq!(mounts_of_this_process(), before);
        }
        assert!(path("upper/new").exists());
        assert!(path("upper/only").symlink_metadata().unwrap().file_type().is_char_device(), "a whiteout");
    }

    #[test]
    fn without_an_upper_nothing_can_be_written() {
        let Some(base) = trees() else { return };
        let path = |name: &str| base.path().join(name);
        for lowers in [vec![path("high"), path("low")], vec![path("low")], vec![]] {
            let root = mount_overlay(&lowers, None).unwrap();
            assert_eq!(create(&root, "new").unwrap_err(), Errno::ROFS, "{} lowers", lowers.len());
            assert_eq!(read(&root, "only").is_ok(), !lowers.is_empty());
            // Readable as a directory, not only as a place.
            rustix::fs::Dir::read_from(&root).unwrap().read().unwrap().unwrap();
        }
    }

    #[test]
    fn nothing_but_an_upper_is_a_scratch_image() {
        let Some(base) = trees() else { return };
        let root = mount_overlay(&[], Some((&base.path().join("upper"), &base.path().join("work")))).unwrap();
        create(&root, "new").unwrap();
        assert!(base.path().join("upper/new").exists());
    }

    #[test]
    fn the_way_of_older_kernels_gives_the_same() {
        let Some(base) = trees() else { return };
        let directory = |name: &str| Directory::open(&base.path().join(name)).unwrap();
        let before = mounts_of_this_process();
        let lowers = [directory("high"), directory("low")];
        let root = with_option_string(&lowers, Some(&(directory("upper"), directory("work")))).unwrap();
        assert_eq!(read(&root, "both").unwrap(), "high");
        create(&root, "new").unwrap();
        assert!(base.path().join("upper/new").exists());
        drop(root);
        let root = with_option_string(&lowers, None).unwrap();
        assert_eq!(create(&root, "new").unwrap_err(), Errno::ROFS);
        assert_eq!(mounts_of_this_process(), before);
    }

    #[test]
    fn three_hundred_layers_with_long_paths() {
        let Some(base) = trees() else { return };
        let deep = base.path().join("x".repeat(120)).join("y".repeat(120));
        let lowers: Vec<PathBuf> = (0..300).map(|n| deep.join(n.to_string())).collect();
        for (n, lower) in lowers.iter().enumerate() {
            std::fs::create_dir_all(lower).unwrap();
            std::fs::write(lower.join(format!("file{n}")), "").unwrap();
        }
        let root = mount_overlay(&lowers, None).unwrap();
        assert!(read(&root, "file0").is_ok() && read(&root, "file299").is_ok());
    }

    #[test]
    fn a_missing_layer_is_named() {
        let error = mount_overlay(&["/nowhere/a".into(), "/nowhere/b".into()], None).unwrap_err();
        assert!(error.to_string().contains("/nowhere/a"), "{error}");
    }

    #[test]
    fn the_option_string_separates_layers_by_colons() {
        let nine =
            || Directory { _fd: std::fs::File::open("/").unwrap().into(), name: "/proc/self/fd/9".into() };
        let options = String::from_utf8(option_string(&[nine(), nine()], Some(&(nine(), nine())))).unwrap();
        insta::assert_snapshot!(options, @"userxattr,index=off,lowerdir=/proc/self/fd/9:/proc/self/fd/9,volatile,upperdir=/proc/self/fd/9,workdir=/proc/self/fd/9");
    }
}
