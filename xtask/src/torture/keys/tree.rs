//! Random edits of a folder of files, with all that has fooled other builders: equal sizes and times, renames, links,
//! a folder where a file was, odd names, times in the future.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, ResolveFlags, XattrFlags};

use crate::random::Random;

/// Names of files and folders. Some are there before the first edit, the rest comes with time.
const NAMES: &[&[u8]] = &[
    b"a",
    b"A",
    b"f",
    b"f1",
    b"f2",
    b"g.n",
    b"d",
    b"d2",
    b"x y",
    b"-n",
    b"$V",
    b"b\\c",
    b"*",
    b"[z]",
    b"q?",
    b"n\nl",
    b"\xff\xfe",
    "\u{e9}".as_bytes(),
    "e\u{301}".as_bytes(),
    b"...",
    b".hidden",
    b"wh.a",
];

/// Contents; several of each length, so that equal sizes are common.
const CONTENTS: &[&[u8]] =
    &[b"", b"1", b"2", b"one\n", b"two\n", b"#!x\n", b"a longer text of one\n", b"a longer text of two\n"];

/// Makes the first files.
pub fn plant(folder: &Path) -> io::Result<()> {
    for directory in ["d", "d/d", "d2", "e"] {
        fs::create_dir_all(folder.join(directory))?;
    }
    for (path, content) in
        [("a", "1"), ("f", "one\n"), ("d/f1", "1"), ("d/f2", "2"), ("d/d/f", "two\n"), ("d2/g.n", "")]
    {
        fs::write(folder.join(path), content)?;
    }
    symlink("f", folder.join("link"))?;
    symlink("d", folder.join("dirlink"))
}

/// What it is called, and what it does to a path; the second path is another one, for what takes two.
type Edit = (&'static str, fn(&Path, &Path, &mut Random) -> io::Result<()>);

const OF_CONTENT: &[Edit] = &[
    ("content, same size and mtime", same_size_and_time),
    ("content, same size and mtime", same_size_and_time),
    ("content by a renamed file, same size and mtime", renamed_same_size_and_time),
    ("content", |path, _, random| write(path, content(random))),
    ("content appended", |path, _, _| open(path, OFlags::WRONLY | OFlags::APPEND)?.write_all(b"+")),
    ("content, mtime in the future", |path, _, random| {
        write(path, content(random))?;
        set_time(path, SystemTime::now() + Duration::from_secs(86_400))
    }),
    ("mtime alone", |path, _, random| {
        set_time(path, SystemTime::UNIX_EPOCH + Duration::from_secs(random.next() % 2_000_000_000))
    }),
    ("mode", |path, _, random| {
        if fs::symlink_metadata(path)?.is_symlink() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let modes = [0o644, 0o600, 0o755, 0o700, 0o4755, 0o2755, 0o1777, 0o444];
        fs::set_permissions(path, Permissions::from_mode(*random.pick(&modes)))
    }),
    ("owner", |path, _, random| {
        std::os::unix::fs::lchown(path, Some(random.below(3) as u32), Some(random.below(3) as u32))
    }),
    ("attribute", |path, _, random| {
        let value: &[u8] = if random.once_in(2) { b"1" } else { b"2" };
        Ok(rustix::fs::lsetxattr(path, "user.mark", value, XattrFlags::empty())?)
    }),
];

const OF_NAMES: &[Edit] = &[
    ("new file", |path, _, random| write(&beside(path, random), content(random))),
    ("new folder", |path, _, random| fs::create_dir(beside(path, random))),
    ("new file in the folder", |path, _, random| write(&path.join(name(random)), content(random))),
    ("rename", |path, _, random| fs::rename(path, beside(path, random))),
    ("two names exchanged", |path, other, _| {
        Ok(rustix::fs::renameat_with(CWD, path, CWD, other, RenameFlags::EXCHANGE)?)
    }),
    ("hard link", |path, _, random| fs::hard_link(path, beside(path, random))),
    ("symbolic link", |path, other, random| {
        let target =
            if random.once_in(2) { other.as_os_str() } else { other.file_name().unwrap_or_default() };
        let _ = fs::remove_file(path);
        symlink(target, path)
    }),
    ("symbolic link to nothing or itself", |path, _, random| {
        let targets = ["nowhere", ".", "..", "/", "/etc/passwd", "loop"];
        let at = beside(path, random);
        symlink(random.pick(&targets), at)
    }),
    ("file against folder", |path, _, random| {
        if fs::symlink_metadata(path)?.is_dir() {
            fs::remove_dir_all(path)?;
            write(path, content(random))
        } else {
            fs::remove_file(path)?;
            fs::create_dir(path)
        }
    }),
    ("other case", |path, _, _| {
        let name = path.file_name().unwrap_or_default().as_bytes();
        let swapped: Vec<u8> =
            name.iter().map(|b| if b.is_ascii_alphabetic() { b ^ 0x20 } else { *b }).collect();
        fs::rename(path, path.with_file_name(OsStr::from_bytes(&swapped)))
    }),
    ("removal", |path, _, _| {
        if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
    }),
    ("pipe", |path, _, random| {
        Ok(rustix::fs::mknodat(CWD, beside(path, random), rustix::fs::FileType::Fifo, Mode::RUSR, 0)?)
    }),
    ("rewritten with the same bytes", |path, _, _| write(path, &read(path)?)),
    ("nothing", |_, _, _| Ok(())),
];

/// One random edit; returns what it was. An edit that cannot be done here (a folder is not empty, say) is none.
pub fn edit(folder: &Path, random: &mut Random) -> String {
    let all = walk(folder);
    let path = if all.is_empty() { folder.join("a") } else { random.pick(&all).clone() };
    let other = if all.is_empty() { folder.join("f") } else { random.pick(&all).clone() };
    let table = *random.pick(&[OF_CONTENT, OF_NAMES]);
    let (what, change) = random.pick::<Edit>(table);
    // There is nothing to edit in a pipe.
    let is_pipe = fs::symlink_metadata(&path).is_ok_and(|m| !m.is_file() && !m.is_dir() && !m.is_symlink());
    if is_pipe {
        let _ = fs::remove_file(&path);
        return format!("removal: {path:?}");
    }
    match change(&path, &other, random) {
        Ok(()) => format!("{what}: {path:?}"),
        Err(error) => format!("none ({what}: {error})"),
    }
}

/// All paths below `folder`, sorted, so that a seed means the same everywhere.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                todo.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

fn name(random: &mut Random) -> &'static OsStr {
    OsStr::from_bytes(random.pick::<&[u8]>(NAMES))
}

fn content(random: &mut Random) -> &'static [u8] {
    random.pick::<&[u8]>(CONTENTS)
}

fn beside(path: &Path, random: &mut Random) -> PathBuf {
    path.with_file_name(name(random))
}

/// Opens what lies at `path` itself: through a link (`/etc/passwd` is one of the targets) an edit would leave the folder,
/// and a pipe of that name must not make us wait for somebody at its other end.
fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mode = if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(0o666) } else { Mode::empty() };
    Ok(rustix::fs::openat2(CWD, path, flags, mode, ResolveFlags::NO_SYMLINKS)?.into())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, OFlags::RDONLY)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    open(path, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC)?.write_all(bytes)
}

fn set_time(path: &Path, time: SystemTime) -> io::Result<()> {
    open(path, OFlags::RDONLY)?.set_modified(time)
}

fn other_bytes(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let mut bytes = read(path)?;
    bytes.iter_mut().for_each(|byte| *byte ^= 1);
    Ok(bytes)
}

fn same_size_and_time(path: &Path, _: &Path, _: &mut Random) -> io::Result<()> {
    let bytes = other_bytes(path)?;
    let time = fs::metadata(path)?.modified()?;
    let mut file = open(path, OFlags::WRONLY)?;
    file.write_all(&bytes)?;
    file.set_modified(time)
}

fn renamed_same_size_and_time(path: &Path, _: &Path, _: &mut Random) -> io::Result<()> {
    let bytes = other_bytes(path)?;
    let before = fs::metadata(path)?;
    let new = path.with_file_name("renamed into place");
    write(&new, &bytes)?;
    fs::set_permissions(&new, Permissions::from_mode(before.mode() & 0o7777))?;
    set_time(&new, before.modified()?)?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn edits_wait_for_nobody_and_stay_in_their_folder() {
        let folder = Scratch::below(&std::env::temp_dir(), "jettison-edits").unwrap();
        let (inside, outside) = (folder.path().join("context"), folder.path().join("outside"));
        fs::create_dir(&inside).unwrap();
        fs::write(&outside, "as it was").unwrap();
        plant(&inside).unwrap();
        let mut random = Random::part(5, 0);
        for _ in 0..1_000 {
            edit(&inside, &mut random);
            // Names that lead out and pipes whose other end nobody holds, again and again.
            let _ = symlink(&outside, inside.join(name(&mut random)));
            let _ = symlink("..", inside.join(name(&mut random)));
            let pipe = inside.join(name(&mut random));
            let _ = rustix::fs::mknodat(CWD, pipe, rustix::fs::FileType::Fifo, Mode::RUSR, 0);
        }
        assert_eq!(fs::read_to_string(&outside).unwrap(), "as it was");
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["context", "outside"]);
    }
}
