//! An image from the store to a registry: blobs side by side, then the manifest, so that a tag never names an image
//! whose parts are missing.

use jettison_oci::{AnyManifest, Descriptor, Digest, Reference};
use jettison_registry::Pushed;

use crate::error::Error;
use crate::images::{DOCUMENT_BYTES_MAX, Images};
use crate::pull::{Progress, each_at_once};

/// Uploads at the same time (go-containerregistry's number).
const UPLOADS_MAX: usize = 4;

impl Images<'_> {
    /// Pushes the image or index `descriptor` as `reference`; returns the digest that the registry now has there.
    pub fn push(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        progress: Progress<'_>,
    ) -> Result<Digest, Error> {
        let bytes = self.store.read_blob(&descriptor.digest, DOCUMENT_BYTES_MAX)?;
        let parsed = AnyManifest::parse(&descriptor.media_type, &bytes)
            .map_err(|e| Error::invalid_image(reference.familiar(), e))?;
        match parsed {
            AnyManifest::Index(index) => {
                for child in &index.manifests {
                    if self.store.has_blob(&child.digest)?.is_some() {
                        self.push(&reference.with_digest(child.digest.clone()), child, progress)?;
                    }
                }
            }
            AnyManifest::Image(manifest) => {
                let mut blobs: Vec<&Descriptor> = Vec::new();
                for blob in manifest.layers.iter().chain([&manifest.config]) {
                    if !blobs.contains(&blob) {
                        blobs.push(blob);
                    }
                }
                each_at_once(&blobs, UPLOADS_MAX, |blob| self.push_blob(reference, blob, progress))?;
            }
        }
        let pushed = self.registry.push_manifest(reference, &descriptor.media_type, &bytes);
        pushed.map_err(|error| self.canceled_or(error))
    }

    fn push_blob(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        progress: Progress<'_>,
    ) -> Result<(), Error> {
        if self.cancel.is_raised() {
            return Err(Error::Canceled);
        }
        let mut origins = self.store.blob_origins(&blob.digest, reference.host())?;
        origins.retain(|repository| repository != reference.repository());
        let open = || self.store.open_blob(&blob.digest).map_err(std::io::Error::other);
        let report = |done: u64| progress(&blob.digest, done, blob.size);
        let pushed = self.registry.push_blob(reference, blob, &open, &origins, &report);
        match pushed.map_err(|error| self.canceled_or(error))? {
            Pushed::Exists | Pushed::Mounted | Pushed::Uploaded => {
                self.store.record_blob_origin(&blob.digest, reference.host(), reference.repository())?;
            }
        }
        Ok(())
    }

    fn canceled_or(&self, error: jettison_registry::Error) -> Error {
        if self.cancel.is_raised() { Error::Canceled } else { Error::Registry(error) }
    }
}
