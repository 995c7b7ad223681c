//! A layer that COPY writes straight from its source is, byte for byte, the one of a snapshot of the same copy.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic anywhere, in its preparations too")]

use std::collections::HashMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use jettison_layer::copy::{Chmod, CopyOptions, copy, mode::Clauses, plan};
use jettison_layer::select::{Mask, NothingKnown, PathFilter, Selection, Selector, content_digest, select};
use jettison_layer::{
    Chunk, ChunkHash, ChunkMemory, Contents, EncodeOptions, Encoded, Entry, NoChunks, diff, encode,
};
use jettison_oci::{Compression, Digest};
use proptest::prelude::*;
use rustix::fs::{AtFlags, CWD, FileType, Timespec, Timestamps};

const EPOCH: i64 = 315_532_800;

/// One thing in a tree. Names are few, so that much meets.
#[derive(Clone, Debug)]
enum Thing {
    Directory(u32),
    File(u8, u32),
    Link(&'static str),
    SecondName,
    Pipe,
    Socket,
    Attribute,
}

type Spec = Vec<(String, Thing, i64)>;

fn spec(size: usize) -> impl Strategy<Value = Spec> {
    let name = prop::sample::select(vec!["a", "a.txt", "b", "c"]);
    let path = prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    let mode = prop::sample::select(vec![0o644, 0o755, 0o600, 0o4755, 0o2750, 0o1777]);
    let target = prop::sample::select(vec!["a", "/b", "../c", "nowhere", "/a/b", "..", "."]);
    let thing = prop_oneof![
        3 => mode.clone().prop_map(Thing::Directory),
        6 => (0..4_u8, mode).prop_map(|(content, mode)| Thing::File(content, mode)),
        2 => target.prop_map(Thing::Link),
        2 => Just(Thing::SecondName),
        1 => Just(Thing::Pipe),
        1 => Just(Thing::Socket),
        1 => Just(Thing::Attribute),
    ];
    let time = prop::sample::select(vec![EPOCH, EPOCH - 5, EPOCH + 1_000_000]);
    prop::collection::vec((path, thing, time), 0..size)
}

/// Makes what can be made of `spec`; what does not fit on what is there is left out.
fn make(root: &Path, spec: &Spec) {
    fs::create_dir_all(root).unwrap();
    let mut first = None;
    for (path, thing, _) in spec {
        let path = root.join(path);
        if fs::create_dir_all(path.parent().unwrap()).is_err() || !is_plain(root, &path) {
            continue;
        }
        let chmod = |mode: u32| drop(fs::set_permissions(&path, fs::Permissions::from_mode(mode)));
        let there = path.symlink_metadata().is_ok();
        match thing {
            Thing::Directory(mode) if fs::create_dir(&path).is_ok() => chmod(*mode | 0o700),
            Thing::File(content, mode) if !there => {
                fs::write(&path, vec![b'x'; usize::from(*content) * 300]).unwrap();
                chmod(*mode | 0o400);
                first.get_or_insert(path);
            }
            Thing::Link(target) if !there => symlink(target, &path).unwrap(),
            Thing::SecondName if !there => {
                if let Some(first) = &first {
                    fs::hard_link(first, &path).unwrap();
                }
            }
            Thing::Pipe if !there => {
                rustix::fs::mknodat(CWD, &path, FileType::Fifo, 0o600.into(), 0).unwrap();
            }
            Thing::Socket if !there => drop(std::os::unix::net::UnixListener::bind(&path).unwrap()),
            Thing::Attribute if !there => {
                fs::write(&path, "with an attribute").unwrap();
                // Not every file system has any.
                let _ = rustix::fs::setxattr(&path, "user.x", b"y", rustix::fs::XattrFlags::empty());
            }
            _ => {}
        }
    }
    for (path, _, time) in spec {
        let time = Timespec { tv_sec: *time, tv_nsec: 7 };
        let times = Timestamps { last_access: time, last_modification: time };
        let _ = rustix::fs::utimensat(CWD, root.join(path), &times, AtFlags::SYMLINK_NOFOLLOW);
    }
}

/// Whether no parent of `path` is a link, which would lead out of the test's folder.
fn is_plain(root: &Path, path: &Path) -> bool {
    path.ancestors().skip(1).take_while(|parent| *parent != root).all(|parent| !parent.is_symlink())
}

struct Excluding(Option<&'static [u8]>);

impl PathFilter for Excluding {
    fn excluded(&self, path: &[u8]) -> bool {
        self.0.is_some_and(|name| path.split(|b| *b == b'/').any(|part| part == name))
    }

    fn may_reinclude(&self) -> bool {
        false
    }
}

#[derive(Clone, Debug)]
struct Case {
    source: Spec,
    base: Spec,
    patterns: Vec<&'static str>,
    destination: &'static str,
    excluded: Option<&'static [u8]>,
    chmod: Option<&'static str>,
    chown: bool,
    parents: bool,
    link: bool,
    inline: bool,
}

fn case() -> impl Strategy<Value = Case> {
    let pattern = prop::sample::select(vec!["a", "b", "*", ".", "a/*", "a/b", "?/a"]);
    let destination =
        prop::sample::select(vec!["/", "/a", "/a/", "/b/c/", "/x/y", "/c/.", "/../a/b", "b", "/a/../c/"]);
    let choices = (
        prop::option::of(prop::sample::select(vec![&b"a"[..], b"c"])),
        prop::option::of(prop::sample::select(vec!["0751", "u=rwX,go=rX", "a-w"])),
        any::<(bool, bool, bool, bool)>(),
    );
    (spec(14), spec(10), prop::collection::vec(pattern, 1..3), destination, choices).prop_map(
        |(source, base, patterns, destination, (excluded, chmod, (chown, parents, link, inline)))| Case {
            source,
            base,
            patterns,
            destination,
            excluded,
            chmod,
            chown,
            parents,
            link,
            inline: inline && !parents,
        },
    )
}

impl Case {
    fn selection(&self, from: &fs::File) -> Option<Selection> {
        let patterns: Vec<Vec<u8>> = self.patterns.iter().map(|p| p.as_bytes().to_vec()).collect();
        let selector = Selector {
            patterns: &patterns,
            excludes: &Excluding(self.excluded),
            ignore: &Excluding(None),
            parents: self.parents,
            files: &NothingKnown,
        };
        select(from.as_fd(), &selector).ok()
    }

    fn options(&self) -> CopyOptions {
        let me = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let other = if me.0 == 0 { (12, 34) } else { me };
        CopyOptions {
            destination: self.destination.as_bytes().to_vec(),
            chown: (self.chown || me.0 != 0).then_some(other),
            chmod: self.chmod.map(|text| match u32::from_str_radix(text, 8) {
                Ok(mode) => Chmod::Octal(mode),
                Err(_) => Chmod::Symbolic(Clauses::parse(text).unwrap()),
            }),
            parents: self.parents,
            inline: self
                .inline
                .then(|| (b"text".to_vec(), b"of the Dockerfile".to_vec()))
                .into_iter()
                .collect(),
            created_mtime_s: EPOCH,
            ..CopyOptions::default()
        }
    }
}

fn digest(entries: &[Entry], contents: &dyn Contents) -> Digest {
    encoded(entries, contents, &NoChunks).0.diff_id
}

fn encoded(entries: &[Entry], contents: &dyn Contents, memory: &dyn ChunkMemory) -> (Encoded, Vec<u8>) {
    let options =
        EncodeOptions { compression: Compression::None, level: None, clamp_mtime_s: Some(EPOCH), threads: 1 };
    let mut blob = Vec::new();
    (encode(entries, contents, &options, memory, &mut blob).unwrap(), blob)
}

/// What lies in a blob, with these bits of one byte of each range changed.
struct Remembered(HashMap<ChunkHash, Vec<u8>>, u8);

impl Remembered {
    fn of(encoded: &Encoded, blob: &[u8], damage: u8) -> Self {
        let range = |chunk: &Chunk| chunk.offset as usize..(chunk.offset + chunk.length) as usize;
        let known = encoded.chunks.iter().map(|chunk| (chunk.key, blob[range(chunk)].to_vec()));
        Self(known.collect(), damage)
    }
}

impl ChunkMemory for Remembered {
    fn get(&self, key: &ChunkHash) -> Option<Vec<u8>> {
        let mut bytes = self.0.get(key)?.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= self.1;
        Some(bytes)
    }
}

/// A copy of a tree with its times and hard links, as the merged view of an overlay shows what is below.
fn duplicate(from: &Path, to: &Path) {
    let done = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn straight_from_the_source_as_through_a_snapshot(case in case()) {
        let folder = tempfile::tempdir().unwrap();
        let [source, base, merged] = ["source", "base", "merged"].map(|name| folder.path().join(name));
        make(&source, &case.source);
        // The duplicate of the base stands for an overlay over it, and is one but for attributes of untouched files.
        let plain = case.base.iter().filter(|(_, thing, _)| !matches!(thing, Thing::Attribute));
        make(&base, &plain.cloned().collect());
        if case.link {
            fs::create_dir(&merged).unwrap();
        } else {
            duplicate(&base, &merged);
        }
        let [from, below, to] = [&source, &base, &merged].map(|path| fs::File::open(path).unwrap());
        let Some(mut selection) = case.selection(&from) else { return Ok(()) };
        content_digest(&mut selection, from.as_fd(), &NothingKnown, Mask::default(), 1).unwrap();
        let options = case.options();
        let lowers = [below.as_fd()];

        let copied = copy(&selection, from.as_fd(), to.as_fd(), &options);
        let planned = plan(&selection, from.as_fd(), lowers.first().filter(|_| !case.link).copied(), &options);
        let plan = match (copied, planned) {
            (Ok(()), Ok(plan)) => plan.unwrap(),
            (copied, planned) => {
                prop_assert_eq!(copied.unwrap_err().to_string(), planned.unwrap_err().to_string());
                return Ok(());
            }
        };
        let Some(layer) = plan.layer(&lowers, Some(EPOCH)).unwrap() else { return Ok(()) };
        let entries = diff(to.as_fd(), &lowers, Some(EPOCH)).unwrap();
        let clamped = |entries: &[Entry]| -> Vec<Entry> {
            let clamp = |e: &Entry| Entry { mtime_s: e.mtime_s.min(EPOCH), mtime_ns: 0, ..e.clone() };
            entries.iter().map(clamp).collect()
        };
        prop_assert_eq!(clamped(&layer.entries), clamped(&entries));
        let (first, blob) = encoded(&layer.entries, &layer, &NoChunks);
        prop_assert_eq!(&first.diff_id, &digest(&entries, &to.as_fd()));
        for damage in [0, 1] {
            // What an older layer remembers is taken if it is right.
            let memory = Remembered::of(&first, &blob, damage);
            prop_assert_eq!(&encoded(&layer.entries, &layer, &memory).1, &blob);
        }
    }
}
