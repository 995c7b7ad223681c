//! The mounts of a RUN: files of contexts, stages and images, caches, memory, secrets, ssh agents.
//!
//! Source: BuildKit `solver/llbsolver/mounts` and `run-and-layers` rules on what may be left behind (the sandbox
//! removes stubs).

use std::os::fd::AsFd;

use jettison_layer::copy;
use jettison_plan::{self as plan, Copy, Fs, MountKind, Run, Source};
use jettison_sandbox as sandbox;
use jettison_store::{CacheLock, ScratchDir};

use super::ssh_agent::AgentSocket;
use crate::build::Build;
use crate::error::Error;
use crate::filesystem;

/// Mounts for the sandbox, and what has to live as long as they do.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    pub(super) list: Vec<sandbox::Mount>,
    scratch: Vec<ScratchDir>,
    caches: Vec<CacheLock>,
    agents: Vec<AgentSocket>,
}

impl Build<'_> {
    pub(super) fn mounts(&self, run: &Run) -> Result<Mounts, Error> {
        let mut mounts = Mounts::default();
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
                let source = self.cache_source(mount, mounts)?;
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
            return Ok(sandbox::Source::Inside { layers: self.layers(*fs)?, path: path.into() });
        }
        let copy = Copy::plain(from.clone(), vec![(path.to_owned(), mount.span)], "/content");
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
        Ok(source)
    }

    fn cache_source(&self, mount: &plan::Mount, mounts: &mut Mounts) -> Result<sandbox::Source, Error> {
        let MountKind::Cache { id, from, path, sharing, mode, uid, gid, .. } = &mount.kind else {
            unreachable!("only called for cache mounts")
        };
        if from.is_some() {
            let feature = "RUN --mount=type=cache,from=".to_owned();
            return Err(Error::Unsupported { feature, span: Some(mount.span) });
        }
        let sharing = match sharing {
            plan::Sharing::Shared => jettison_store::Sharing::Shared,
            plan::Sharing::Private => jettison_store::Sharing::Private,
            plan::Sharing::Locked => jettison_store::Sharing::Locked,
        };
        let cache = self.images.store.cache_mount(id, sharing, *mode, *uid, *gid)?;
        let source =
            sandbox::Source::Inside { layers: vec![cache.path().to_owned()], path: path.as_str().into() };
        mounts.caches.push(cache);
        Ok(source)
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
