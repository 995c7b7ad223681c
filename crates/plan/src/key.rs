//! Cache keys: what a step depends on, hashed. Equal keys mean that the result of one run stands for the other.
//!
//! Every part is length-framed, so that no two different inputs give the same bytes (`a-b` + `c` against `a` +
//! `b-c`), and every key opens with its own tag. What must never enter: the time, the path of the checkout, the uid
//! of the builder, the number of threads, values of secrets and of proxies, and places in the Dockerfile.

use std::fmt;
use std::str::FromStr;

use jettison_oci::{Digest, Hasher, Platform, to_hex};

use crate::graph::{Chmod, Copy, Mount, MountKind, Network, Run, Security, Source, Workdir};
use crate::remote::{Git, redacted};

/// The key of a file system.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; 32]);

/// Why a text is not a key.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid cache key {0:?}: expected 64 lower-case hex digits")]
pub struct InvalidKey(pub String);

impl Key {
    /// The raw hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The same key for results that carry times made from `epoch_seconds` (created directories).
    pub fn dated(&self, epoch_seconds: i64) -> Self {
        Frames::new("dated").key(self).integer(epoch_seconds).finish()
    }
}

impl Key {
    /// The same key for results of processes that ran under limits (`--ulimit`, `--shm-size`), as a text.
    pub fn limited(&self, limits: &str) -> Self {
        Frames::new("limited").key(self).text(limits).finish()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let invalid = || InvalidKey(text.chars().take(80).collect());
        let nibble = |b: u8| match b {
            b'0'..=b'9' => Ok(b - b'0'),
            b'a'..=b'f' => Ok(b - b'a' + 10),
            _ => Err(invalid()),
        };
        if text.len() != 64 {
            return Err(invalid());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

/// Changes whenever the meaning of a key changes, so that results of older versions are not taken for new ones.
const VERSION: &str = "jettison key 1";

/// A hash over framed parts.
struct Frames(Hasher);

impl Frames {
    fn new(tag: &str) -> Self {
        Self(Hasher::sha256()).text(VERSION).text(tag)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    fn integer(self, n: i64) -> Self {
        self.bytes(&n.to_le_bytes())
    }

    fn number(self, n: u64) -> Self {
        self.bytes(&n.to_le_bytes())
    }

    fn flag(self, flag: bool) -> Self {
        self.bytes(&[u8::from(flag)])
    }

    fn key(self, key: &Key) -> Self {
        self.bytes(&key.0)
    }

    fn digest(self, digest: &Digest) -> Self {
        self.text(&digest.to_string())
    }

    /// A list: its length, then its parts, so that lists next to each other stay apart.
    fn list<T>(self, items: &[T], mut part: impl FnMut(Self, &T) -> Self) -> Self {
        let framed = self.number(items.len() as u64);
        items.iter().fold(framed, &mut part)
    }

    fn option<T>(self, item: Option<T>, part: impl FnOnce(Self, T) -> Self) -> Self {
        match item {
            None => self.flag(false),
            Some(item) => part(self.flag(true), item),
        }
    }

    fn platform(self, platform: &Platform) -> Self {
        self.text(&platform.os)
            .text(&platform.architecture)
            .option(platform.variant.as_deref(), Self::text)
            .option(platform.os_version.as_deref(), Self::text)
            .list(&platform.os_features, |frames, feature| frames.text(feature))
    }

    fn into_digest(self) -> Digest {
        self.0.finish()
    }

    fn finish(self) -> Key {
        let digest = self.0.finish();
        digest.hex().parse().expect("a SHA-256 digest has 64 lower-case hex digits")
    }
}

/// The key of an image as it is, by the chain id of its topmost layer, which says all about its files; none if it has no
/// layer. What a step sees of the image's config (variables, user, folder, shell) stands in the key of the step, so that a
/// base that was made again with another label costs nothing.
pub fn image_key(chain_id: Option<&Digest>, platform: &Platform) -> Key {
    Frames::new("image 2").option(chain_id, Frames::digest).platform(platform).finish()
}

/// The key of nothing.
pub fn scratch_key() -> Key {
    Frames::new("scratch").finish()
}

/// The key of what RUN leaves. `mounts` are the content digests of bind mounts and of the base content of cache
/// mounts, in order; `extra_hosts` the names of `--add-host` (addresses may differ from day to day).
pub fn run_key(
    input: &Key,
    run: &Run,
    platform: &Platform,
    mounts: &[Digest],
    extra_hosts: &[String],
    epoch: i64,
) -> Key {
    // Every field is named, so that a new one cannot be forgotten here.
    let Run {
        argv,
        script,
        env,
        proxy_env: _,
        cwd,
        user,
        mounts: shapes,
        network,
        host_name,
        security,
        no_cache: _,
    } = run;
    let frames = Frames::new("run")
        .key(input)
        .list(argv, |frames, word| frames.text(word))
        .option(script.as_ref(), |frames, (name, text)| frames.text(name).text(text))
        .list(env, |frames, entry| frames.text(entry))
        .text(cwd)
        .text(user)
        .text(match network {
            Network::Default => "default",
            Network::None => "none",
            Network::Host => "host",
        })
        .text(match security {
            Security::Sandbox => "sandbox",
            Security::Insecure => "insecure",
        })
        .list(shapes, mount_shape)
        .list(mounts, Frames::digest)
        .platform(platform)
        .list(extra_hosts, |frames, host| frames.text(host))
        .integer(epoch);
    // Rarely given, so it stands behind the rest and keys without it stay what they were.
    match host_name {
        None => frames.finish(),
        Some(name) => frames.text("host name").text(name).finish(),
    }
}

/// What a mount looks like to the process. Content comes separately; what a cache holds never counts.
fn mount_shape(frames: Frames, mount: &Mount) -> Frames {
    let Mount { target, kind, span: _ } = mount;
    let frames = frames.text(target);
    match kind {
        MountKind::Bind { from, path, writable } => {
            source_kind(frames.text("bind"), from).text(path).flag(*writable)
        }
        // Sharing decides who waits for whom, not what a step makes.
        MountKind::Cache { id, from, path, sharing: _, mode, uid, gid, read_only } => {
            // The default id says no more than the target does.
            let id = Some(id).filter(|id| *id != target);
            frames
                .text("cache")
                .option(id, |frames, id| frames.text(id))
                .flag(from.is_some())
                .text(path)
                .number((*mode).into())
                .number((*uid).into())
                .number((*gid).into())
                .flag(*read_only)
        }
        MountKind::Tmpfs { size } => frames.text("tmpfs").option(*size, Frames::number),
        MountKind::Secret { id, file, env, required, mode, uid, gid } => frames
            .text("secret")
            .text(id)
            .flag(*file)
            .option(env.as_deref(), Frames::text)
            .flag(*required)
            .number((*mode).into())
            .number((*uid).into())
            .number((*gid).into()),
        MountKind::Ssh { id, required, mode, uid, gid } => frames
            .text("ssh")
            .text(id)
            .flag(*required)
            .number((*mode).into())
            .number((*uid).into())
            .number((*gid).into()),
    }
}

/// Files of a context lose their owner, those of a stage or image keep it. Which of them it is does not count.
fn source_kind(frames: Frames, source: &Source) -> Frames {
    match source {
        Source::Context | Source::NamedContext(_) => frames.text("context"),
        Source::Fs(_) => frames.text("file system"),
    }
}

/// What COPY does with the files, whatever they are.
fn copy_shape(frames: Frames, copy: &Copy) -> Frames {
    let Copy {
        from,
        sources,
        remotes,
        inline,
        destination,
        chown,
        chmod,
        excludes,
        parents,
        link,
        unpack,
        no_cache: _,
    } = copy;
    // Where they stand; what they hold is content.
    let remotes = Some(remotes).filter(|remotes| !remotes.is_empty());
    let frames = match remotes {
        None => frames,
        Some(remotes) => frames
            .text("remotes")
            .list(remotes, |frames, remote| frames.number(remote.locals_before as u64).flag(remote.unpack)),
    };
    source_kind(frames, from)
        .list(sources, |frames, (source, _)| frames.text(source))
        .list(inline, |frames, (name, text)| frames.text(name).text(text))
        .text(destination)
        .option(chown.as_deref(), Frames::text)
        .option(chmod.as_ref(), |frames, chmod| match chmod {
            Chmod::Octal(mode) => frames.text("octal").number((*mode).into()),
            Chmod::Symbolic(clauses) => frames.text("symbolic").text(clauses),
        })
        .list(excludes, |frames, pattern| frames.text(pattern))
        .flag(*parents)
        .flag(*link)
        .flag(*unpack)
}

/// The content of a file that was fetched: its bytes, the name that it gets, and its time.
pub fn file_digest(body: &Digest, name: &str, mtime_s: i64) -> Digest {
    Frames::new("remote file").digest(body).text(name).integer(mtime_s).into_digest()
}

/// The content of a commit that was fetched. Where it came from counts only if the copy says it (`.git/config`).
pub fn commit_digest(git: &Git, commit: &str) -> Digest {
    let Git { url, reference: _, subdir, checksum: _, keep_git_dir, submodules, commit_time: _ } = git;
    let keep = keep_git_dir.unwrap_or(false);
    Frames::new("remote commit")
        .text(commit)
        .option(subdir.as_deref(), Frames::text)
        .option(keep.then(|| redacted(url)), |frames, url| frames.text(&url))
        .flag(submodules.unwrap_or(true))
        .into_digest()
}

/// Several contents as one.
pub fn joined_digest(parts: &[Digest]) -> Digest {
    Frames::new("joined").list(parts, Frames::digest).into_digest()
}

/// The key of what COPY or ADD leaves, from the content that it selects. `names` is the digest of passwd and group
/// of the input, if `--chown` needs them.
pub fn copy_key(input: &Key, copy: &Copy, content: &Digest, names: Option<&Digest>) -> Key {
    copy_shape(Frames::new("copy"), copy).key(input).digest(content).option(names, Frames::digest).finish()
}

/// The same from the key of the file system that it reads, when its content is not at hand.
pub fn copy_source_key(input: &Key, copy: &Copy, source: &Key) -> Key {
    copy_shape(Frames::new("copy from"), copy).key(input).key(source).finish()
}

/// The key of what WORKDIR leaves. `names` as for [`copy_key`].
pub fn workdir_key(input: &Key, workdir: &Workdir, names: Option<&Digest>) -> Key {
    let Workdir { path, user, no_cache: _ } = workdir;
    Frames::new("workdir").key(input).text(path).text(user).option(names, Frames::digest).finish()
}
