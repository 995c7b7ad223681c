//! Where the control groups of this machine are, and which ours is. Pure: texts of `/proc` in, places out.
//!
//! Sources: proc_pid_mountinfo(5), cgroups(7). Next: `group.rs`, which makes groups there.

use std::path::{Path, PathBuf};

use super::settings::Version;

/// A tree of control groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub(super) version: Version,
    /// Of the first version: what it controls. The second says so in a file of each group.
    pub(super) controllers: Vec<String>,
    /// Its top, as far as we see it.
    pub(super) top: PathBuf,
    /// The group that we are in.
    pub(super) own: PathBuf,
}

/// All that are mounted. `mount_info` is `/proc/self/mountinfo`, `groups` is `/proc/self/cgroup`.
pub(super) fn hierarchies(mount_info: &str, groups: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = mount_info.lines().filter_map(|line| mounted(line, groups)).collect();
    // Some are mounted twice. The first place is as good as any.
    let mut seen: Vec<(Version, Vec<String>)> = Vec::new();
    found.retain(|hierarchy| {
        let what = (hierarchy.version, hierarchy.controllers.clone());
        let is_new = !seen.contains(&what);
        seen.push(what);
        is_new
    });
    found
}

/// The hierarchy of a line such as `36 25 0:31 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory`.
fn mounted(line: &str, groups: &str) -> Option<Hierarchy> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, top) = (unescaped(mount.next()?), PathBuf::from(unescaped(mount.next()?)));
    let mut file_system = file_system.split(' ');
    let version = match file_system.next()? {
        "cgroup" => Version::V1,
        "cgroup2" => Version::V2,
        _ => return None,
    };
    let options: Vec<&str> = file_system.nth(1)?.split(',').collect();
    let (own, controllers) = groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (names, path) = (parts.next()?, parts.next()?);
        let names: Vec<String> = names.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect();
        let is_it = match version {
            Version::V1 => !names.is_empty() && names.iter().all(|name| options.contains(&name.as_str())),
            Version::V2 => names.is_empty(),
        };
        is_it.then(|| (path.to_owned(), names))
    })?;
    // A mount may show a part of the tree only, and we may be elsewhere: then its top is all that is known.
    let inside = Path::new(&own).strip_prefix(&root).unwrap_or(Path::new(""));
    let is_inside = inside != Path::new("") && !inside.starts_with("..");
    let own = if is_inside { top.join(inside) } else { top.clone() };
    Some(Hierarchy { version, controllers, top, own })
}

/// Blanks, tabs, line ends and backslashes are written as three octal digits.
fn unescaped(text: &str) -> String {
    let replaced = |text: String, (code, character): (&str, &str)| text.replace(code, character);
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(mount_info: &str, groups: &str) -> String {
        let line = |h: &Hierarchy| {
            let names = h.controllers.join(",");
            format!("{:?} [{names}] {} {}", h.version, h.top.display(), h.own.display())
        };
        hierarchies(mount_info, groups).iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_second_version_alone() {
        let mounts = "22 1 0:20 / /proc rw - proc proc rw\n\
            30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";
        let groups = "0::/user.slice/user-1000.slice/session-3.scope\n";
        insta::assert_snapshot!(text(mounts, groups),
            @"V2 [] /sys/fs/cgroup /sys/fs/cgroup/user.slice/user-1000.slice/session-3.scope");
    }

    #[test]
    fn the_first_version_beside_the_second() {
        let mounts = "31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
            32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
            33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct\n\
            34 30 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            35 30 0:30 / /mnt/a\\040second\\040place rw - cgroup cgroup rw,memory\n";
        let groups = "9:name=systemd:/\n4:memory:/jobs/7\n1:cpu,cpuacct:/\n0::/x:y\n";
        insta::assert_snapshot!(text(mounts, groups), @r"
        V2 [] /sys/fs/cgroup/unified /sys/fs/cgroup/unified/x:y
        V1 [name=systemd] /sys/fs/cgroup/systemd /sys/fs/cgroup/systemd
        V1 [cpu,cpuacct] /sys/fs/cgroup/cpu,cpuacct /sys/fs/cgroup/cpu,cpuacct
        V1 [memory] /sys/fs/cgroup/memory /sys/fs/cgroup/memory/jobs/7
        ");
    }

    #[test]
    fn a_container_that_sees_its_own_part_only() {
        let mounts = "34 30 0:30 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        assert!(text(mounts, "4:memory:/docker/abc/d\n").ends_with(" /sys/fs/cgroup/memory/d"));
        assert!(text(mounts, "4:memory:/docker/other\n").ends_with(" /sys/fs/cgroup/memory"));
        assert!(text(mounts, "4:memory:/../..\n").ends_with(" /sys/fs/cgroup/memory"));
    }

    #[test]
    fn nonsense_is_nothing() {
        for mounts in ["", " - ", "a - cgroup", "1 2 3 / /x - cgroup", "1 2 3 / /x - cgroup c rw,memory"] {
            assert_eq!(text(mounts, "4\n4:\n:::\n"), "", "{mounts}");
        }
    }
}
