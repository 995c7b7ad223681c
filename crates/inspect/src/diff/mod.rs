//! What differs between two images: files, config, size. A pure comparison of two [`Listing`]s and two configs.
//!
//! `config.rs` compares how containers start. Hard links are compared as the files that they are names of.

mod config;

use std::collections::BTreeSet;
use std::io::{self, Read};

use jettison_layer::{self as layer, Kind, Limits};
use jettison_oci::{Digest, Hasher};
use serde::Serialize;

pub use config::{Setting, settings};

use crate::tree::NodeKind;
use crate::tree::merged::{self, Layer, Merged, node_kind};

/// The files of an image with all that is compared.
#[derive(Clone, Debug)]
pub struct Listing {
    entries: Merged<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    kind: NodeKind,
    /// Devices, pipes: what `kind` does not tell apart.
    special: Option<Kind>,
    mode: u32,
    uid: u32,
    gid: u32,
    /// Seconds since 1970 and nanoseconds.
    time: (i64, u32),
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    content: Option<Digest>,
    is_implied: bool,
    /// Whether it is a further name of a file, whose bytes count under another one.
    is_further_name: bool,
}

impl merged::Item for Entry {
    fn kind(&self) -> &NodeKind {
        &self.kind
    }

    fn implied() -> Self {
        Self {
            kind: NodeKind::Directory,
            special: None,
            mode: 0o755,
            uid: 0,
            gid: 0,
            time: (0, 0),
            xattrs: Vec::new(),
            content: None,
            is_implied: true,
            is_further_name: false,
        }
    }

    fn linked(&self) -> Self {
        Self { is_further_name: true, ..self.clone() }
    }
}

/// What kind of file is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Type {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device.
    Device,
    /// A pipe or a socket.
    Pipe,
}

/// An entry that only one of the images has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lone {
    /// Its path.
    pub path: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: Type,
    /// Size of a file, bytes; 0 for all others.
    pub bytes: u64,
}

/// One thing that differs at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "camelCase")]
pub enum Difference {
    /// Another kind of file; nothing else is compared then.
    Type {
        /// In the first image.
        from: Type,
        /// In the second.
        to: Type,
    },
    /// Other bytes.
    Content,
    /// More or fewer bytes.
    Size {
        /// In the first image, bytes.
        from: u64,
        /// In the second, bytes.
        to: u64,
    },
    /// Permission bits, octal.
    Mode {
        /// In the first image.
        from: String,
        /// In the second.
        to: String,
    },
    /// `uid:gid`.
    Owner {
        /// In the first image.
        from: String,
        /// In the second.
        to: String,
    },
    /// Where a symbolic link leads, or which device it is.
    Target {
        /// In the first image.
        from: String,
        /// In the second.
        to: String,
    },
    /// Extended attributes, such as capabilities.
    Attributes {
        /// Names of those that were added, removed or changed.
        names: Vec<String>,
    },
    /// When it was last written, seconds since 1970.
    Time {
        /// In the first image.
        from: i64,
        /// In the second.
        to: i64,
    },
}

/// A path that both images have, and not in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The path.
    pub path: String,
    /// What differs; never empty.
    pub differences: Vec<Difference>,
}

/// How the files of two images differ. Lists are in the order of paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Files {
    /// Only in the second image.
    pub added: Vec<Lone>,
    /// Only in the first.
    pub removed: Vec<Lone>,
    /// In both. Those where nothing but the time differs are only counted, unless they were asked for.
    pub changed: Vec<Changed>,
    /// How many entries differ in their time alone.
    pub times_differ: u64,
    /// How many entries are the same in both, their time aside.
    pub same: u64,
}

impl Default for Listing {
    fn default() -> Self {
        Self { entries: Merged::new() }
    }
}

impl Listing {
    /// Adds a layer, an uncompressed tar, on top.
    ///
    /// # Errors
    /// If it is damaged or larger than `limits`.
    pub fn add(&mut self, tar: &mut dyn Read, limits: &Limits) -> Result<(), layer::Error> {
        let layer = Layer::read(tar, limits, &mut |entry, content| {
            let is_file = matches!(entry.kind, Kind::File { .. });
            let kind = node_kind(&entry.kind);
            Ok(Entry {
                special: (kind == NodeKind::Other).then(|| entry.kind.clone()),
                kind,
                mode: entry.mode,
                uid: entry.uid,
                gid: entry.gid,
                time: (entry.mtime_s, entry.mtime_ns),
                xattrs: entry.xattrs.clone(),
                content: if is_file { Some(digest(content).map_err(layer::Error::Read)?) } else { None },
                is_implied: false,
                is_further_name: false,
            })
        })?;
        self.entries.add(layer, &mut |_| ());
        Ok(())
    }

    /// Bytes of all files, each once, however many names it has.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().filter(|(_, entry)| !entry.is_further_name).map(|(_, entry)| entry.bytes()).sum()
    }

    /// What differs from here to `other`. With `times`, entries that differ in nothing else are listed, too.
    pub fn compare(&self, other: &Self, times: bool) -> Files {
        let mut files = Files::default();
        for (path, a) in self.entries.iter() {
            match other.entries.get(path) {
                None => files.removed.push(a.lone(path)),
                Some(b) => {
                    let differences = differences(a, b);
                    match &differences[..] {
                        [] => files.same += 1,
                        [Difference::Time { .. }] => {
                            files.times_differ += 1;
                            files.same += 1;
                            if times {
                                files.changed.push(Changed { path: readable(path), differences });
                            }
                        }
                        _ => files.changed.push(Changed { path: readable(path), differences }),
                    }
                }
            }
        }
        let is_new = |(path, _): &(&Vec<u8>, &Entry)| self.entries.get(path).is_none();
        files.added = other.entries.iter().filter(is_new).map(|(path, entry)| entry.lone(path)).collect();
        files
    }
}

impl Entry {
    fn bytes(&self) -> u64 {
        match self.kind {
            NodeKind::File { size } => size,
            _ => 0,
        }
    }

    fn type_of(&self) -> Type {
        match (&self.kind, &self.special) {
            (NodeKind::File { .. }, _) => Type::File,
            (NodeKind::Directory, _) => Type::Directory,
            (NodeKind::Symlink { .. }, _) => Type::Symlink,
            (NodeKind::Other, Some(Kind::CharDevice { .. } | Kind::BlockDevice { .. })) => Type::Device,
            (NodeKind::Other, _) => Type::Pipe,
        }
    }

    fn lone(&self, path: &[u8]) -> Lone {
        Lone { path: readable(path), kind: self.type_of(), bytes: self.bytes() }
    }

    /// Where a link leads, which device it is.
    fn target(&self) -> Option<String> {
        match (&self.kind, &self.special) {
            (NodeKind::Symlink { target }, _) => Some(String::from_utf8_lossy(target).into_owned()),
            (_, Some(Kind::CharDevice { major, minor })) => Some(format!("char {major}:{minor}")),
            (_, Some(Kind::BlockDevice { major, minor })) => Some(format!("block {major}:{minor}")),
            _ => None,
        }
    }
}

fn differences(a: &Entry, b: &Entry) -> Vec<Difference> {
    if a == b {
        return Vec::new();
    }
    let (from, to) = (a.type_of(), b.type_of());
    if from != to {
        return vec![Difference::Type { from, to }];
    }
    let mut found = Vec::new();
    if a.content != b.content {
        found.push(Difference::Content);
    }
    if a.bytes() != b.bytes() {
        found.push(Difference::Size { from: a.bytes(), to: b.bytes() });
    }
    if let (Some(from), Some(to)) = (a.target(), b.target())
        && from != to
    {
        found.push(Difference::Target { from, to });
    }
    // A link's mode means nothing.
    if a.mode != b.mode && from != Type::Symlink {
        found.push(Difference::Mode { from: format!("{:04o}", a.mode), to: format!("{:04o}", b.mode) });
    }
    if (a.uid, a.gid) != (b.uid, b.gid) {
        let owner = |entry: &Entry| format!("{}:{}", entry.uid, entry.gid);
        found.push(Difference::Owner { from: owner(a), to: owner(b) });
    }
    if a.xattrs != b.xattrs {
        let (a, b): (BTreeSet<_>, BTreeSet<_>) = (a.xattrs.iter().collect(), b.xattrs.iter().collect());
        let names = a.symmetric_difference(&b).map(|(name, _)| String::from_utf8_lossy(name).into_owned());
        let names: BTreeSet<String> = names.collect();
        let names = names.into_iter().collect();
        found.push(Difference::Attributes { names });
    }
    // What no layer lists has no time.
    if a.time != b.time && !a.is_implied && !b.is_implied {
        found.push(Difference::Time { from: a.time.0, to: b.time.0 });
    }
    found
}

fn readable(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}

fn digest(content: &mut dyn Read) -> io::Result<Digest> {
    let mut hasher = Hasher::sha256();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match content.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&buffer[..n]),
        }
    }
}
