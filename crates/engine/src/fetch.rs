//! Contexts that are no folders: Git repositories, files and archives from URLs, a tar on standard input, OCI layouts.
//!
//! What comes out is a folder, or an image in the store; the build reads it like any other. Source: BuildKit
//! `dockerui/context.go` and `dockerui/namedcontext.go`, buildx `build/opt.go`.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jettison_layer as layer;
use jettison_oci::{AnyManifest, Descriptor, Digest, media_type};
use jettison_plan::remote::{Git, Http, Remote};
use jettison_store::{ScratchDir, StepResult};
use rustix::fs::OFlags;

use crate::attest::Material;
use crate::error::Error;
use crate::images::Images;
use crate::load;
use crate::remote::{Remotes, Resolved};
use crate::request::Secret;
use crate::{Progress, filesystem, regular_file};

/// Bytes that decide whether a file is an archive.
const MAGIC_BYTES: usize = 512;
/// The name of a file from a URL in a context. Source: BuildKit `dockerui/context.go`.
pub const FILE_NAME: &str = "context";

/// A folder with files that were fetched; it lives as long as this value and its clones.
#[derive(Clone, Debug)]
pub struct Fetched {
    root: Arc<OwnedFd>,
    /// Owners in it mean something: they come from an archive that the user has made.
    pub(crate) has_owners: bool,
    /// The time of the whole, seconds since 1970: that of a commit, `Last-Modified` of a file, that of the newest file
    /// in an archive.
    pub(crate) time_s: Option<i64>,
    /// Where they come from, if that can be named to others.
    pub(crate) origin: Option<Material>,
    _scratch: Option<Arc<ScratchDir>>,
}

impl Fetched {
    /// The folder.
    pub(crate) fn root(&self) -> io::Result<OwnedFd> {
        self.root.try_clone()
    }

    /// What `SOURCE_DATE_EPOCH=context` means. Source: BuildKit `dockerfile2llb/epoch.go`.
    pub fn time_s(&self) -> Option<i64> {
        self.time_s
    }

    /// Reads a file of it, links followed inside of it; `None` if there is none. Refuses more than `max` bytes.
    ///
    /// # Errors
    /// It cannot be read, or is too large.
    pub fn read(&self, path: &str, max: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match filesystem::open_inside(self.root.as_fd(), path, regular_file::FLAGS) {
            Ok(file) => std::fs::File::from(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        regular_file::read_open(file, max).map(Some)
    }
}

/// What a URL as context turned out to be.
#[derive(Clone, Debug)]
pub enum UrlContext {
    /// An archive, unpacked.
    Files(Fetched),
    /// Anything else: the text is the Dockerfile, and the only file of the context.
    Dockerfile(Fetched),
}

/// Whether something that begins with `prefix` is an archive (512 bytes decide).
pub fn is_archive(prefix: &[u8]) -> bool {
    layer::detect(prefix).is_some()
}

/// Fetches contexts.
#[derive(Debug)]
pub struct Fetcher<'a> {
    remotes: Remotes<'a>,
}

impl<'a> Fetcher<'a> {
    /// Fetches into the store of `images`, with these secrets and ssh agents.
    pub fn new(
        images: Images<'a>,
        secrets: &'a BTreeMap<String, Secret>,
        agents: &'a BTreeMap<String, PathBuf>,
    ) -> Self {
        Self { remotes: Remotes::new(images, secrets, agents) }
    }

    /// The files of a commit.
    ///
    /// # Errors
    /// The repository cannot be had, or the folder is not in it.
    pub fn git(&self, git: &Git) -> Result<Fetched, Error> {
        let remote = Remote::Git(git.clone());
        let (resolved, _) = self.remotes.resolve(&remote, &|_, _| ())?;
        let Resolved::Commit(commit) = resolved else { unreachable!("a repository resolves to a commit") };
        let snapshot = self.remotes.checkout(git, &commit)?;
        let root = filesystem::open(self.remotes.images.store, Some(&snapshot))?;
        let root = match &git.subdir {
            None => root,
            Some(subdir) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                filesystem::open_inside(root.as_fd(), subdir, flags)
                    .map_err(|error| Error::io("open", subdir)(error).for_remote(&remote))?
            }
        };
        let origin = Some(Material::of_remote(&remote, &Resolved::Commit(commit)));
        // Everything in a checkout has the time of its commit.
        let time_s = rustix::fs::fstat(&root).ok().map(|stat| stat.st_mtime);
        Ok(Fetched { root: Arc::new(root), has_owners: false, time_s, origin, _scratch: None })
    }

    /// The file at a URL, in a folder.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn file(&self, url: &str, progress: Progress<'_>) -> Result<Fetched, Error> {
        let (body, modified, remote) = self.download(url, progress)?;
        self.as_folder(&body, modified, Material::of_file(&remote, &body))
    }

    /// The text at a URL, of at most `max` bytes.
    ///
    /// # Errors
    /// It cannot be had, or is larger.
    pub fn text(&self, url: &str, max: u64, progress: Progress<'_>) -> Result<Vec<u8>, Error> {
        let (body, ..) = self.download(url, progress)?;
        Ok(self.remotes.images.store.read_blob(&body, max)?)
    }

    /// What is at a URL, as a context.
    ///
    /// # Errors
    /// It cannot be had or unpacked.
    pub fn url(&self, url: &str, progress: Progress<'_>) -> Result<UrlContext, Error> {
        let (body, modified, remote) = self.download(url, progress)?;
        let store = self.remotes.images.store;
        let mut prefix = Vec::new();
        let path = store.blob_path(&body);
        let file = store.open_blob(&body)?;
        file.take(MAGIC_BYTES as u64).read_to_end(&mut prefix).map_err(Error::io("read", &path))?;
        let Some(kind) = layer::detect(&prefix) else {
            let origin = Material::of_file(&remote, &body);
            return Ok(UrlContext::Dockerfile(self.as_folder(&body, modified, origin)?));
        };
        let key = Digest::sha256(format!("context archive 1 {body}").as_bytes()).to_string();
        let _guard = store.lock_step(&key, &self.remotes.images.cancel.flag())?;
        let known = match store.result(&key)? {
            Some(result) => store.snapshot(&result.snapshot)?.map(|info| info.id),
            None => None,
        };
        let snapshot = if let Some(snapshot) = known {
            snapshot
        } else {
            let draft = store.begin_snapshot(None)?;
            let to = filesystem::open_directory(draft.fs())?;
            unpack(kind, store.open_blob(&body)?, &to).map_err(|error| error.for_remote(&remote))?;
            let snapshot = draft.commit()?;
            let result = StepResult { snapshot: snapshot.clone() };
            store.record_result(&key, &result, &format!("files of {}", remote.shown()))?;
            snapshot
        };
        let root = Arc::new(filesystem::open(store, Some(&snapshot))?);
        let origin = Some(Material::of_file(&remote, &body));
        let time_s = modified.or_else(|| newest(&root));
        Ok(UrlContext::Files(Fetched { root, has_owners: true, time_s, origin, _scratch: None }))
    }

    /// The files of an archive that is read once.
    ///
    /// # Errors
    /// It is no archive, or cannot be unpacked.
    pub fn archive(&self, prefix: &[u8], rest: impl Read + Send) -> Result<Fetched, Error> {
        let kind = layer::detect(prefix)
            .ok_or_else(|| Error::invalid_image("standard input", "it is not a tar archive"))?;
        let scratch = self.remotes.images.store.scratch_dir()?;
        let root = filesystem::open_directory(scratch.path())?;
        unpack(kind, io::Cursor::new(prefix.to_vec()).chain(rest), &root)?;
        Ok(Fetched {
            root: Arc::new(root),
            has_owners: true,
            time_s: None,
            origin: None,
            _scratch: Some(Arc::new(scratch)),
        })
    }

    /// An image of the OCI layout in `folder`, now in the store: the one with this tag or digest, or the only one.
    ///
    /// # Errors
    /// There is no layout, or no such image in it, or something of it is missing or damaged.
    pub fn layout(&self, folder: &Path, wanted: &Wanted) -> Result<Descriptor, Error> {
        let name = folder.display().to_string();
        let invalid = |reason: String| Error::invalid_image(&name, reason);
        let root = filesystem::open_directory(folder)?;
        let index = load::document(&root, "index.json")?
            .ok_or_else(|| invalid("it is no OCI layout: it has no index.json".to_owned()))?;
        let AnyManifest::Index(index) = AnyManifest::parse(media_type::OCI_INDEX, &index)
            .map_err(|e| invalid(format!("index.json: {e}")))?
        else {
            return Err(invalid("its index.json is no index".to_owned()));
        };
        let found = match wanted {
            Wanted::Digest(digest) => index.manifests.iter().find(|entry| entry.digest == *digest),
            Wanted::Tag(tag) => index.manifests.iter().find(|entry| is_called(entry, tag)),
            Wanted::Only => match &index.manifests[..] {
                [only] => Some(only),
                all => all.iter().find(|entry| is_called(entry, "latest")),
            },
        };
        let mut descriptor = found.cloned().ok_or_else(|| invalid(format!("it has no image {wanted}")))?;
        load::import_tree(self.remotes.images.store, &root, &descriptor, 0)?;
        descriptor.annotations.clear();
        Ok(descriptor)
    }

    /// The body of a file, and its `Last-Modified`.
    fn download(&self, url: &str, progress: Progress<'_>) -> Result<(Digest, Option<i64>, Remote), Error> {
        let remote = Remote::Http(Http::new(url));
        let id = Digest::sha256(url.as_bytes());
        let report = |done: u64, total: Option<u64>| progress(&id, done, total.unwrap_or(done));
        let (resolved, _) = self.remotes.resolve(&remote, &report)?;
        let Resolved::File { body, mtime_s, .. } = resolved else { unreachable!("a URL resolves to a file") };
        Ok((body, Some(mtime_s).filter(|time| *time != 0), remote))
    }

    /// A folder that holds one blob as [`FILE_NAME`].
    fn as_folder(&self, body: &Digest, time_s: Option<i64>, origin: Material) -> Result<Fetched, Error> {
        let store = self.remotes.images.store;
        let scratch = store.scratch_dir()?;
        let path = scratch.path().join(FILE_NAME);
        std::fs::copy(store.blob_path(body), &path).map_err(Error::io("write", &path))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).map_err(Error::io("change the mode of", &path))?;
        let root = filesystem::open_directory(scratch.path())?;
        Ok(Fetched {
            root: Arc::new(root),
            has_owners: false,
            time_s,
            origin: Some(origin),
            _scratch: Some(Arc::new(scratch)),
        })
    }
}

/// Which image of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The one with this digest.
    Digest(Digest),
    /// The one with this tag.
    Tag(String),
    /// The only one, else the one with the tag `latest`.
    Only,
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Digest(digest) => write!(f, "{digest}"),
            Self::Tag(tag) => write!(f, "with the tag {tag}"),
            Self::Only => f.write_str("with the tag latest, and not just one"),
        }
    }
}

fn is_called(entry: &Descriptor, tag: &str) -> bool {
    let annotation = |name: &str| entry.annotations.get(name).map(String::as_str);
    let reference = annotation("org.opencontainers.image.ref.name");
    let full = annotation("io.containerd.image.name");
    reference == Some(tag)
        || [reference, full].iter().flatten().any(|name| name.rsplit_once(':').is_some_and(|(_, t)| t == tag))
}

/// The time of the newest regular file.
fn newest(root: &OwnedFd) -> Option<i64> {
    let entries = layer::walk(root.as_fd()).ok()?;
    let files = entries.iter().filter(|entry| matches!(entry.kind, layer::Kind::File { .. }));
    files.map(|file| file.mtime_s).max()
}

fn unpack(kind: layer::Archive, reader: impl Read + Send, to: &OwnedFd) -> Result<(), Error> {
    let failed = |source| Error::Layer { what: "cannot unpack the context".to_owned(), source };
    let mut tar = layer::decompress_archive(kind, reader).map_err(|e| failed(layer::Error::Read(e)))?;
    layer::unpack_archive(&mut tar, to.as_fd(), None, &layer::Limits::default()).map(drop).map_err(failed)
}
