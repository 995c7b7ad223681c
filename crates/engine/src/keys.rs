//! The key of each step: what its result depends on, and nothing else.
//!
//! A key can be known before anything runs if all that the step reads is known: the chain of keys below it, files of
//! a context (hashed), an image (its manifest digest), or a stage whose result is in the cache (hashed once and
//! remembered for that snapshot). Otherwise it is known when the stage it reads from has run: then equal content
//! still means an equal key, so a rebuilt stage that gives the same binary does not rebuild what follows.
//!
//! The hash itself is pure and lives in `plan::key`.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::{Arc, MutexGuard, PoisonError};

use jettison_layer::select::{self, Mask, SelectError, Selection, Selector};
use jettison_oci::{Digest, Hasher};
use jettison_plan::key::{self, Key};
use jettison_plan::{Action, Chmod, Copy, Fs, MountKind, RemoteSource, Run, Source, StepId};
use jettison_store::SnapshotId;

use crate::build::Build;
use crate::context::Ignore;
use crate::demand::{self, Held};
use crate::error::Error;
use crate::filesystem;
use crate::ownership::{self, Accounts};
use crate::why::Listing;

/// What is known of a step so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) key: Option<Key>,
    pub(crate) result: Option<Known>,
}

/// The result of a step.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) snapshot: SnapshotId,
    pub(crate) held: Held,
}

/// What a COPY from a context selected when its key was made.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) digest: Digest,
    /// Its files, as long as the step may have to copy them.
    pub(crate) selection: Option<Selection>,
}

/// Most files that are remembered between the look at a context and the copy, over all steps; beyond that the context
/// is looked at again.
const CHOSEN_FILES_MAX: usize = 250_000;

impl Build<'_> {
    /// Key of a file system, if it is known yet.
    pub(crate) fn fs_key(&self, fs: Fs) -> Option<Key> {
        match fs {
            Fs::Scratch => Some(key::scratch_key()),
            Fs::Image(image) => {
                let image = &self.bases[image];
                Some(key::image_key(image.chain_id().as_ref(), &image.config.platform()))
            }
            Fs::Step(step) => self.progress(step).key,
        }
    }

    /// Snapshot of a file system, to look into: `None` if its files are not there (yet), `Some(None)` if it has none.
    pub(crate) fn fs_snapshot(&self, fs: Fs) -> Result<Option<Option<SnapshotId>>, Error> {
        match fs {
            Fs::Step(step) => {
                let known = self.progress(step).result.filter(|known| known.held == Held::Files);
                Ok(known.map(|known| Some(known.snapshot)))
            }
            _ => self.fs_identity(fs),
        }
    }

    /// The same, whether or not its files are there: which one it is.
    fn fs_identity(&self, fs: Fs) -> Result<Option<Option<SnapshotId>>, Error> {
        match fs {
            Fs::Scratch => Ok(Some(None)),
            Fs::Image(image) => self.images.unpacked(&self.bases[image]),
            Fs::Step(step) => Ok(self.progress(step).result.map(|known| Some(known.snapshot))),
        }
    }

    /// The key of `step`, or `None` if something that it reads has not been made yet.
    pub(crate) fn step_key(&self, step: StepId) -> Result<Option<Key>, Error> {
        self.key_of(step).map_err(|error| self.in_trigger(step, error))
    }

    fn key_of(&self, step: StepId) -> Result<Option<Key>, Error> {
        let Some(input) = self.fs_key(self.plan.steps[step].input) else { return Ok(None) };
        match &self.plan.steps[step].action {
            Action::Run(run) => self.run_key(&input, step, run),
            Action::Copy(copy) => self.copy_key(&input, step, copy),
            Action::Workdir(workdir) => {
                let names = match self.names_digest(step, &workdir.user)? {
                    Names::Unknown => return Ok(None),
                    Names::Known(digest) => digest,
                };
                Ok(Some(key::workdir_key(&input, workdir, names.as_ref()).dated(self.epoch)))
            }
        }
    }

    fn run_key(&self, input: &Key, step: StepId, run: &Run) -> Result<Option<Key>, Error> {
        let mut mounts = Vec::new();
        for mount in &run.mounts {
            let (source, path) = match &mount.kind {
                MountKind::Bind { from, path, .. } => (from.clone(), path),
                MountKind::Cache { from: Some(fs), path, .. } => (Source::Fs(*fs), path),
                _ => continue,
            };
            let whole = Copy::of_path(source, path, mount.span, "/");
            match self.mount_digest(&whole)? {
                Some(digest) => mounts.push(digest),
                None => return Ok(None),
            }
        }
        let hosts: Vec<String> = self.request.extra_hosts.iter().map(|(name, _)| name.clone()).collect();
        let key = key::run_key(input, run, &self.plan.steps[step].platform, &mounts, &hosts, self.epoch);
        Ok(Some(match self.limits_text() {
            None => key,
            Some(limits) => key.limited(&limits),
        }))
    }

    /// The limits of processes, if there are any.
    fn limits_text(&self) -> Option<String> {
        let (shm, limits) = (&self.request.shm_bytes, &self.request.limits);
        (shm.is_some() || !limits.is_empty()).then(|| format!("{shm:?} {limits:?}"))
    }

    fn copy_key(&self, input: &Key, step: StepId, copy: &Copy) -> Result<Option<Key>, Error> {
        if let Some(owner) = copy.chown.as_deref().filter(|o| copy.link && ownership::needs_accounts(o)) {
            return Err(ownership::not_with_link(owner, self.plan.steps[step].span));
        }
        let names =
            match copy.chown.as_deref().map_or(Ok(Names::Known(None)), |o| self.names_digest(step, o))? {
                Names::Unknown => return Ok(None),
                Names::Known(digest) => digest,
            };
        let Some(content) = self.copy_content(step, copy)? else { return Ok(None) };
        // Directories that the copy makes carry the epoch.
        Ok(Some(key::copy_key(input, copy, &content, names.as_ref()).dated(self.epoch)))
    }

    /// Digest of what `copy` selects, for its key. A context is looked at once: what was seen then is what is copied.
    fn copy_content(&self, step: StepId, copy: &Copy) -> Result<Option<Digest>, Error> {
        if let Some(chosen) = self.chosen().get(&step) {
            return Ok(Some(chosen.digest.clone()));
        }
        let Some(context) = self.contexts.get(&copy.from).filter(|_| copy.is_local()) else {
            let digest = self.content_digest(copy)?;
            if let (Source::Context | Source::NamedContext(_), Some(digest)) = (&copy.from, &digest) {
                self.chosen().insert(step, Chosen { digest: digest.clone(), selection: None });
            }
            return Ok(digest);
        };
        let mut selection = self.select(copy, &context.root, &context.ignore)?;
        let digest =
            self.hash_selected(copy, &mut selection, &context.root, mask(copy, context.has_owners))?;
        self.note_selected(copy, &selection);
        let files = |selection: &Selection| selection.sources.iter().map(|s| s.entries.len()).sum::<usize>();
        let mut all = self.chosen();
        let kept: usize = all.values().filter_map(|chosen| chosen.selection.as_ref()).map(files).sum();
        let selection = Some(selection).filter(|selection| kept + files(selection) <= CHOSEN_FILES_MAX);
        all.insert(step, Chosen { digest: digest.clone(), selection });
        Ok(Some(digest))
    }

    /// What is remembered of the looks at contexts.
    pub(crate) fn chosen(&self) -> MutexGuard<'_, BTreeMap<StepId, Chosen>> {
        self.chosen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Digest of what `copy` selects; `None` if the stage that it reads from has not been made yet.
    pub(crate) fn content_digest(&self, copy: &Copy) -> Result<Option<Digest>, Error> {
        if copy.remotes.is_empty() {
            return self.local_digest(copy, false);
        }
        let mut parts: Vec<Digest> = copy.remotes.iter().map(|source| self.remote_digest(source)).collect();
        if !copy.sources.is_empty() {
            let Some(local) = self.local_digest(copy, false)? else { return Ok(None) };
            parts.push(local);
        }
        Ok(Some(key::joined_digest(&parts)))
    }

    /// Digest of what a mount of `copy`'s sources shows: with the metadata of the directory itself.
    fn mount_digest(&self, copy: &Copy) -> Result<Option<Digest>, Error> {
        self.local_digest(copy, true)
    }

    fn remote_digest(&self, source: &RemoteSource) -> Digest {
        let resolved = self.remotes.known(&source.remote).expect("sources are resolved before keys are made");
        resolved.digest(&source.remote)
    }

    fn local_digest(&self, copy: &Copy, mount: bool) -> Result<Option<Digest>, Error> {
        match &copy.from {
            Source::Fs(Fs::Scratch) => Ok(Some(Digest::sha256(b"scratch"))),
            // The manifest names the content already; hashing files would mean fetching and unpacking them.
            Source::Fs(Fs::Image(image)) => {
                let chain_id = self.bases[*image].chain_id();
                Ok(Some(chain_id.unwrap_or_else(|| Digest::sha256(b"no layers"))))
            }
            Source::Fs(fs @ Fs::Step(_)) => {
                let Some(snapshot) = self.fs_identity(*fs)? else { return Ok(None) };
                let how = (selection_name(copy), self.epoch, mount);
                let memo = format!("content 2 {snapshot:?} {how:?}");
                if let Some(known) = self.images.store.memo(&memo)?.and_then(|text| text.parse().ok()) {
                    return Ok(Some(known));
                }
                let Some(snapshot) = self.fs_snapshot(*fs)? else { return Ok(None) };
                let root = filesystem::open(self.images.store, snapshot.as_ref())?;
                let mask = Mask { times_before_s: Some(self.epoch), mount, ..mask(copy, true) };
                let (digest, _) = self.hash_selection(copy, &root, &Ignore::none(), mask)?;
                self.images.store.record_memo(&memo, &digest.to_string())?;
                Ok(Some(digest))
            }
            Source::Context | Source::NamedContext(_) => match self.contexts.get(&copy.from) {
                Some(context) => {
                    // Its times are those of a checkout and become the epoch; a mount of it gets a new directory.
                    let mask = mask(copy, context.has_owners);
                    let (digest, selection) =
                        self.hash_selection(copy, &context.root, &context.ignore, mask)?;
                    self.note_selected(copy, &selection);
                    Ok(Some(digest))
                }
                None if copy.sources.is_empty() => Ok(Some(Digest::sha256(b"no context"))),
                None => Err(Self::no_context(copy)),
            },
        }
    }

    fn hash_selection(
        &self,
        copy: &Copy,
        root: &std::os::fd::OwnedFd,
        ignore: &Ignore,
        mask: Mask,
    ) -> Result<(Digest, Selection), Error> {
        let mut selection = self.select(copy, root, ignore)?;
        let digest = self.hash_selected(copy, &mut selection, root, mask)?;
        Ok((digest, selection))
    }

    /// Digest of what was selected; what nobody knew of its files is known then.
    pub(crate) fn hash_selected(
        &self,
        copy: &Copy,
        selection: &mut Selection,
        root: &std::os::fd::OwnedFd,
        mask: Mask,
    ) -> Result<Digest, Error> {
        select::content_digest(selection, root.as_fd(), self.images.store, mask, self.request.threads)
            .map_err(|error| self.selection_error(copy, SelectError::Layer(error)))
    }

    /// Writes down what `copy` was found to select of its context.
    fn note_selected(&self, copy: &Copy, selection: &Selection) {
        let listing = Arc::new(Listing::of(selection));
        self.listings.lock().unwrap_or_else(PoisonError::into_inner).insert(listing_name(copy), listing);
    }

    /// What was written down of what `copy` selects of its context.
    pub(crate) fn listing(&self, copy: &Copy) -> Option<Arc<Listing>> {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner).get(&listing_name(copy)).cloned()
    }

    /// What `copy` selects below `root`.
    pub(crate) fn select(
        &self,
        copy: &Copy,
        root: &std::os::fd::OwnedFd,
        ignore: &Ignore,
    ) -> Result<Selection, Error> {
        let patterns: Vec<Vec<u8>> = copy.sources.iter().map(|(path, _)| path.clone().into_bytes()).collect();
        let excludes = Self::excludes(copy)?;
        let selector = Selector {
            patterns: &patterns,
            excludes: &excludes,
            ignore,
            parents: copy.parents,
            files: self.images.store,
        };
        select::select(root.as_fd(), &selector).map_err(|error| self.selection_error(copy, error))
    }

    /// Digest of passwd and group of the step's input, if `owner` needs them.
    fn names_digest(&self, step: StepId, owner: &str) -> Result<Names, Error> {
        if !ownership::needs_accounts(owner) {
            return Ok(Names::Known(None));
        }
        let Some(accounts) = self.accounts(self.plan.steps[step].input)? else { return Ok(Names::Unknown) };
        let mut hasher = Hasher::sha256();
        for file in [&accounts.passwd, &accounts.group] {
            let bytes = file.as_deref().unwrap_or_default();
            hasher.update(&[u8::from(file.is_some())]);
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        Ok(Names::Known(Some(hasher.finish())))
    }

    /// passwd and group of a file system; `None` if it has not been made yet.
    pub(crate) fn accounts(&self, fs: Fs) -> Result<Option<Accounts>, Error> {
        let Some(snapshot) = self.fs_snapshot(fs)? else { return Ok(None) };
        match snapshot {
            None => Ok(Some(Accounts::default())),
            Some(id) => Ok(Some(filesystem::accounts(&filesystem::open(self.images.store, Some(&id))?))),
        }
    }

    /// Looks every step up in the cache, as far as keys are known.
    pub(crate) fn look_up_all(&self) -> Result<(), Error> {
        for step in 0..self.plan.steps.len() {
            if let Some(key) = self.step_key(step)? {
                let result = self.look_up(step, &key)?;
                if result.as_ref().is_some_and(|known| known.held >= Held::Layer) {
                    self.chosen().remove(&step);
                }
                self.set_progress(step, Progress { key: Some(key), result });
            }
        }
        Ok(())
    }

    /// The cached result of `step` under `key`, if it may be used.
    ///
    /// A result counts only on top of the very snapshot that is its input now. A step that was run again with the
    /// same key (`--no-cache`) may have made other files, and what was built on the old ones must not come back.
    pub(crate) fn look_up(&self, step: StepId, key: &Key) -> Result<Option<Known>, Error> {
        let no_cache = self.plan.steps[step].action.no_cache();
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        let known = match made {
            Some(made) => Some(made),
            None if no_cache => None,
            None => self.images.store.result(&key.to_string())?.map(|result| result.snapshot),
        };
        let Some(snapshot) = known else { return Ok(None) };
        let Some(lineage) = self.images.store.lineage(&snapshot)? else { return Ok(None) };
        match self.fs_identity(self.plan.steps[step].input)? {
            Some(input) if input != lineage.parent => return Ok(None),
            _ => {}
        }
        let held = if lineage.has_files {
            Held::Files
        } else if self.encoded_already(&snapshot)?.is_some() {
            Held::Layer
        } else {
            Held::Name
        };
        Ok(Some(Known { snapshot, held }))
    }

    /// What the cache has of each step.
    pub(crate) fn held(&self) -> Vec<Held> {
        let of = |step| self.progress(step).result.map_or(Held::Nothing, |known| known.held);
        (0..self.plan.steps.len()).map(of).collect()
    }

    /// Steps that the target stands on.
    pub(crate) fn target_chain(&self) -> (Fs, Vec<StepId>) {
        demand::chain(&self.plan, self.plan.target().result)
    }
}

enum Names {
    /// The input has not been made yet.
    Unknown,
    Known(Option<Digest>),
}

fn listing_name(copy: &Copy) -> String {
    format!("{:?} {}", copy.from, selection_name(copy))
}

/// What of the files does not count, as `copy` overwrites it.
pub(crate) fn mask(copy: &Copy, has_owners: bool) -> Mask {
    Mask {
        owner: !has_owners || copy.chown.is_some(),
        mode: matches!(copy.chmod, Some(Chmod::Octal(_))),
        ..Mask::default()
    }
}

/// Everything of `copy` that decides which content is hashed, as an unambiguous text.
fn selection_name(copy: &Copy) -> String {
    let sources: Vec<&String> = copy.sources.iter().map(|(path, _)| path).collect();
    let text = format!(
        "{:?}",
        (
            sources,
            &copy.excludes,
            copy.parents,
            copy.chown.is_some(),
            matches!(copy.chmod, Some(Chmod::Octal(_)))
        )
    );
    Digest::sha256(text.as_bytes()).to_string()
}
