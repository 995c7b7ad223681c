//! The mounts that a step asks for, and `/etc/hosts` and `/etc/resolv.conf`, which are mounts as well.
//!
//! Order: shallow targets before deep ones (so that a mount on `/etc` does not hide the one on `/etc/hosts`), in the
//! given order among equals; of two with the same target the last wins at the place of the first. All as BuildKit does.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, Timespec, Timestamps, openat};
use rustix::mount::MountAttrFlags;
use rustix::process::{Gid, Uid};

use crate::error::Context as _;
use crate::in_root::{Leaf, Make, resolve};
use crate::stubs::Stubs;
use crate::{Error, Mount, MountKind, Security, Source, Spec, mounts, overlay};

/// Mounts all of them on the root. `base` is the directory in memory for what has to lie somewhere.
pub(super) fn mount(spec: &Spec, base: &OwnedFd, root: &OwnedFd, stubs: &mut Stubs) -> Result<(), Error> {
    for (number, mount) in in_order(spec).iter().enumerate() {
        if names(&mount.target).next().is_none() {
            // It would hide everything, this root included.
            return Err(rustix::io::Errno::BUSY).mounting("anything", "/");
        }
        let place = Place { base, name: number.to_string() };
        let (tree, leaf) = match &mount.kind {
            MountKind::Bind { source, read_only, recursive } => bind(&place, source, *read_only, *recursive),
            MountKind::ScratchBind { source, scratch } => scratch_bind(&place, source, scratch),
            MountKind::Tmpfs { size } => memory(*size),
            MountKind::File { content, mode, uid, gid } => file(&place, content, *mode, (*uid, *gid)),
        }
        .map_err(|error| name_target(error, &mount.target))?;
        if spec.security != Security::Insecure {
            let attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
            mounts::restrict(&tree, attributes, true).mounting("the source", &mount.target)?;
        }
        let mut recorder = stubs.recorder(root.as_fd()).mounting("a mount point", &mount.target)?;
        let mut make = Make { leaf, owner: (0, 0), around: &mut recorder };
        let target = resolve(root.as_fd(), OsStr::new(&mount.target), Some(&mut make))
            .mounting("a mount point", &mount.target)?;
        if let Err(errno) = mounts::attach(&tree, &target) {
            let there = rustix::fs::fstat(&target).mounting("the source", &mount.target)?;
            let on_directory = FileType::from_raw_mode(there.st_mode) == FileType::Directory;
            let kinds = match (leaf, on_directory) {
                (Leaf::Directory, false) => ("directory", "no directory"),
                (Leaf::File, true) => ("file", "a directory"),
                _ => return Err(errno).mounting("the source", &mount.target),
            };
            let kinds = (kinds.0.to_owned(), kinds.1.to_owned());
            return Err(Error::MountKinds { target: mount.target.clone(), kinds });
        }
    }
    Ok(())
}

/// Errors of a source name what was to be mounted, but do not know where.
fn name_target(error: Error, on: &str) -> Error {
    match error {
        Error::Mount { what, errno, .. } => Error::Mount { what, target: on.to_owned(), errno },
        other => other,
    }
}

/// All mounts in the order in which they are to be made.
fn in_order(spec: &Spec) -> Vec<Mount> {
    let file = |target: &str, content: &Vec<u8>| Mount {
        target: target.to_owned(),
        kind: MountKind::File { content: content.clone(), mode: 0o644, uid: 0, gid: 0 },
    };
    let standard = [("/etc/hosts", &spec.hosts), ("/etc/resolv.conf", &spec.resolv_conf)];
    let standard = standard.into_iter().filter(|(_, content)| !content.is_empty()).map(|(t, c)| file(t, c));
    let mut ordered: Vec<Mount> = Vec::new();
    for mount in standard.chain(spec.mounts.iter().cloned()) {
        match ordered.iter_mut().find(|other| names(&other.target).eq(names(&mount.target))) {
            Some(other) => *other = mount,
            None => ordered.push(mount),
        }
    }
    ordered.sort_by_key(|mount| names(&mount.target).count());
    ordered
}

/// The names in a target.
fn names(target: &str) -> impl Iterator<Item = &str> {
    target.split('/').filter(|name| !name.is_empty() && *name != ".")
}

/// A place of one mount's own in the base.
struct Place<'a> {
    base: &'a OwnedFd,
    name: String,
}

impl Place<'_> {
    /// Makes a directory there, for one `purpose`, and opens it.
    fn directory(&self, purpose: &str) -> io::Result<OwnedFd> {
        let name = format!("{}-{purpose}", self.name);
        rustix::fs::mkdirat(self.base, &name, Mode::RWXU)?;
        self.open(&name)
    }

    fn open(&self, name: &str) -> io::Result<OwnedFd> {
        Ok(openat(self.base, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?)
    }
}

fn describe(source: &Source) -> String {
    let (Source::Path(path) | Source::Inside { path, .. }) = source;
    path.display().to_string()
}

fn leaf_of(fd: &OwnedFd) -> Result<(Leaf, Stat), rustix::io::Errno> {
    let stat = rustix::fs::fstat(fd)?;
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    Ok((if is_directory { Leaf::Directory } else { Leaf::File }, stat))
}

/// A detached mount of the source, as it is.
fn open_source(place: &Place<'_>, source: &Source, recursive: bool) -> Result<OwnedFd, Error> {
    let what = describe(source);
    match source {
        Source::Path(path) => mounts::clone_path(path, recursive).mounting(what, ""),
        Source::Inside { layers, path } => {
            let whole = match &layers[..] {
                [only] => mounts::clone_path(only, recursive).mounting(&what, "")?,
                several => overlay::detached(several, None)?,
            };
            if names(&path.to_string_lossy()).next().is_none() {
                return Ok(whole);
            }
            // What is attached nowhere cannot be cloned by older kernels.
            mounts::attach(&whole, place.directory("whole").mounting(&what, "")?).mounting(&what, "")?;
            // What it leads through was not chosen by us.
            let part = resolve(whole.as_fd(), path.as_os_str(), None).mounting(&what, "")?;
            mounts::clone(&part, Path::new(""), recursive).mounting(what, "")
        }
    }
}

fn bind(
    place: &Place<'_>,
    source: &Source,
    read_only: bool,
    recursive: bool,
) -> Result<(OwnedFd, Leaf), Error> {
    let mount = open_source(place, source, recursive)?;
    if read_only {
        mounts::restrict(&mount, mounts::READ_ONLY, true).mounting(describe(source), "")?;
    }
    let (leaf, _) = leaf_of(&mount).mounting(describe(source), "")?;
    Ok((mount, leaf))
}

/// An overlay over a directory, or a copy of a file; the caller removes `scratch` with what was written.
fn scratch_bind(place: &Place<'_>, source: &Source, scratch: &Path) -> Result<(OwnedFd, Leaf), Error> {
    let what = describe(source);
    let below = open_source(place, source, false)?;
    let (leaf, stat) = leaf_of(&below).mounting(&what, "")?;
    if leaf == Leaf::File {
        let copy = scratch.join("file");
        copy_file(&below, &copy, &stat).mounting(&what, "")?;
        return Ok((mounts::clone_path(&copy, false).mounting(what, "")?, leaf));
    }
    let (upper, work) = (scratch.join("upper"), scratch.join("work"));
    for directory in [&upper, &work] {
        std::fs::create_dir(directory).mounting(&what, "")?;
    }
    // The top directory of an overlay is that of the upper.
    copy_metadata(&File::open(&upper).mounting(&what, "")?, &stat).mounting(&what, "")?;
    // overlayfs takes only what is attached somewhere (before 6.15).
    mounts::attach(&below, place.directory("below").mounting(&what, "")?).mounting(&what, "")?;
    let through_fd = PathBuf::from(format!("/proc/self/fd/{}", below.as_raw_fd()));
    let tree = overlay::detached(&[through_fd], Some((&upper, &work)))?;
    Ok((tree, leaf))
}

fn copy_file(from: &OwnedFd, to: &Path, stat: &Stat) -> io::Result<()> {
    let mut source = File::from(openat(
        CWD,
        format!("/proc/self/fd/{}", from.as_raw_fd()),
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    )?);
    let mut copy = File::create_new(to)?;
    io::copy(&mut source, &mut copy)?;
    copy_metadata(&copy, stat)
}

fn copy_metadata(to: &File, stat: &Stat) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    // Ids that are not mapped cannot be given away; ours will do for a view that is thrown away.
    let _ = rustix::fs::fchown(to, Some(uid), Some(gid));
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    let times = Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime as _, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: stat.st_mtime as _, tv_nsec: stat.st_mtime_nsec as _ },
    };
    Ok(rustix::fs::futimens(to, &times)?)
}

fn memory(size: Option<u64>) -> Result<(OwnedFd, Leaf), Error> {
    let size = size.map(|bytes| bytes.to_string());
    let mut options = vec![("mode", "1777")];
    if let Some(size) = &size {
        options.push(("size", size));
    }
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok((mounts::new("tmpfs", &options, attributes).mounting("tmpfs", "")?, Leaf::Directory))
}

/// A file in the base, which is in memory; only a mount of this one file survives.
fn file(place: &Place<'_>, content: &[u8], mode: u32, owner: (u32, u32)) -> Result<(OwnedFd, Leaf), Error> {
    let what = "file";
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let fd = openat(place.base, &place.name, flags, Mode::RUSR).mounting(what, "")?;
    let mut file = File::from(fd);
    file.write_all(content).mounting(what, "")?;
    let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
    rustix::fs::chownat(&file, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH).map_err(
        |errno| match errno {
            rustix::io::Errno::INVAL => Error::IdNotMapped { uid: owner.0, gid: owner.1 },
            other => Error::Mount { what: what.into(), target: String::new(), errno: other.into() },
        },
    )?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o7777)).mounting(what, "")?;
    drop(file);
    let mount = mounts::clone(place.open(&place.name).mounting(what, "")?, Path::new(""), false)
        .mounting(what, "")?;
    let mut attributes = mounts::DATA_ONLY.union(mounts::READ_ONLY);
    if mode & 0o111 != 0 {
        attributes.remove(MountAttrFlags::MOUNT_ATTR_NOEXEC);
    }
    mounts::restrict(&mount, attributes, false).mounting(what, "")?;
    Ok((mount, Leaf::File))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Root;

    #[test]
    fn shallow_first_and_the_last_of_equal_targets_wins() {
        let mut spec = Spec::new(Root::Directory("/".into()), vec![]);
        spec.hosts = b"127.0.0.1 localhost\n".to_vec();
        spec.resolv_conf = b"nameserver 1.1.1.1\n".to_vec();
        let tmpfs =
            |target: &str, size| Mount { target: target.into(), kind: MountKind::Tmpfs { size: Some(size) } };
        spec.mounts = vec![
            tmpfs("/a/b/c", 1),
            tmpfs("/x", 2),
            tmpfs("/a", 3),
            tmpfs("/etc/hosts", 4),
            tmpfs("/x/", 5),
            tmpfs("/etc", 6),
        ];
        let order: Vec<String> = in_order(&spec)
            .iter()
            .map(|mount| match &mount.kind {
                MountKind::Tmpfs { size } => format!("{} {}", mount.target, size.unwrap_or(0)),
                _ => mount.target.clone(),
            })
            .collect();
        assert_eq!(order, ["/x/ 5", "/a 3", "/etc 6", "/etc/hosts 4", "/etc/resolv.conf", "/a/b/c 1"]);
    }
}
