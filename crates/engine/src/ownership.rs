//! Who owns what COPY, ADD and WORKDIR make: `--chown` and USER, resolved in the file system being built.
//!
//! Pure: the two files come in as bytes. RUN resolves USER elsewhere (inside the sandbox), by other rules.
//! Source: BuildKit `solver/llbsolver/file/user_linux.go`; `run-and-layers` behaviour pinned by testCopyChown and
//! testWorkdirUser.

use crate::error::Error;
use jettison_dockerfile::Span;

/// `/etc/passwd` and `/etc/group` of a root file system; `None` where there is no such regular file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accounts {
    pub(crate) passwd: Option<Vec<u8>>,
    pub(crate) group: Option<Vec<u8>>,
}

/// Whether `text` (`user[:group]`) needs the files at all.
pub(crate) fn needs_accounts(text: &str) -> bool {
    text.split(':').any(|part| !part.is_empty() && part.parse::<u32>().is_err())
}

/// An owner, and whether a name was not found (BuildKit silently takes root then; we say so).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) unknown: Vec<String>,
}

/// Resolves `user[:group]`. A bare number is user and group; a bare name takes its primary group; an unknown name
/// is 0 where the file exists, and an error where it does not.
pub(crate) fn resolve(text: &str, accounts: &Accounts, span: Span) -> Result<Owner, Error> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|g| !g.is_empty())),
        None => (text, None),
    };
    let mut unknown = Vec::new();
    let (uid, primary) = match user.parse::<u32>() {
        Ok(uid) => (uid, uid),
        Err(_) if user.is_empty() => (0, 0),
        Err(_) => {
            let passwd = accounts.passwd.as_deref().ok_or_else(|| no_file(user, "/etc/passwd", span))?;
            match find(passwd, user) {
                Some(fields) => (number(&fields, 2), number(&fields, 3)),
                None => {
                    unknown.push(user.to_owned());
                    (0, 0)
                }
            }
        }
    };
    let gid = match group {
        None => primary,
        Some(group) => match group.parse::<u32>() {
            Ok(gid) => gid,
            Err(_) => {
                let file = accounts.group.as_deref().ok_or_else(|| no_file(group, "/etc/group", span))?;
                find(file, group).map_or_else(
                    || {
                        unknown.push(group.to_owned());
                        0
                    },
                    |fields| number(&fields, 2),
                )
            }
        },
    };
    Ok(Owner { uid, gid, unknown })
}

/// A link copy knows nothing of what it is put on, so no name either.
pub(crate) fn not_with_link(owner: &str, span: Span) -> Error {
    Error::Step {
        message: format!("cannot resolve --chown={owner}: with --link the image is not looked into"),
        span,
        hint: Some("use numbers, such as 1000:1000, or leave --link out".to_owned()),
    }
}

fn no_file(name: &str, file: &str, span: Span) -> Error {
    Error::Step {
        message: format!("cannot resolve {name:?}: the image has no {file}"),
        span,
        hint: Some("use numbers, such as 1000:1000".to_owned()),
    }
}

fn find<'a>(file: &'a [u8], name: &str) -> Option<Vec<&'a [u8]>> {
    file.split(|b| *b == b'\n')
        .map(|line| line.split(|b| *b == b':').collect::<Vec<_>>())
        .find(|fields| fields[0] == name.as_bytes() && fields.len() > 2)
}

fn number(fields: &[&[u8]], index: usize) -> u32 {
    fields
        .get(index)
        .and_then(|f| std::str::from_utf8(f).ok())
        .and_then(|f| f.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: Some(b"root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n".to_vec()),
            group: Some(b"root:x:0:\nstaff:x:50:app\n".to_vec()),
        }
    }

    #[test]
    fn the_table() {
        let of = |text| {
            let owner = resolve(text, &accounts(), Span::default()).unwrap();
            (owner.uid, owner.gid, owner.unknown.len())
        };
        assert_eq!(of("7"), (7, 7, 0));
        assert_eq!(of("7:8"), (7, 8, 0));
        assert_eq!(of("app"), (1000, 1001, 0));
        assert_eq!(of("app:staff"), (1000, 50, 0));
        assert_eq!(of("app:9"), (1000, 9, 0));
        assert_eq!(of("nobody:nogroup"), (0, 0, 2));
        assert_eq!(of(""), (0, 0, 0));
    }

    #[test]
    fn names_on_scratch_are_errors() {
        assert!(resolve("app", &Accounts::default(), Span::default()).is_err());
        assert!(resolve("1:2", &Accounts::default(), Span::default()).is_ok());
        assert!(needs_accounts("app") && needs_accounts("1:g") && !needs_accounts("1:2"));
    }
}
