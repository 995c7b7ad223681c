//! OCI layouts in folders, whose documents say whatever a case wants them to say.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
pub const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// A layout in a folder.
pub struct Layout {
    pub folder: PathBuf,
}

/// An image's documents before they are written, to be changed by a case.
pub struct Documents {
    pub config: Value,
    pub manifest: Value,
    /// The entry in the index, without digest and size unless the case sets them.
    pub entry: Value,
}

pub fn digest(bytes: &[u8]) -> String {
    digest_of(&Sha256::digest(bytes))
}

/// A hash as it is written.
pub fn digest_of(hash: &[u8]) -> String {
    hash.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

impl Layout {
    pub fn new(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder.join("blobs/sha256"))?;
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Where the blob of a digest lies.
    pub fn path(&self, digest: &str) -> PathBuf {
        self.folder.join("blobs").join(digest.replace(':', "/"))
    }

    /// Stores bytes; returns their descriptor.
    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Result<Value> {
        fs::write(self.path(&digest(bytes)), bytes)?;
        Ok(descriptor(media_type, bytes))
    }

    pub fn index(&self, entries: &Value) -> Result<()> {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        Ok(fs::write(self.folder.join("index.json"), index.to_string())?)
    }

    /// An image of one layer; `plain` is its tar. `lie` changes the documents before they are written.
    pub fn image(
        &self,
        media_type: &str,
        blob: &[u8],
        plain: &[u8],
        lie: impl FnOnce(&mut Documents),
    ) -> Result<()> {
        let diff_id = digest(plain);
        self.image_with(self.blob(media_type, blob)?, &diff_id, lie)
    }

    /// The same, if the layer is there already.
    pub fn image_with(&self, layer: Value, diff_id: &str, lie: impl FnOnce(&mut Documents)) -> Result<()> {
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        });
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": null, "layers": [layer]});
        let entry = json!({"mediaType": MANIFEST, "platform": {"os": "linux", "architecture": "amd64"}});
        let mut documents = Documents { config, manifest, entry };
        // What stands here already was put there by the case, so it is left as it is.
        lie(&mut documents);
        let config = self.blob(CONFIG, documents.config.to_string().as_bytes())?;
        fill(&mut documents.manifest["config"], &config);
        let manifest = self.blob(MANIFEST, documents.manifest.to_string().as_bytes())?;
        fill(&mut documents.entry, &manifest);
        self.index(&json!([documents.entry]))
    }
}

/// Adds what `value` does not say itself.
fn fill(value: &mut Value, from: &Value) {
    if value.is_null() {
        *value = json!({});
    }
    if let (Some(value), Some(from)) = (value.as_object_mut(), from.as_object()) {
        for (key, content) in from {
            value.entry(key.clone()).or_insert_with(|| content.clone());
        }
    }
}
