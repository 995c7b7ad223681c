//! Layers of an image into the store: fetched, verified, unpacked, in one pass each and side by side.
//!
//! A layer that has to be unpacked is inflated and written while it is still arriving: socket → blob file | inflate |
//! tree | diff id, each `|` a pipe between threads (`pipe.rs`). A layer that is only lent to the result (a push, an
//! archive) is fetched and not unpacked. Which of the two is needed is the caller's business. Formats: crate `layer`;
//! protocol: crate `registry`.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

use jettison_layer::{self as layer, ApplyOptions};
use jettison_oci::{Compression, Descriptor, Digest, Hasher, media_type};
use jettison_registry as registry;
use jettison_store::{self as store, Draft, SnapshotId};

use crate::error::Error;
use crate::images::{Image, Images, has_blob};
use crate::pipe::{pipe, pipe_seen_again};

/// Layers that are transferred at the same time; more makes small registries fail (see registry notes: four to six).
const TRANSFERS_MAX: usize = 4;

/// Told of each transfer: which blob, bytes so far, bytes in all.
pub type Progress<'a> = &'a (dyn Fn(&Digest, u64, u64) + Sync);

impl Images<'_> {
    /// Whether every layer blob of `image` is in the store.
    pub(crate) fn is_fetched(&self, image: &Image) -> Result<bool, Error> {
        let layers = &image.manifest.layers;
        let all = layers.iter().try_fold(true, |all, layer| Ok(has_blob(self.store, layer)? && all));
        all.inspect_err(|error| self.doubt(image, error))
    }

    /// Makes sure that every layer blob of `image` is in the store.
    pub fn fetch(&self, image: &Image, progress: Progress<'_>) -> Result<(), Error> {
        self.fetch_missing(image, progress).inspect_err(|error| self.doubt(image, error))
    }

    /// Makes sure that `image` is unpacked; returns the snapshot of its top layer, `None` for an image without layers.
    pub fn unpack(&self, image: &Image, progress: Progress<'_>) -> Result<Option<SnapshotId>, Error> {
        self.unpack_missing(image, progress).inspect_err(|error| self.doubt(image, error))
    }

    /// Forgets what the image's name was said to mean if there is no such image. Else it would be looked for again and
    /// again: its manifest came wrong, or its registry has another one by now.
    fn doubt(&self, image: &Image, error: &Error) {
        let is_no_image = match error {
            Error::InvalidImage { .. } => true,
            Error::Registry(error) => {
                matches!(error.kind(), registry::Kind::NotFound | registry::Kind::DigestMismatch)
            }
            _ => false,
        };
        if is_no_image {
            // The error at hand says more than that this failed.
            let _ = self.store.forget_source(&image.reference);
        }
    }

    fn fetch_missing(&self, image: &Image, progress: Progress<'_>) -> Result<(), Error> {
        let mut missing: Vec<&Descriptor> = Vec::new();
        for layer in &image.manifest.layers {
            if !has_blob(self.store, layer)? && !missing.contains(&layer) {
                missing.push(layer);
            }
        }
        each_at_once(&missing, TRANSFERS_MAX, |descriptor| {
            while self.fetch_blob(image, descriptor, &mut io::sink(), progress)? == Fetched::FalseStart {}
            Ok(())
        })
    }

    /// The snapshot of `image` if it is unpacked: `Some(None)` for an image without layers.
    pub fn unpacked(&self, image: &Image) -> Result<Option<Option<SnapshotId>>, Error> {
        match image.chain_ids().last() {
            None => Ok(Some(None)),
            Some(top) => Ok(self.store.layer_snapshot(top)?.map(Some)),
        }
    }

    fn unpack_missing(&self, image: &Image, progress: Progress<'_>) -> Result<Option<SnapshotId>, Error> {
        let chain = image.chain_ids();
        let Some(top) = chain.last() else { return Ok(None) };
        if let Some(snapshot) = self.store.layer_snapshot(top)? {
            return Ok(Some(snapshot));
        }
        // Two builds must not unpack the same image at the same time: the second waits and finds it done.
        let _guard = self.store.lock_step(&format!("unpack-{}", top.hex()), &self.cancel.flag())?;
        let mut parent = None;
        let mut first_missing = 0;
        for (index, chain_id) in chain.iter().enumerate() {
            match self.store.layer_snapshot(chain_id)? {
                Some(snapshot) => (parent, first_missing) = (Some(snapshot), index + 1),
                None => break,
            }
        }
        let wanted: Vec<usize> = (first_missing..chain.len()).collect();
        let unpacked: Vec<Mutex<Option<Unpacked>>> = wanted.iter().map(|_| Mutex::new(None)).collect();
        each_at_once(&wanted, TRANSFERS_MAX, |index| {
            let done = self.unpack_layer(image, *index, progress)?;
            *unpacked[index - first_missing].lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
            Ok(())
        })?;
        for (offset, cell) in unpacked.into_iter().enumerate() {
            let layer = cell.into_inner().unwrap_or_else(PoisonError::into_inner);
            let layer = layer.expect("every wanted layer was unpacked or an error was returned");
            let chain_id = &chain[first_missing + offset];
            // Another image with these layers may have been unpacked meanwhile. Then its snapshot counts: results of
            // steps stand on it already.
            let _guard = self.store.lock_step(&format!("stack-{}", chain_id.hex()), &self.cancel.flag())?;
            parent = Some(match self.store.layer_snapshot(chain_id)? {
                Some(theirs) => theirs,
                None => {
                    let snapshot = Self::stack(layer, parent.as_ref())?;
                    self.store.record_layer_snapshot(chain_id, &snapshot)?;
                    snapshot
                }
            });
        }
        Ok(parent)
    }

    fn unpack_layer(&self, image: &Image, index: usize, progress: Progress<'_>) -> Result<Unpacked, Error> {
        let descriptor = &image.manifest.layers[index];
        let diff_id = &image.config.rootfs.diff_ids[index];
        let compression = media_type::layer_compression(&descriptor.media_type).ok_or_else(|| {
            Error::invalid_image(
                image.reference.familiar(),
                format!(
                    "layer {} has the unknown media type {:?}",
                    descriptor.digest.short(),
                    descriptor.media_type
                ),
            )
        })?;
        let what = || format!("layer {} of {}", descriptor.digest.short(), image.reference.familiar());
        loop {
            let draft = self.store.begin_unpacking()?;
            if has_blob(self.store, descriptor)? {
                let file = self.store.open_blob(&descriptor.digest)?;
                return match apply(compression, file, diff_id, draft.fs(), &what) {
                    Ok(applied) => Ok(Unpacked { draft, applied }),
                    // A disk that forgets is told from an image that lies.
                    Err(error) => self
                        .store
                        .check_blob(&descriptor.digest)
                        .map_or_else(|e| Err(e.into()), |()| Err(error)),
                };
            }
            let (mut arriving, arrived) = pipe();
            let (fetched, applied) = std::thread::scope(|scope| {
                let unpacking = Builder::new()
                    .spawn_scoped(scope, || apply(compression, arrived, diff_id, draft.fs(), &what))
                    .map_err(Error::io("start", "a thread"))?;
                let fetched = self.fetch_blob(image, descriptor, &mut arriving, progress);
                // Closing the pipe ends the unpacking thread; an error there explains a broken pipe here.
                drop(arriving);
                let applied = unpacking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                Ok::<_, Error>((fetched?, applied))
            })?;
            match fetched {
                Fetched::Whole => return Ok(Unpacked { draft, applied: applied? }),
                Fetched::FalseStart => {}
            }
        }
    }

    /// Fetches one blob into the store, and copies what arrives to `also`. What an earlier try left is continued: nobody
    /// can tell whether it is right before all is there.
    fn fetch_blob(
        &self,
        image: &Image,
        descriptor: &Descriptor,
        also: &mut dyn Write,
        progress: Progress<'_>,
    ) -> Result<Fetched, Error> {
        if self.cancel.is_raised() {
            return Err(Error::Canceled);
        }
        let digest = &descriptor.digest;
        let mut partial = self.store.partial_blob(digest, &self.cancel.flag())?;
        let have = partial.replay(also).map_err(Error::io("read", "a partial download"))?;
        let received = {
            let mut tee = Tee { partial: &mut partial, also, also_open: true };
            let report = |done: u64| progress(digest, done, descriptor.size);
            self.registry.blob_unverified(&image.reference, descriptor, have, &mut tee, &report)
        };
        let wrong = match received {
            Ok(host) => match partial.commit() {
                Ok(()) => {
                    let (host, repository) = (image.reference.host(), image.reference.repository());
                    self.store.record_blob_origin(digest, host, repository)?;
                    return Ok(Fetched::Whole);
                }
                Err(store::Error::DigestMismatch { expected, found }) => {
                    registry::Error::DigestMismatch { host, expected, actual: found }
                }
                Err(error) => return Err(error.into()),
            },
            Err(_) if self.cancel.is_raised() => return Err(Error::Canceled),
            Err(error @ registry::Error::SizeMismatch { .. }) => {
                partial.discard()?;
                error
            }
            Err(error) => return Err(error.into()),
        };
        if have > 0 { Ok(Fetched::FalseStart) } else { Err(wrong.into()) }
    }

    /// Puts an unpacked layer on top of `parent`: directories that the layer only implied take their metadata from
    /// below, and hard links to files of lower layers become copies of them.
    fn stack(layer: Unpacked, parent: Option<&SnapshotId>) -> Result<SnapshotId, Error> {
        let Unpacked { mut draft, applied } = layer;
        draft.set_parent(parent)?;
        if !applied.implied_dirs.is_empty() || !applied.foreign_links.is_empty() {
            let lowers: Vec<PathBuf> = draft.lowers().to_vec();
            layer::complete(draft.fs(), &lowers, &applied).map_err(|source| Error::Layer {
                what: "a layer that refers to the layers below it".to_owned(),
                source,
            })?;
        }
        Ok(draft.commit()?)
    }
}

/// How fetching a blob ended, if not with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fetched {
    /// It is in the store.
    Whole,
    /// It began with bytes that an earlier try had left, and is not what it should be. They are gone, and whoever sent
    /// them is no concern of this pull: it is to be begun again.
    FalseStart,
}

#[derive(Debug)]
struct Unpacked {
    draft: Draft,
    applied: layer::Applied,
}

/// Inflates `blob` into `directory` and checks the diff id of what was in it. Inflating and hashing have a thread each:
/// of a layer with large files inflating takes longest, of one with small files writing them.
fn apply(
    compression: Compression,
    blob: impl Read + Send,
    diff_id: &Digest,
    directory: &Path,
    what: &dyn Fn() -> String,
) -> Result<layer::Applied, Error> {
    let root = std::fs::File::open(directory).map_err(Error::io("open", directory))?;
    let plain = layer::decompress(compression, blob).map_err(Error::io("read", what()))?;
    let (inflating, mut inflated, again) = pipe_seen_again();
    let (applied, found) = std::thread::scope(|scope| {
        let no_thread = |error| Error::io("start", "a thread")(error);
        Builder::new().spawn_scoped(scope, move || inflating.fill_from(plain)).map_err(no_thread)?;
        let hash = move || {
            let mut hasher = Hasher::sha256();
            again.for_each(|bytes| hasher.update(bytes));
            hasher.finish()
        };
        let hashing = Builder::new().spawn_scoped(scope, hash).map_err(no_thread)?;
        let applied = layer::apply(&mut inflated, root.as_fd(), &ApplyOptions::default())
            .map_err(|source| Error::Layer { what: what(), source })?;
        // The diff id covers everything behind the end mark too.
        io::copy(&mut inflated, &mut io::sink()).map_err(Error::io("read", what()))?;
        drop(inflated);
        let found = hashing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok::<_, Error>((applied, found))
    })?;
    if found != *diff_id {
        return Err(Error::invalid_image(
            what(),
            format!("its content is {found}, its config says {diff_id}"),
        ));
    }
    Ok(applied)
}

/// Writes to the partial download, and to a reader that may have given up.
struct Tee<'a, W> {
    partial: &'a mut W,
    also: &'a mut dyn Write,
    also_open: bool,
}

impl<W: Write> Write for Tee<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.partial.write_all(bytes)?;
        if self.also_open && self.also.write_all(bytes).is_err() {
            // The unpacking thread has failed and will say why; the download itself is still good.
            self.also_open = false;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.partial.flush()
    }
}

/// Calls `work` for every item, at most `at_once` at a time; returns the first error after all have ended.
pub(crate) fn each_at_once<T: Sync>(
    items: &[T],
    at_once: usize,
    work: impl Fn(&T) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<Error>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..at_once.min(items.len()) {
            let started = Builder::new().spawn_scoped(scope, || {
                while failed.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
                    let Some(item) = items.get(next.fetch_add(1, Ordering::SeqCst)) else { break };
                    if let Err(error) = work(item) {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    }
                }
            });
            if let Err(error) = started {
                let error = Error::io("start", "a thread")(error);
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
