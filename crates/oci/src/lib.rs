//! The image vocabulary: digest, descriptor, manifest, index, config, reference, platform.
//!
//! Everything here is a value: no I/O, no clock, no environment. All other crates speak in these words.
//! Start with [`Manifest`] and [`ImageConfig`]; [`Reference`] is how people name images.

mod config;
mod digest;
mod manifest;
pub mod media_type;
mod platform;
mod reference;
pub mod time;

pub use config::{ContainerConfig, Empty, Healthcheck, History, ImageConfig, RootFs, StringSet};
pub use digest::{Algorithm, Digest, DigestReader, DigestWriter, Hasher, InvalidDigest, to_hex};
pub use manifest::{AnyManifest, Descriptor, Index, InvalidManifest, Manifest};
pub use media_type::Compression;
pub use platform::{InvalidPlatform, Platform};
pub use reference::{DOCKER_HUB, InvalidReference, Reference};

/// JSON with sorted keys and no blanks: the one form in which we write documents, so that equal content has equal
/// digests.
pub fn to_canonical_json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let value =
        serde_json::to_value(value).expect("our documents have string keys and no failing serializers");
    serde_json::to_vec(&value).expect("a JSON value can always be written")
}
