//! Results.
use jettison_oci::Digest;

use crate::{Error, SnapshotId, Store};

/// What a step gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepResult {
    /// Its file system.
    pub snapshot: SnapshotId,
}

/// A snapshot's own files as a layer blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRecord {
    /// Digest of the tar.
    pub diff_id: Digest,
    /// Digest of the blob.
    pub digest: Digest,
    /// Size of the blob, bytes.
    pub size: u64,
    /// Size of the tar, bytes.
    pub uncompressed_size: u64,
}

impl Store {
    /// The result of a step, if there is one and its snapshot is whole.
    pub fn result(&self, key: &str) -> Result<Option<StepResult>, Error> {
        let _ = key;
        todo!()
    }
    /// Remembers the result of a step; `description` is for people.
    pub fn record_result(&self, key: &str, result: &StepResult, description: &str) -> Result<(), Error> {
        let _ = (key, result, description);
        todo!()
    }
    /// The snapshot of an unpacked stack of layers.
    pub fn layer_snapshot(&self, chain_id: &Digest) -> Result<Option<SnapshotId>, Error> {
        let _ = chain_id;
        todo!()
    }
    /// Remembers that `snapshot` is what the layers named by `chain_id` unpack to.
    pub fn record_layer_snapshot(&self, chain_id: &Digest, snapshot: &SnapshotId) -> Result<(), Error> {
        let _ = (chain_id, snapshot);
        todo!()
    }
    /// The layer that was made of a snapshot with these parameters, if its blob is still there.
    pub fn encoded_layer(
        &self,
        snapshot: &SnapshotId,
        parameters: &str,
    ) -> Result<Option<LayerRecord>, Error> {
        let _ = (snapshot, parameters);
        todo!()
    }
    /// Remembers a layer that was made of a snapshot.
    pub fn record_encoded_layer(
        &self,
        snapshot: &SnapshotId,
        parameters: &str,
        layer: &LayerRecord,
    ) -> Result<(), Error> {
        let _ = (snapshot, parameters, layer);
        todo!()
    }
    /// A small result that was remembered under `key`.
    pub fn memo(&self, key: &str) -> Result<Option<String>, Error> {
        let _ = key;
        todo!()
    }
    /// Remembers a small result.
    pub fn record_memo(&self, key: &str, value: &str) -> Result<(), Error> {
        let _ = (key, value);
        todo!()
    }
}
