//! From what people type to an image in the store: a name, a digest, or the beginning of a digest.

use jettison_engine::Error;
use jettison_oci::{Descriptor, Digest, Reference, media_type};
use jettison_store::Store;

use crate::failure::Failure;

/// Fewest hex digits that may stand for a digest.
const SHORT_DIGEST_MIN: usize = 6;

/// The image that `text` means.
pub(super) fn find(store: &Store, text: &str) -> Result<(Option<Reference>, Descriptor), Failure> {
    if let Ok(reference) = text.parse::<Reference>()
        && let Some(record) = store.image(&reference)?
    {
        return Ok((Some(reference), record.descriptor));
    }
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    if hex.len() >= SHORT_DIGEST_MIN && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        let mut found: Vec<Descriptor> = store
            .images()?
            .into_iter()
            .map(|r| r.descriptor)
            .filter(|d| d.digest.hex().starts_with(hex))
            .collect();
        found.dedup_by(|a, b| a.digest == b.digest);
        match &found[..] {
            [one] => return Ok((None, one.clone())),
            [] => {}
            _ => return Err(Failure::usage(format!("{text:?} is the beginning of several digests"))),
        }
        if let Ok(digest) = format!("sha256:{hex}").parse::<Digest>()
            && let Some(size) = store.has_blob(&digest)?
        {
            return Ok((None, untagged(store, digest, size)?));
        }
    }
    Err(Error::NoSuchImage(text.to_owned()).into())
}

/// A manifest or index that has no name: its own media type says what it is.
fn untagged(store: &Store, digest: Digest, size: u64) -> Result<Descriptor, Failure> {
    const DOCUMENT_BYTES_MAX: u64 = 16 << 20;
    let not_an_image = || Failure::from(Error::NoSuchImage(digest.to_string()));
    if size > DOCUMENT_BYTES_MAX {
        return Err(not_an_image());
    }
    let bytes = store.read_blob(&digest, DOCUMENT_BYTES_MAX)?;
    match jettison_oci::AnyManifest::parse("", &bytes) {
        Ok(jettison_oci::AnyManifest::Image(manifest)) => {
            let kind = manifest.media_type.unwrap_or_else(|| media_type::OCI_MANIFEST.to_owned());
            Ok(Descriptor::new(kind, digest, size))
        }
        Ok(jettison_oci::AnyManifest::Index(index)) => {
            let kind = index.media_type.unwrap_or_else(|| media_type::OCI_INDEX.to_owned());
            Ok(Descriptor::new(kind, digest, size))
        }
        Err(_) => Err(not_an_image()),
    }
}

/// A reference, or a usage error.
pub(super) fn reference(text: &str) -> Result<Reference, Failure> {
    text.parse().map_err(Failure::usage)
}
