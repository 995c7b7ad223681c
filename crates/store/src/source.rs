//! Sources.
use jettison_oci::{Descriptor, Digest, Platform, Reference};

use crate::{Error, Store};

/// What a name meant in its registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRecord {
    /// The manifest of the platform that was asked for.
    pub manifest: Descriptor,
    /// When the registry said so, seconds since 1970.
    pub fetched_s: i64,
}

impl Store {
    /// What `reference` meant for `platform` when its registry was last asked.
    pub fn source(&self, reference: &Reference, platform: &Platform) -> Result<Option<SourceRecord>, Error> {
        let _ = (reference, platform);
        todo!()
    }
    /// Remembers what a registry said.
    pub fn record_source(
        &self,
        reference: &Reference,
        platform: &Platform,
        manifest: &Descriptor,
    ) -> Result<(), Error> {
        let _ = (reference, platform, manifest);
        todo!()
    }
    /// Remembers that a repository has a blob.
    pub fn record_blob_origin(&self, digest: &Digest, host: &str, repository: &str) -> Result<(), Error> {
        let _ = (digest, host, repository);
        todo!()
    }
    /// Repositories on `host` that had the blob, the latest first.
    pub fn blob_origins(&self, digest: &Digest, host: &str) -> Result<Vec<String>, Error> {
        let _ = (digest, host);
        todo!()
    }
}
