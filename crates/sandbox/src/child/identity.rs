//! USER: whom the step runs as. The rules are those of BuildKit's `executor/oci/user.go` and of the library beneath,
//! down to the leniency with which broken lines are read.
//!
//! | USER | uid:gid | supplementary groups |
//! |---|---|---|
//! | none, `root` | 0:0 | groups that list root |
//! | name, or a number found in passwd | uid and gid of the first such line | groups that list its name |
//! | number not in passwd | that uid, gid 0 | – |
//! | `user:group` | that uid, that gid | – |

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::iter;
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::Error;
use crate::error::Context as _;
use crate::in_root;

/// passwd and group are read up to here (BuildKit's limit).
const FILE_BYTES_MAX: u64 = 10 * 1024 * 1024;
/// Larger numbers are refused, as by BuildKit.
const ID_MAX: u32 = i32::MAX as u32;

/// Whom the step runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Without the primary one.
    pub(super) groups: Vec<u32>,
    /// Home directory of the first passwd line with this uid.
    pub(super) home: String,
}

/// Resolves USER inside the root.
pub(super) fn resolve(root: BorrowedFd<'_>, user: &str) -> Result<User, Error> {
    let passwd = read(root, "etc/passwd").unwrap_or_default();
    let group = read(root, "etc/group").unwrap_or_default();
    let mut found = look_up(user, &passwd, &group)?;
    let home = lines(&passwd).find(|f| f.number(2) == found.uid).map(|f| f.text(5).to_owned());
    found.home = home.filter(|home| !home.is_empty()).unwrap_or_else(|| "/".to_owned());
    Ok(found)
}

/// The environment of the step: HOME is filled in if it is missing or empty (runc's rule), nothing else.
pub(super) fn environment(given: &[String], user: &User) -> Vec<String> {
    let mut environment = given.to_vec();
    let home = environment.iter().rev().find_map(|variable| variable.strip_prefix("HOME="));
    if home.is_none_or(str::is_empty) {
        environment.retain(|variable| !variable.starts_with("HOME="));
        environment.push(format!("HOME={}", user.home));
    }
    environment
}

/// Becomes the user. Groups first: only root may set them.
pub(super) fn become_user(user: &User) -> Result<(), Error> {
    let not_mapped = |errno: Errno| match errno {
        Errno::INVAL => Error::IdNotMapped { uid: user.uid, gid: user.gid },
        other => Error::System { action: format!("become {}:{}", user.uid, user.gid), errno: other.into() },
    };
    // Like BuildKit, the primary group is among the supplementary ones too.
    let others = user.groups.iter().copied().filter(|&gid| gid != user.gid);
    let groups: Vec<Gid> = iter::once(user.gid).chain(others).map(Gid::from_raw).collect();
    match set_thread_groups(&groups) {
        Ok(()) => {}
        // With a single mapped id the kernel does not let anyone set groups.
        Err(Errno::PERM) if setgroups_is_denied() => {}
        // A group that our range of ids does not reach gives no rights that the step could use.
        Err(Errno::INVAL) => set_thread_groups(&groups[..1]).map_err(not_mapped)?,
        Err(errno) => return Err(errno).context("set the supplementary groups"),
    }
    let gid = Gid::from_raw(user.gid);
    set_thread_res_gid(gid, gid, gid).map_err(not_mapped)?;
    let uid = Uid::from_raw(user.uid);
    set_thread_res_uid(uid, uid, uid).map_err(not_mapped)
}

/// `/proc/self/setgroups` inside the step's own `/proc`.
fn setgroups_is_denied() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim_end() == "deny")
}

fn look_up(user: &str, passwd: &str, group: &str) -> Result<User, Error> {
    let is_default = user.is_empty();
    let user = if is_default { "0" } else { user };
    let (name, group_name) = match user.split_once(':') {
        Some((name, group)) => (name, group),
        None => (user, ""),
    };
    let made = |uid, gid, groups| User { uid, gid, groups, home: String::new() };
    // Both are numbers (or root): the files are not needed.
    if let (Some(uid), Some(gid)) = (plain_id(name), plain_id(group_name)) {
        return Ok(made(uid, gid, Vec::new()));
    }
    match look_up_in_files(name, group_name, passwd, group) {
        Ok((uid, gid, groups)) => Ok(made(uid, gid, groups)),
        Err(_) if is_default => Ok(made(0, 0, Vec::new())),
        Err(error) => Err(error),
    }
}

/// 4294967295 is no id: to the kernel it means "stay who you are", which is root.
fn plain_id(text: &str) -> Option<u32> {
    if text == "root" { Some(0) } else { text.parse().ok().filter(|&id| id <= ID_MAX) }
}

fn look_up_in_files(
    name: &str,
    group_name: &str,
    passwd: &str,
    group: &str,
) -> Result<(u32, u32, Vec<u32>), Error> {
    let unknown_user = || Error::UnknownUser { user: name.to_owned() };
    let unknown_group = || Error::UnknownGroup { group: group_name.to_owned() };
    let number = |text: &str| text.parse::<u32>().ok();
    let in_range = |id: u32| Some(id).filter(|&id| id <= ID_MAX);

    // An empty name in `:group` means root.
    let wanted = if name.is_empty() { "0" } else { name };
    // A number is an id, even where somebody has it as a name (CVE-2016-3697 of runc).
    let is_it = |f: &Fields<'_>, text: &str| number(text).map_or(f.text(0) == text, |id| id == f.number(2));
    let line = lines(passwd).find(|f| is_it(f, wanted));
    let (uid, mut gid, matched) = match &line {
        Some(fields) => {
            let uid = in_range(fields.number(2)).ok_or_else(unknown_user)?;
            (uid, in_range(fields.number(3)).ok_or_else(unknown_user)?, Some(fields.text(0)))
        }
        None => (number(wanted).and_then(in_range).ok_or_else(unknown_user)?, 0, None),
    };
    if !group_name.is_empty() {
        gid = match lines(group).find(|f| is_it(f, group_name)) {
            Some(fields) => in_range(fields.number(2)).ok_or_else(unknown_group)?,
            None => number(group_name).and_then(in_range).ok_or_else(unknown_group)?,
        };
        return Ok((uid, gid, Vec::new()));
    }
    let groups = match matched {
        Some(name) => {
            lines(group).filter(|f| f.text(3).split(',').any(|m| m == name)).map(|f| f.number(2)).collect()
        }
        None => Vec::new(),
    };
    Ok((uid, gid, groups))
}

/// A line of passwd or group.
struct Fields<'a>(Vec<&'a str>);

impl<'a> Fields<'a> {
    fn text(&self, index: usize) -> &'a str {
        self.0.get(index).copied().unwrap_or("")
    }

    /// What is no number counts as 0, as it does for BuildKit.
    fn number(&self, index: usize) -> u32 {
        self.text(index).parse().unwrap_or(0)
    }
}

fn lines(text: &str) -> impl Iterator<Item = Fields<'_>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| Fields(line.split(':').collect()))
}

/// Reads a file of the root. `None` if it is not there or not an ordinary file (a pipe would hold us up).
fn read(root: BorrowedFd<'_>, path: &str) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = in_root::open(root, OsStr::new(path), flags).ok()?;
    if FileType::from_raw_mode(rustix::fs::fstat(&fd).ok()?.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut bytes = Vec::new();
    File::from(fd).take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "# comment\nroot:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/usr/sbin:\n\n\
        app:x:1001:1002:App:/home/app:/bin/sh\nother:x:1003:1003::/:\n1044:x:1045:1046:::\nbroken\n";
    const GROUP: &str = "root:x:0:root\nwheel:x:10:root,app\nstaff:x:50:app,other\napp:x:1002:\n\
        extra:x:1005:app\ncdrom:x:7:\n";

    fn user(text: &str) -> String {
        match look_up(text, PASSWD, GROUP) {
            Ok(User { uid, gid, groups, .. }) => format!("{uid}:{gid} {groups:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_table_of_the_user_instruction() {
        let table = [
            "",
            "root",
            "0",
            "app",
            "1001",
            "daemon",
            "1044",
            "1042",
            "app:staff",
            "app:50",
            "1001:staff",
            "1042:1043",
            "root:0",
            "app:1043",
            ":staff",
            "app:",
            "nobody",
            "app:nothing",
            "nobody:0",
            "5000000000",
            "4294967295",
            "4294967295:0",
            "0:4294967295",
            "-1",
            "1042:staff",
        ];
        let lines: Vec<String> = table.iter().map(|text| format!("{text:?}: {}", user(text))).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        "": 0:0 [0, 10]
        "root": 0:0 [0, 10]
        "0": 0:0 [0, 10]
        "app": 1001:1002 [10, 50, 1005]
        "1001": 1001:1002 [10, 50, 1005]
        "daemon": 1:1 []
        "1044": 1044:0 []
        "1042": 1042:0 []
        "app:staff": 1001:50 []
        "app:50": 1001:50 []
        "1001:staff": 1001:50 []
        "1042:1043": 1042:1043 []
        "root:0": 0:0 []
        "app:1043": 1001:1043 []
        ":staff": 0:50 []
        "app:": 1001:1002 [10, 50, 1005]
        "nobody": unable to find user nobody: no matching entries in passwd file
        "app:nothing": unable to find group nothing: no matching entries in group file
        "nobody:0": unable to find user nobody: no matching entries in passwd file
        "5000000000": unable to find user 5000000000: no matching entries in passwd file
        "4294967295": unable to find user 4294967295: no matching entries in passwd file
        "4294967295:0": unable to find user 4294967295: no matching entries in passwd file
        "0:4294967295": unable to find group 4294967295: no matching entries in group file
        "-1": unable to find user -1: no matching entries in passwd file
        "1042:staff": 1042:50 []
        "#);
    }

    #[test]
    fn without_files_only_numbers_and_nobody_work() {
        let missing = |text| look_up(text, "", "").map(|user| (user.uid, user.gid));
        assert_eq!(missing(""), Ok((0, 0)));
        assert_eq!(missing("7"), Ok((7, 0)));
        assert_eq!(missing("root:root"), Ok((0, 0)));
        assert_eq!(missing("root"), Err(Error::UnknownUser { user: "root".into() }));
    }

    #[test]
    fn home_is_filled_in_only_if_it_is_missing_or_empty() {
        let user = User { uid: 1, gid: 1, groups: vec![], home: "/home/x".into() };
        let with = |given: &[&str]| {
            environment(&given.iter().map(|&text| text.to_owned()).collect::<Vec<_>>(), &user).join(" ")
        };
        assert_eq!(with(&["A=1"]), "A=1 HOME=/home/x");
        assert_eq!(with(&["HOME=", "A=1"]), "A=1 HOME=/home/x");
        assert_eq!(with(&["HOME=/y", "A=1"]), "HOME=/y A=1");
    }

    #[test]
    fn a_pipe_or_a_link_to_the_outside_is_no_passwd_file() {
        use std::os::fd::AsFd as _;
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let open = File::open(root.path()).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.path().join("etc/passwd"),
            FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        std::os::unix::fs::symlink("/etc/hostname", root.path().join("etc/group")).unwrap();
        assert_eq!(read(open.as_fd(), "etc/passwd"), None);
        assert_eq!(read(open.as_fd(), "etc/group"), None);
        assert_eq!(resolve(open.as_fd(), "").unwrap().home, "/");
    }
}
