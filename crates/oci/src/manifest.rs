//! Manifests and indexes: which blobs make an image, which images make a multi-platform image.
//!
//! Source: OCI image spec `manifest.md`, `image-index.md`, `descriptor.md`. Unknown keys survive a round trip.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Digest, Platform};

/// What a blob is: media type, digest, size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the content.
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content, bytes.
    pub size: u64,
    /// Platform of the image behind a manifest descriptor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Keys that this version does not know (`urls`, `data`, `artifactType`, …).
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

impl Descriptor {
    /// A descriptor without platform and annotations.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            platform: None,
            annotations: BTreeMap::new(),
            extra: BTreeMap::new(),
        }
    }
}

/// An image manifest: one config, an ordered list of layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Media type; optional in old OCI manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The image config.
    pub config: Descriptor,
    /// Layers, base first. `null` is read as empty (BuildKit writes it for images without layers).
    #[serde(default, deserialize_with = "null_is_empty")]
    pub layers: Vec<Descriptor>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Keys that this version does not know (`subject`, `artifactType`, …).
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// An index: several manifests, usually one per platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// Media type; optional in old OCI indexes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The manifests.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub manifests: Vec<Descriptor>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Keys that this version does not know.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

impl Manifest {
    /// Bytes of layers and config as they are transferred. They are what the document says, which may be any numbers.
    pub fn packed_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).fold(self.config.size, u64::saturating_add)
    }
}

impl Index {
    /// The manifest for `wanted`: an exact variant first, then the first that satisfies it.
    /// Attestations (platform `unknown/unknown`) never match.
    pub fn select(&self, wanted: &Platform) -> Option<&Descriptor> {
        let candidates =
            || self.manifests.iter().filter(|d| d.platform.as_ref().is_some_and(|p| p.satisfies(wanted)));
        let exact = |d: &&Descriptor| d.platform.as_ref().is_some_and(|p| p.variant == wanted.variant);
        candidates().find(exact).or_else(|| candidates().next())
    }
}

/// Either kind of manifest, told apart by media type, then by content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyManifest {
    /// One image.
    Image(Manifest),
    /// Several images.
    Index(Index),
}

/// Why bytes are not a manifest that can be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidManifest {
    /// Not JSON, or not of the right shape.
    #[error("invalid manifest: {0}")]
    Json(#[from] serde_json::Error),
    /// A family that is not supported, such as Docker schema 1.
    #[error("unsupported manifest type {0:?}")]
    Unsupported(String),
    /// `manifests` and `layers` in one document (CVE-2021-41190: ambiguous documents must be refused).
    #[error("ambiguous manifest: it has the keys of an image and of an index")]
    Ambiguous,
}

impl AnyManifest {
    /// Reads `bytes` that were served as `content_type` (may be empty).
    pub fn parse(content_type: &str, bytes: &[u8]) -> Result<Self, InvalidManifest> {
        let value: Value = serde_json::from_slice(bytes)?;
        let has = |key: &str| value.get(key).is_some();
        if has("manifests") && (has("layers") || has("config")) {
            return Err(InvalidManifest::Ambiguous);
        }
        let declared = value.get("mediaType").and_then(Value::as_str).unwrap_or(content_type);
        let is_index = match declared {
            t if crate::media_type::is_index(t) => true,
            t if crate::media_type::is_manifest(t) => false,
            "" | "application/json" | "text/plain" | "application/octet-stream" => has("manifests"),
            other => return Err(InvalidManifest::Unsupported(other.to_owned())),
        };
        if value.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
            return Err(InvalidManifest::Unsupported(format!("{declared} without schemaVersion 2")));
        }
        Ok(if is_index {
            Self::Index(serde_json::from_value(value)?)
        } else {
            Self::Image(serde_json::from_value(value)?)
        })
    }
}

fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_layers_are_no_layers() {
        let text = r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},"layers":null}"#;
        let AnyManifest::Image(manifest) = AnyManifest::parse("", text.as_bytes()).unwrap() else { panic!() };
        assert!(manifest.layers.is_empty());
    }

    #[test]
    fn refuses_a_document_that_is_both() {
        let text = r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#;
        assert!(matches!(AnyManifest::parse("", text.as_bytes()), Err(InvalidManifest::Ambiguous)));
    }

    #[test]
    fn unknown_keys_survive() {
        let text = r#"{"schemaVersion":2,"manifests":[],"subject":{"x":1}}"#;
        let AnyManifest::Index(index) = AnyManifest::parse("", text.as_bytes()).unwrap() else { panic!() };
        assert_eq!(
            crate::to_canonical_json(&index),
            br#"{"manifests":[],"schemaVersion":2,"subject":{"x":1}}"#
        );
    }
}
