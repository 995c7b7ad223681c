//! Layers of the result as blobs in the store: that of one snapshot, several snapshots as one (`--squash`), or one of the
//! base in another compression (`force-compression`).
//!
//! A layer is remembered by its snapshot and everything that decides its bytes, so the next build takes it as it is.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use jettison_layer::{self as layer, Contents, EncodeOptions, Encoded, Entry};
use jettison_oci::{Descriptor, media_type};
use jettison_store::{BlobWriter, LayerRecord, SnapshotId};

use crate::assemble::Layer;
use crate::build::Build;
use crate::error::Error;
use crate::filesystem;

/// Version of the layer encoder; part of the name under which an encoded layer is remembered.
const ENCODER: u32 = layer::ENCODER_VERSION;
/// Version of what a layer has in it ([`layer::diff`]); part of that name too.
const CONTENTS: u32 = 2;

impl Build<'_> {
    /// The name of the form in which this build writes layers.
    pub(crate) fn layer_parameters(&self) -> String {
        let compression = self.compression();
        let (format, level) = (compression.format, compression.level);
        format!("encoder={ENCODER} contents={CONTENTS} {format:?} level={level:?} epoch={}", self.epoch)
    }

    /// The layer of `snapshot` in that form, if it is there.
    pub(crate) fn encoded_already(&self, snapshot: &SnapshotId) -> Result<Option<LayerRecord>, Error> {
        Ok(self.images.store.encoded_layer(snapshot, &self.layer_parameters())?)
    }

    /// The layer of `snapshot` as a blob in the store, made now if it is not there yet.
    pub(crate) fn encoded(&self, snapshot: &SnapshotId, threads: usize) -> Result<LayerRecord, Error> {
        let store = self.images.store;
        let nothing = SnapshotId::nothing();
        let unchanged = self.is_unchanged(snapshot)?;
        let snapshot = if unchanged { &nothing } else { snapshot };
        self.remembered(snapshot, &self.layer_parameters(), || {
            let chain = if unchanged {
                vec![filesystem::open_directory(store.empty_dir())?]
            } else {
                filesystem::open_chain(store, snapshot)?
            };
            let (upper, below) =
                chain.split_first().expect("what changed something is part of its own chain");
            let entries =
                layer::diff(upper.as_fd(), &borrowed(below), Some(self.epoch)).map_err(Self::no_layer)?;
            self.write_layer(&entries, &upper.as_fd(), threads)
        })
    }

    fn is_unchanged(&self, snapshot: &SnapshotId) -> Result<bool, Error> {
        Ok(self.images.store.lineage(snapshot)?.is_some_and(|lineage| lineage.unchanged))
    }

    /// What `snapshots` changed together, as one layer; `top` is the last of them.
    pub(crate) fn squashed(&self, top: &SnapshotId, snapshots: &[SnapshotId]) -> Result<LayerRecord, Error> {
        // What changed nothing is in no chain.
        let mut count = 0;
        for snapshot in snapshots {
            count += usize::from(!self.is_unchanged(snapshot)?);
        }
        self.remembered(top, &format!("{} squash={count}", self.layer_parameters()), || {
            let chain = filesystem::open_chain(self.images.store, top)?;
            let all = borrowed(&chain);
            let mut layers = Vec::new();
            for position in 0..count {
                let (upper, below) = (all[position], &all[position + 1..]);
                layers.push(layer::diff(upper, below, Some(self.epoch)).map_err(Self::no_layer)?);
            }
            let merged = filesystem::open(self.images.store, Some(top))?;
            let entries = layer::squash(merged.as_fd(), &all[count..], &layers, Some(self.epoch));
            self.write_layer(&entries.map_err(Self::no_layer)?, &merged.as_fd(), self.request.threads)
        })
    }

    fn remembered(
        &self,
        snapshot: &SnapshotId,
        parameters: &str,
        make: impl FnOnce() -> Result<LayerRecord, Error>,
    ) -> Result<LayerRecord, Error> {
        let store = self.images.store;
        if let Some(record) = store.encoded_layer(snapshot, parameters)? {
            return Ok(record);
        }
        let _guard = store.lock_step(&format!("encode-{snapshot}"), &self.images.cancel.flag())?;
        if let Some(record) = store.encoded_layer(snapshot, parameters)? {
            return Ok(record);
        }
        let record = make()?;
        store.record_encoded_layer(snapshot, parameters, &record)?;
        Ok(record)
    }

    /// Writes a layer into the store.
    pub(crate) fn write_layer(
        &self,
        entries: &[Entry],
        contents: &dyn Contents,
        threads: usize,
    ) -> Result<LayerRecord, Error> {
        let (store, compression) = (self.images.store, self.compression());
        let options = EncodeOptions {
            compression: compression.format,
            level: compression.level,
            clamp_mtime_s: Some(self.epoch),
            threads,
        };
        let mut blob = store.blob_writer_hashed_elsewhere()?;
        let encoded = layer::encode(entries, contents, &options, &store.chunks(), &mut blob);
        let encoded = encoded.map_err(Self::no_layer)?;
        self.committed(blob, encoded)
    }

    /// Turns a layer of the base into one of this build's compression (`force-compression`), if it is another one.
    pub(crate) fn recompress(&self, layer: &mut Layer) -> Result<(), Error> {
        let (store, compression) = (self.images.store, self.compression());
        let old = layer.descriptor.clone();
        let now = match media_type::layer_compression(&old.media_type) {
            Some(now) if now != compression.format => now,
            _ => return Ok(()),
        };
        // It is remembered by its blob: there need not be a snapshot of it.
        let parameters = format!("of {} {}", old.digest, self.layer_parameters());
        let record = self.remembered(&SnapshotId::nothing(), &parameters, || {
            let blob = store.open_blob(&old.digest)?;
            let plain = layer::decompress(now, blob).map_err(Error::io("read", old.digest.to_string()))?;
            let options = EncodeOptions {
                compression: compression.format,
                level: compression.level,
                clamp_mtime_s: None,
                threads: 1,
            };
            let mut blob = store.blob_writer_hashed_elsewhere()?;
            let encoded = layer::recompress(plain, &options, &store.chunks(), &mut blob);
            let encoded = encoded.map_err(Self::no_layer)?;
            if encoded.diff_id != layer.diff_id {
                let source = layer::Error::Damaged(format!("{} is not the layer of its image", old.digest));
                return Err(Self::no_layer(source));
            }
            self.committed(blob, encoded)
        })?;
        layer.descriptor = Descriptor::new(compression.format.oci_layer(), record.digest, record.size);
        Ok(())
    }

    fn committed(&self, blob: BlobWriter, encoded: Encoded) -> Result<LayerRecord, Error> {
        blob.commit_hashed(&encoded.digest)?;
        self.images.store.record_chunks(&encoded.digest, &encoded.chunks)?;
        Ok(LayerRecord {
            diff_id: encoded.diff_id,
            digest: encoded.digest,
            size: encoded.size,
            uncompressed_size: encoded.uncompressed_size,
        })
    }

    pub(crate) fn no_layer(source: layer::Error) -> Error {
        Error::Layer { what: "cannot write a layer".to_owned(), source }
    }
}

fn borrowed(directories: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    directories.iter().map(AsFd::as_fd).collect()
}
