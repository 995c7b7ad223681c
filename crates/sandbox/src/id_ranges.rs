//! Which ids a plain user may map: `/etc/subuid` and `/etc/subgid`, read without the C library's name service (a static
//! program must not load its modules).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

/// Where the set-user-id programs are if PATH does not say.
const FOLDERS: &[&str] = &["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin"];

/// A range of ids of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u32,
    pub(crate) count: u32,
}

/// The name of a user: `/etc/passwd`, else (a directory service) what the login says. A wrong one does no harm:
/// newuidmap looks for itself.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_in(&passwd, uid).or_else(|| std::env::var("USER").ok()).or_else(|| std::env::var("LOGNAME").ok())
}

fn name_in(passwd: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid))?;
    line.split(':').next().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// The ranges of a user, who may stand there by name or by number.
pub(crate) fn ranges(text: &str, name: Option<&str>, uid: u32) -> Vec<Range> {
    let number = uid.to_string();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            if owner.is_empty() || (Some(owner) != name && owner != number) {
                return None;
            }
            let (start, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            (count > 0).then_some(Range { start, count })
        })
        .collect()
}

/// What newuidmap and newgidmap want: `inside outside count` triples. We ourselves become 0, the ranges follow from 1.
pub(crate) fn map_arguments(own: u32, ranges: &[Range]) -> Vec<u32> {
    let mut arguments = vec![0, own, 1];
    let mut inside = 1_u32;
    for range in ranges {
        let count = range.count.min(u32::MAX - inside);
        if count == 0 {
            break;
        }
        arguments.extend([inside, range.start, count]);
        inside += count;
    }
    arguments
}

/// Finds a program on PATH or where such programs usually are.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.iter().map(PathBuf::from));
    folders.filter(|folder| folder.is_absolute()).map(|folder| folder.join(name)).find(|path| {
        path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_and_by_number() {
        let text = "root:1:2\nann:100000:65536\n\n1000:300000:10\nbob:200000:65536\nann:bad\nann:5:0\n:9:9\n";
        let range = |start, count| Range { start, count };
        assert_eq!(ranges(text, Some("ann"), 1000), [range(100_000, 65536), range(300_000, 10)]);
        assert_eq!(ranges(text, None, 1000), [range(300_000, 10)]);
        assert_eq!(ranges(text, Some("eve"), 1001), []);
        assert_eq!(
            map_arguments(1000, &[range(100_000, 65536), range(300_000, 10)]),
            [0, 1000, 1, 1, 100_000, 65536, 65537, 300_000, 10]
        );
        assert_eq!(map_arguments(7, &[range(1, u32::MAX), range(5, 5)]), [0, 7, 1, 1, 1, u32::MAX - 1]);
    }

    #[test]
    fn names_come_from_passwd() {
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(name_in(passwd, 1000).as_deref(), Some("ann"));
        assert_eq!(name_in(passwd, 5), None);
    }
}
