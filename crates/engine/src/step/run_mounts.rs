//! The mounts of a RUN: files of contexts, stages and images, caches, memory, secrets, ssh agents.
//!
//! Source: BuildKit `solver/llbsolver/mounts` and `run-and-layers` rules on what may be left behind (the sandbox
//! removes stubs).

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use jettison_dockerfile::Span;
use jettison_layer::copy;
use jettison_oci::Digest;
use jettison_plan::{self as plan, Copy, Fs, MountKind, Run, Source};
use jettison_sandbox as sandbox;
use jettison_store::{CacheLock, CacheUse, ScratchDir};
use rustix::fs::{Gid, Mode, OFlags, Uid};

use super::FromContext;
use super::ssh_agent::AgentSocket;
use crate::build::Build;
use crate::context::Ignore;
use crate::error::Error;
use crate::filesystem;

/// Mode of a cache directory if none is asked for.
const CACHE_MODE: u32 = 0o755;

/// Mounts for the sandbox, and what has to live as long as they do.
#[derive(Default)]
pub(super) struct Mounts {
    pub(super) list: Vec<sandbox::Mount>,
    scratch: Vec<ScratchDir>,
    caches: BTreeMap<String, CacheLock>,
    agents: Vec<AgentSocket>,
    /// What was copied from contexts for them.
    pub(super) from_contexts: Vec<FromContext>,
}

impl Build<'_> {
    pub(super) fn mounts(&self, run: &Run) -> Result<Mounts, Error> {
        let mut mounts = Mounts { caches: self.caches(run)?, ..Mounts::default() };
        for mount in &run.mounts {
            if let Some(kind) = self.mount(mount, &mut mounts)? {
                mounts.list.push(sandbox::Mount { target: mount.target.clone(), kind });
            }
        }
        if let Some((name, text)) = &run.script {
            mounts.list.push(sandbox::Mount {
                target: format!("/dev/pipes/{name}"),
                kind: sandbox::MountKind::File {
                    content: text.clone().into_bytes(),
                    mode: 0o755,
                    uid: 0,
                    gid: 0,
                },
            });
        }
        Ok(mounts)
    }

    fn mount(&self, mount: &plan::Mount, mounts: &mut Mounts) -> Result<Option<sandbox::MountKind>, Error> {
        Ok(Some(match &mount.kind {
            MountKind::Bind { from, path, writable } => {
                let source = self.bind_source(from, path, mount, mounts)?;
                if *writable {
                    let scratch = self.images.store.scratch_dir()?;
                    let path = scratch.path().to_owned();
                    mounts.scratch.push(scratch);
                    sandbox::MountKind::ScratchBind { source, scratch: path }
                } else {
                    sandbox::MountKind::Bind { source, read_only: true, recursive: false }
                }
            }
            MountKind::Cache { read_only, .. } => {
                let source = self.cache_source(mount, &mounts.caches)?;
                sandbox::MountKind::Bind { source, read_only: *read_only, recursive: false }
            }
            MountKind::Tmpfs { size } => sandbox::MountKind::Tmpfs { size: *size },
            MountKind::Secret { id, file, mode, uid, gid, .. } => {
                match (self.request.secrets.get(id), file) {
                    (Some(secret), true) => sandbox::MountKind::File {
                        content: secret.0.clone(),
                        mode: *mode,
                        uid: *uid,
                        gid: *gid,
                    },
                    _ => return Ok(None),
                }
            }
            MountKind::Ssh { id, mode, uid, gid, .. } => {
                let Some(agent) = self.request.agents.get(id) else { return Ok(None) };
                let socket = AgentSocket::listen(self.images.store, agent, *mode, (*uid, *gid))?;
                let source = sandbox::Source::Path(socket.path().to_owned());
                mounts.agents.push(socket);
                sandbox::MountKind::Bind { source, read_only: true, recursive: false }
            }
        }))
    }

    /// Files of a context are copied first: the step must see what was hashed, owned by root, without what is
    /// ignored. Stages and images are shown as they are.
    fn bind_source(
        &self,
        from: &Source,
        path: &str,
        mount: &plan::Mount,
        mounts: &mut Mounts,
    ) -> Result<sandbox::Source, Error> {
        if let Source::Fs(fs) = from {
            let root = self.open_fs(*fs)?;
            filesystem::open_inside(root.as_fd(), path, OFlags::PATH)
                .map_err(|error| not_found(path, mount.span, &error))?;
            return Ok(sandbox::Source::Inside { layers: self.layers(*fs)?, path: path.into() });
        }
        let copy = Copy::of_path(from.clone(), path, mount.span, "/content");
        let context = self.contexts.get(from).ok_or_else(|| Self::no_context(&copy))?;
        let mut selection = self.select(&copy, &context.root, &context.ignore)?;
        self.date_context_files(&mut selection);
        let scratch = self.images.store.scratch_dir()?;
        let to = filesystem::open_directory(scratch.path())?;
        let options = copy::CopyOptions {
            destination: "/content".into(),
            force_owner: context.force_owner(),
            created_mtime_s: self.epoch,
            ..copy::CopyOptions::default()
        };
        copy::copy(&selection, context.root.as_fd(), to.as_fd(), &options)
            .map_err(|source| Error::Copy { span: mount.span, source })?;
        let source = sandbox::Source::Path(scratch.path().join("content"));
        mounts.scratch.push(scratch);
        mounts.from_contexts.push(FromContext { copy, stamp: selection.stamp });
        Ok(source)
    }

    /// All caches of a step, held until it ends.
    fn caches(&self, run: &Run) -> Result<BTreeMap<String, CacheLock>, Error> {
        let uses = run.mounts.iter().filter_map(|mount| self.cache_use(mount).transpose());
        let uses = uses.collect::<Result<Vec<_>, _>>()?;
        Ok(self.images.store.cache_mounts(&uses, &self.images.cancel.flag())?)
    }

    /// The cache that a mount asks for; `None` if it asks for something else.
    fn cache_use(&self, mount: &plan::Mount) -> Result<Option<CacheUse>, Error> {
        let MountKind::Cache { id, from, path, sharing, mode, uid, gid, .. } = &mount.kind else {
            return Ok(None);
        };
        let mut id = id.clone();
        if let Some(fs) = from {
            let snapshot = self.fs_snapshot(*fs)?.expect("what a step reads was made before it");
            id = format!("{id}\0{}", snapshot.as_ref().map(ToString::to_string).unwrap_or_default());
        }
        let sharing = match sharing {
            plan::Sharing::Shared => jettison_store::Sharing::Shared,
            plan::Sharing::Private => jettison_store::Sharing::Private,
            plan::Sharing::Locked => jettison_store::Sharing::Locked,
        };
        if is_owned(&mount.kind) {
            let id = format!("{id}\0{mode:o} {uid}:{gid}");
            return Ok(Some(CacheUse { id, sharing, mode: *mode, uid: *uid, gid: *gid }));
        }
        if from.is_some() {
            id = format!("{id}\0{path}");
        }
        Ok(Some(CacheUse { id, sharing, mode: CACHE_MODE, uid: 0, gid: 0 }))
    }

    fn cache_source(
        &self,
        mount: &plan::Mount,
        caches: &BTreeMap<String, CacheLock>,
    ) -> Result<sandbox::Source, Error> {
        let (MountKind::Cache { from, path, .. }, Some(wanted)) = (&mount.kind, self.cache_use(mount)?)
        else {
            unreachable!("only called for cache mounts")
        };
        let cache = &caches[&wanted.id];
        let inside = match from {
            Some(fs) => {
                if !is_owned(&mount.kind) {
                    self.fill_cache(cache, *fs, path, mount.span)?;
                }
                "/"
            }
            None => path.as_str(),
        };
        Ok(sandbox::Source::Inside { layers: vec![cache.path().to_owned()], path: inside.into() })
    }

    /// Has a cache begin with what `path` of a file system holds. Each base content has a cache of its own.
    fn fill_cache(&self, cache: &CacheLock, fs: Fs, path: &str, span: Span) -> Result<(), Error> {
        let store = self.images.store;
        let mark = cache.path().with_extension("filled");
        let name = cache.path().file_name().expect("a cache has a name").to_owned();
        // One step fills it; a step that was killed meanwhile has left no mark, and it is filled anew.
        let filling = format!("cache-{}", Digest::sha256(mark.as_os_str().as_bytes()).hex());
        let _guard = store.lock_step(&filling, &self.images.cancel.flag())?;
        if mark.exists() {
            return Ok(());
        }
        let root = self.open_fs(fs)?;
        let copy = Copy::of_path(Source::Fs(fs), path, span, "/");
        let selection = self.select(&copy, &root, &Ignore::none())?;
        let folder = cache.path().parent().expect("a cache lies in a folder");
        let to = filesystem::open_directory(folder)?;
        let options = copy::CopyOptions {
            destination: name.as_bytes().to_vec(),
            created_mtime_s: self.epoch,
            ..copy::CopyOptions::default()
        };
        copy::copy(&selection, root.as_fd(), to.as_fd(), &options)
            .map_err(|source| Error::Copy { span, source })?;
        if let Some(source) = selection.sources.first() {
            let directory = filesystem::open_directory(cache.path())?;
            // A single-id sandbox cannot give files away; then all ids are one anyway.
            let owner = (Uid::from_raw(source.root.uid), Gid::from_raw(source.root.gid));
            let _ = rustix::fs::fchown(&directory, Some(owner.0), Some(owner.1));
            let set = rustix::fs::fchmod(&directory, Mode::from_raw_mode(source.root.mode));
            set.map_err(|errno| Error::io("change the mode of", cache.path())(errno.into()))?;
        }
        std::fs::write(&mark, b"").map_err(Error::io("write", &mark))
    }

    fn open_fs(&self, fs: Fs) -> Result<OwnedFd, Error> {
        let snapshot = self.fs_snapshot(fs)?.expect("what a step reads was made before it");
        filesystem::open(self.images.store, snapshot.as_ref())
    }

    /// The directories of a file system, top first, at least one.
    fn layers(&self, fs: Fs) -> Result<Vec<std::path::PathBuf>, Error> {
        let snapshot = self.fs_snapshot(fs)?.expect("what a step reads was made before it");
        match snapshot {
            Some(id) => Ok(self.images.store.chain(&id)?),
            None => Ok(vec![self.images.store.empty_dir().to_owned()]),
        }
    }
}

/// Mode or owner mean a directory of their own beside the base content, and so a cache of its own. Source: BuildKit
/// `convert_runmount.go` (setCacheUIDGID).
fn is_owned(kind: &MountKind) -> bool {
    match kind {
        MountKind::Cache { path, mode, uid, gid, .. } => {
            path == "/" && (*mode, *uid, *gid) != (CACHE_MODE, 0, 0)
        }
        _ => false,
    }
}

fn not_found(path: &str, span: Span, error: &std::io::Error) -> Error {
    let message = match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => format!("{path:?}: not found"),
        _ => format!("{path:?}: {error}"),
    };
    Error::Step { message, span, hint: None }
}
