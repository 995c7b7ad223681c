//! USER: whom the program runs as, and what that user may do with a file.
//!
//! Source of the look-up: moby `user/user.go` GetExecUser, which runc, containerd and BuildKit use.

use std::io;

use super::{Node, View};

/// passwd and group are read up to here, bytes (BuildKit's limit).
const ACCOUNTS_BYTES_MAX: u64 = 10 << 20;

/// A user with its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group ids, the primary one first.
    pub gids: Vec<u32>,
}

/// A name that the image's files do not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnknownName {
    /// Not in `/etc/passwd`.
    User(String),
    /// Not in `/etc/group`.
    Group(String),
}

impl Identity {
    /// Root, who may do nearly everything: containers keep CAP_DAC_OVERRIDE.
    pub fn root() -> Self {
        Self { uid: 0, gids: vec![0] }
    }

    /// Whom `user` (`name|uid[:group|gid]`, empty for root) means in the image.
    pub fn resolve(view: &View<'_>, user: &str) -> io::Result<Result<Self, UnknownName>> {
        let (name, group) = user.split_once(':').unwrap_or((user, ""));
        let name = if name.is_empty() { "0" } else { name };
        let passwd = text(view, b"etc/passwd")?;
        let groups = text(view, b"etc/group")?;
        let entry = fields(&passwd).find(|line| {
            line.first() == Some(&name) || name.parse().is_ok_and(|id: u32| number(line, 2) == id)
        });
        let (uid, mut gid, known_name) = match (&entry, name.parse::<u32>()) {
            (Some(line), _) => (number(line, 2), number(line, 3), Some(line[0].to_owned())),
            (None, Ok(uid)) => (uid, 0, None),
            (None, Err(_)) if name == "root" => (0, 0, None),
            (None, Err(_)) => return Ok(Err(UnknownName::User(name.to_owned()))),
        };
        let mut others = Vec::new();
        if group.is_empty() {
            let member = |line: &Vec<&str>| {
                known_name.as_ref().is_some_and(|name| {
                    line.get(3).is_some_and(|list| list.split(',').any(|member| member.trim() == name))
                })
            };
            others = fields(&groups).filter(member).map(|line| number(&line, 2)).collect();
        } else {
            let found = fields(&groups).find(|line| line.first() == Some(&group));
            gid = match (found, group.parse::<u32>()) {
                (Some(line), _) => number(&line, 2),
                (None, Ok(id)) => id,
                (None, Err(_)) if group == "root" => 0,
                (None, Err(_)) => return Ok(Err(UnknownName::Group(group.to_owned()))),
            };
        }
        let mut gids = vec![gid];
        gids.extend(others.into_iter().filter(|other| *other != gid));
        Ok(Ok(Self { uid, gids }))
    }

    /// Whether this user may execute the file: root needs any x bit, others the one of their class.
    pub fn may_execute(&self, node: &Node) -> bool {
        if self.uid == 0 { node.mode & 0o111 != 0 } else { self.bits(node) & 1 != 0 }
    }

    /// Whether this user may read the file.
    pub fn may_read(&self, node: &Node) -> bool {
        self.uid == 0 || self.bits(node) & 4 != 0
    }

    /// Whether this user may look up names in the directory.
    pub fn may_search(&self, node: &Node) -> bool {
        self.uid == 0 || self.bits(node) & 1 != 0
    }

    /// The three permission bits of this user's class.
    fn bits(&self, node: &Node) -> u32 {
        if node.uid == self.uid {
            node.mode >> 6
        } else if self.gids.contains(&node.gid) {
            node.mode >> 3
        } else {
            node.mode
        }
    }
}

fn text(view: &View<'_>, path: &[u8]) -> io::Result<String> {
    let bytes = view.read(path, ACCOUNTS_BYTES_MAX)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Lines as their fields; comments and empty lines left out.
fn fields(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split(':').collect())
}

/// A number; what cannot be read is 0, as in the library that is the source.
fn number(line: &[&str], field: usize) -> u32 {
    line.get(field).and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::MemoryTree;

    fn resolve(user: &str) -> String {
        let tree = MemoryTree::new()
            .file("etc/passwd", 0o644, "root:x:0:0::/root:/bin/sh\napp:x:10:20::/:/bin/sh\n")
            .file("etc/group", 0o644, "root:x:0:\nstaff:x:50:app,x\nweb:x:33:\n");
        match Identity::resolve(&View::new(&tree), user).unwrap() {
            Ok(identity) => format!("{} {:?}", identity.uid, identity.gids),
            Err(unknown) => format!("{unknown:?}"),
        }
    }

    #[test]
    fn users_as_runtimes_read_them() {
        for (user, want) in [
            ("", "0 [0]"),
            ("root", "0 [0]"),
            ("app", "10 [20, 50]"),
            ("10", "10 [20, 50]"),
            ("1234", "1234 [0]"),
            ("app:web", "10 [33]"),
            ("app:77", "10 [77]"),
            ("1234:5", "1234 [5]"),
            ("ghost", "User(\"ghost\")"),
            ("app:ghosts", "Group(\"ghosts\")"),
        ] {
            assert_eq!(resolve(user), want, "{user}");
        }
        let empty = MemoryTree::new();
        assert_eq!(Identity::resolve(&View::new(&empty), "root").unwrap(), Ok(Identity::root()));
    }

    #[test]
    fn only_the_first_class_that_fits_counts() {
        let node = |mode| Node { kind: crate::tree::NodeKind::Directory, mode, uid: 1, gid: 2 };
        let owner = Identity { uid: 1, gids: vec![2] };
        let member = Identity { uid: 9, gids: vec![0, 2] };
        assert!(!owner.may_execute(&node(0o077)));
        assert!(!member.may_execute(&node(0o707)));
        assert!(member.may_execute(&node(0o010)));
        assert!(!Identity::root().may_execute(&node(0o666)));
        assert!(Identity::root().may_search(&node(0)));
    }
}
