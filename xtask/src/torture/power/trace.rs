//! A recorded trace of system calls (`strace -f -y`), as events on files of the store: written, flushed, renamed.
//!
//! A call that other threads interrupt stands on two lines, `<unfinished ...>` and `<... resumed>`. What it does to a file counts
//! from its beginning, but a flush only when it has returned: each is the worse case.

use std::collections::BTreeMap;

/// Calls that are recorded.
pub const CALLS: &str = "write,pwrite64,writev,pwritev,pwritev2,copy_file_range,sendfile,splice,ftruncate,fallocate,\
                         fsync,fdatasync,sync_file_range,syncfs,rename,renameat,renameat2,link,linkat,creat,open,openat";

/// Bytes of each write that are recorded: a page of the database and its frame.
pub const TEXT_BYTES: &str = "5000";

/// What happened to a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Made empty, or new.
    Made(String),
    /// Bytes were written, which are given as far as they were recorded.
    Written(String, String),
    Flushed(String),
    Renamed {
        from: String,
        to: String,
    },
}

/// Reads a trace; only what concerns paths below `root` is kept.
pub fn read(text: &str, root: &str) -> Vec<Event> {
    let mut events = Vec::new();
    let mut begun: BTreeMap<&str, String> = BTreeMap::new();
    for line in text.lines() {
        let Some((pid, call)) = line.trim_start().split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(start) = call.strip_suffix("<unfinished ...>") {
            // A write may have reached the file already.
            if !is_flush(start) && !start.contains("rename") && !start.starts_with("open") {
                events.extend(event(start, root));
            }
            begun.insert(pid, start.to_owned());
        } else if let Some((_, rest)) = call.split_once(" resumed>").filter(|_| call.starts_with("<...")) {
            let Some(start) = begun.remove(pid) else { continue };
            let whole = format!("{start}{rest}");
            if is_flush(&start) || start.contains("rename") || start.starts_with("open") {
                events.extend(event(&whole, root));
            }
        } else {
            events.extend(event(call, root));
        }
    }
    events
}

fn is_flush(call: &str) -> bool {
    call.starts_with("fsync") || call.starts_with("fdatasync")
}

fn event(call: &str, root: &str) -> Option<Event> {
    let (name, arguments) = call.split_once('(')?;
    if call.contains(") = -1 ") {
        return None;
    }
    match name {
        "fsync" | "fdatasync" => below(path_of_first(arguments)?, root).map(Event::Flushed),
        "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" | "ftruncate" | "fallocate" => {
            below(path_of_first(arguments)?, root).map(|path| Event::Written(path, arguments.to_owned()))
        }
        "copy_file_range" | "sendfile" | "splice" => {
            // The file that is written comes first for sendfile, second for the others.
            let paths: Vec<&str> = paths(arguments).collect();
            let path = if name == "sendfile" { paths.first() } else { paths.last() };
            below(path?, root).map(|path| Event::Written(path, String::new()))
        }
        "rename" | "renameat" | "renameat2" | "link" | "linkat" => {
            let names = names(arguments);
            let [from, to] = &names[..] else { return None };
            Some(Event::Renamed { from: below(from, root)?, to: below(to, root)? })
        }
        "open" | "openat" | "creat" => {
            let is_made = name == "creat" || arguments.contains("O_CREAT") || arguments.contains("O_TRUNC");
            let (_, result) = call.rsplit_once(") = ")?;
            is_made.then_some(())?;
            below(path_of_first(result)?, root).map(Event::Made)
        }
        _ => None,
    }
}

/// `5</a/b>, …` → `/a/b`
fn path_of_first(arguments: &str) -> Option<&str> {
    paths(arguments).next()
}

/// Every `<path>` that stands behind a descriptor.
fn paths(arguments: &str) -> impl Iterator<Item = &str> {
    arguments.split('<').skip(1).filter_map(|part| {
        let path = part.split('>').next()?;
        path.starts_with('/').then_some(path)
    })
}

/// The two names of a rename, each joined to the folder that stands before it.
fn names(arguments: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folder = String::new();
    for word in arguments.split(", ") {
        let word = word.trim_end_matches([')', ' ']);
        if let Some(name) = word.strip_prefix('"').and_then(|rest| rest.split('"').next()) {
            let absolute = name.starts_with('/') || folder.is_empty();
            found.push(if absolute { name.to_owned() } else { format!("{folder}/{name}") });
        } else if let Some(path) = path_of_first(word) {
            path.clone_into(&mut folder);
        }
    }
    found
}

fn below(path: &str, root: &str) -> Option<String> {
    let path = path.trim_end_matches(" (deleted)");
    path.strip_prefix(root)?.strip_prefix('/').map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_become_events_and_interrupted_ones_are_the_worse_case() {
        let text = "\
            10 openat(AT_FDCWD</x>, \"/s/tmp/a\", O_WRONLY|O_CREAT, 0666) = 5</s/tmp/a>\n\
            10 write(5</s/tmp/a>, \"text\"..., 4 <unfinished ...>\n\
            11 fdatasync(6</s/tmp/b> <unfinished ...>\n\
            10 <... write resumed>) = 4\n\
            10 fdatasync(5</s/tmp/a>) = 0\n\
            11 <... fdatasync resumed>) = 0\n\
            11 rename(\"/s/tmp/a\", \"/s/blobs/a\") = 0\n\
            11 renameat2(7</s/tmp>, \"c\", 8</s/snapshots>, \"d\", RENAME_NOREPLACE) = 0\n\
            11 write(1</dev/null>, \"x\", 1) = 1\n\
            11 rename(\"/s/tmp/x\", \"/s/blobs/y\") = -1 ENOENT (No such file or directory)\n";
        let events = read(text, "/s");
        let flushed = |path: &str| Event::Flushed(path.to_owned());
        assert_eq!(events[0], Event::Made("tmp/a".to_owned()));
        assert!(
            matches!(&events[1], Event::Written(path, bytes) if path == "tmp/a" && bytes.contains("text"))
        );
        assert_eq!(events[2..4], [flushed("tmp/a"), flushed("tmp/b")]);
        assert_eq!(events[4], Event::Renamed { from: "tmp/a".to_owned(), to: "blobs/a".to_owned() });
        assert_eq!(events[5], Event::Renamed { from: "tmp/c".to_owned(), to: "snapshots/d".to_owned() });
        assert_eq!(events.len(), 6);
    }
}
