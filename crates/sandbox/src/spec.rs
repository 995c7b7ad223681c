//! What to run and in which world: the input of [`crate::spawn`], as plain data.
//!
//! The spec crosses a process border (the child that sets up the namespaces reads it from a memfd), so everything in
//! it is a value. Next: `spawn.rs`, which sends it, and `child/`, which carries it out.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The host name that BuildKit gives to steps.
pub const DEFAULT_HOSTNAME: &str = "buildkitsandbox";

/// One process to run in isolation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// The file system that becomes `/`.
    pub root: Root,
    /// Program and arguments. A program without `/` is searched in the `PATH` of [`Spec::env`], inside the root.
    pub argv: Vec<String>,
    /// Environment as `NAME=value`, exactly what the process gets; only a missing `HOME` is filled in.
    pub env: Vec<String>,
    /// Absolute working directory. Made (0755, owned by the step's user) if it is missing, and stays.
    pub cwd: String,
    /// USER as written: empty, `name`, `uid`, `name:group`, … Resolved inside the root.
    pub user: String,
    /// Host name seen inside.
    pub hostname: String,
    /// Content of `/etc/hosts`, mounted read-only. Empty: no mount.
    #[serde(with = "text")]
    pub hosts: Vec<u8>,
    /// Content of `/etc/resolv.conf`, mounted read-only. Empty: no mount.
    #[serde(with = "text")]
    pub resolv_conf: Vec<u8>,
    /// Which network the process sees.
    pub network: Network,
    /// Sandboxed, or with all privileges that we have ourselves.
    pub security: Security,
    /// Further mounts. Mounted after the standard ones, shallow targets first; of two with the same target the last
    /// wins.
    pub mounts: Vec<Mount>,
    /// Size of `/dev/shm` in bytes; `None`: Docker's 64 MiB.
    pub shm_bytes: Option<u64>,
    /// Resource limits; what is not here is as in our own process.
    pub limits: Vec<Limit>,
    /// Where input and output go.
    pub stdio: Stdio,
    /// Switch off address space randomisation, for programs whose output depends on addresses. Programs that
    /// re-execute themselves to get the same (gdb, some GC'd runtimes) are unaffected. Off by default: it weakens a
    /// protection inside the step.
    pub fixed_layout: bool,
}

impl Spec {
    /// A spec with the defaults of a RUN: root user, `/`, host network, sandboxed, output through pipes.
    pub fn new(root: Root, argv: Vec<String>) -> Self {
        Self {
            root,
            argv,
            env: Vec::new(),
            cwd: "/".to_owned(),
            user: String::new(),
            hostname: DEFAULT_HOSTNAME.to_owned(),
            hosts: Vec::new(),
            resolv_conf: Vec::new(),
            network: Network::Host,
            security: Security::Sandbox,
            mounts: Vec::new(),
            shm_bytes: None,
            limits: Vec::new(),
            stdio: Stdio::Piped,
            fixed_layout: false,
        }
    }
}

/// The file system that becomes `/`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Root {
    /// An overlay; what the process writes is in `upper` afterwards.
    Overlay {
        /// Read-only directories, top first. May be empty (scratch).
        #[serde(with = "paths")]
        lowers: Vec<PathBuf>,
        /// Receives the changes.
        #[serde(with = "path")]
        upper: PathBuf,
        /// Overlayfs's own scratch directory; same file system as `upper`, used by nobody else.
        #[serde(with = "path")]
        work: PathBuf,
    },
    /// A directory, written in place.
    Directory(#[serde(with = "path")] PathBuf),
}

/// A resource limit: setrlimit(2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// As docker's `--ulimit` has it: `nofile`, `nproc`, `core`, …
    pub name: String,
    /// The soft limit; `None`: none.
    pub soft: Option<u64>,
    /// The hard limit; `None`: none.
    pub hard: Option<u64>,
}

/// Which network the process sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// That of our own process.
    #[default]
    Host,
    /// A loopback interface and nothing else.
    None,
}

/// How much the process may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Security {
    /// Docker's default capabilities and seccomp profile, masked `/proc` paths, read-only `/sys`.
    #[default]
    Sandbox,
    /// `RUN --security=insecure`: all capabilities, no seccomp, nothing masked, `/sys` writable.
    Insecure,
}

/// Where input and output go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stdio {
    /// Standard input is a pipe at its end; standard output and error are pipes whose readers are in
    /// [`crate::Child`].
    #[default]
    Piped,
    /// All three are those of our own process.
    Inherit,
}

/// A mount of the step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path inside the root. Missing mount points are made, and removed afterwards if still empty.
    pub target: String,
    /// What appears there.
    pub kind: MountKind,
}

/// What a mount shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum MountKind {
    /// A directory or file of ours (context, cache, socket, another stage).
    Bind {
        /// What.
        source: Source,
        /// Refuse writes.
        read_only: bool,
        /// Show the mounts below the source as well.
        recursive: bool,
    },
    /// A writable view of a directory or file whose writes are discarded: `--mount=type=bind,rw`.
    ScratchBind {
        /// What.
        source: Source,
        /// An empty directory on a disk, where the writes go until the caller removes it.
        #[serde(with = "path")]
        scratch: PathBuf,
    },
    /// Memory.
    Tmpfs {
        /// Limit in bytes; `None`: the kernel's default, half of the memory.
        size: Option<u64>,
    },
    /// A read-only file in memory: a secret, the script of a heredoc. Never on disk, not even as a stub.
    File {
        /// Its bytes.
        #[serde(with = "text")]
        content: Vec<u8>,
        /// Permission bits; without any x bit it is also mounted `noexec`.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
}

/// Where a bind mount comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Source {
    /// A path of the host, symbolic links followed. For paths that we chose ourselves.
    Path(#[serde(with = "path")] PathBuf),
    /// A path inside a directory or inside the overlay of several (top first), resolved as if that were `/`: links
    /// planted there cannot lead out. For paths that a Dockerfile or an earlier step chose.
    Inside {
        /// The layers, top first; one is simply a directory.
        #[serde(with = "paths")]
        layers: Vec<PathBuf>,
        /// The path inside; `/` or empty for everything.
        #[serde(with = "path")]
        path: PathBuf,
    },
}

/// Bytes as a JSON string whose characters are U+0000 to U+00FF: lossless for any byte, compact for text.
mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn encode(bytes: &[u8]) -> String {
        bytes.iter().map(|&byte| char::from(byte)).collect()
    }

    pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
        text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
    }

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        decode(&text).ok_or_else(|| D::Error::custom("a character above U+00FF in a byte string"))
    }
}

/// A path, which need not be UTF-8, in the same way.
mod path {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    use std::path::{Path, PathBuf};

    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        super::text::serialize(path.as_os_str().as_bytes(), serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Ok(OsString::from_vec(super::text::deserialize(deserializer)?).into())
    }
}

/// A list of such paths.
mod paths {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(paths.iter().map(|path| super::text::encode(path.as_os_str().as_bytes())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts
            .iter()
            .map(|text| {
                let bytes = super::text::decode(text);
                bytes.map(|b| OsString::from_vec(b).into()).ok_or_else(|| D::Error::custom("not a path"))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn a_spec_survives_json_even_with_paths_that_are_not_utf8() {
        let odd = PathBuf::from(OsStr::from_bytes(b"/srv/\xff\xfe/x"));
        let root = Root::Overlay { lowers: vec![odd.clone()], upper: "/u".into(), work: "/w".into() };
        let mut spec = Spec::new(root, vec!["true".into()]);
        spec.hosts = (0..=255).collect();
        spec.mounts.push(Mount {
            target: "/x".into(),
            kind: MountKind::ScratchBind {
                source: Source::Inside { layers: vec![odd.clone()], path: "a".into() },
                scratch: odd.clone(),
            },
        });
        let json = serde_json::to_vec(&spec).unwrap();
        let back: Spec = serde_json::from_slice(&json).unwrap();
        assert_eq!(format!("{spec:?}"), format!("{back:?}"));
    }
}
