//! From the name of an image to its manifest and config: the store first, then the registry.
//!
//! Only manifests and configs are fetched here, a few kilobytes; layers come later and only if somebody needs them
//! (see `pull.rs`). What a tag meant is remembered in the store, so a rebuild asks no registry unless told to.

use jettison_oci::{AnyManifest, Descriptor, Digest, ImageConfig, Index, Manifest, Platform, Reference};
use jettison_registry::Client;
use jettison_store::{SnapshotId, Store};

use crate::cancel::Cancel;
use crate::candidate::Files;
use crate::error::Error;
use crate::filesystem;
use crate::source_policy::SourcePolicy;

/// Largest manifest, index or config that is read into memory, bytes (go-containerregistry's limit is 100 MiB for
/// manifests; no real one comes near 4).
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 16 << 20;

/// An image whose manifest and config are in the store. Its layers may not be.
#[derive(Clone, Debug)]
pub struct Image {
    /// The name that it was asked for by.
    pub reference: Reference,
    /// Descriptor of the manifest of one platform.
    pub descriptor: Descriptor,
    /// That manifest.
    pub manifest: Manifest,
    /// Its config.
    pub config: ImageConfig,
    /// The index that the name stood for, if it stood for one.
    pub index: Option<Descriptor>,
}

impl Image {
    /// Digests that name the stack of layers up to each layer, base first.
    /// Source: OCI image spec `config.md`, "Layer ChainID".
    pub fn chain_ids(&self) -> Vec<Digest> {
        let mut chain: Vec<Digest> = Vec::new();
        for diff_id in &self.config.rootfs.diff_ids {
            let next = match chain.last() {
                None => diff_id.clone(),
                Some(parent) => Digest::sha256(format!("{parent} {diff_id}").as_bytes()),
            };
            chain.push(next);
        }
        chain
    }

    /// The name of all its layers together; none if it has none.
    pub fn chain_id(&self) -> Option<Digest> {
        self.chain_ids().pop()
    }
}

/// Where images are looked up.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    /// The store.
    pub store: &'a Store,
    /// The registry client.
    pub registry: &'a Client,
    /// When to stop.
    pub cancel: &'a Cancel,
    /// What may be fetched, and what is fetched instead.
    pub policy: Option<&'a SourcePolicy>,
}

impl Images<'_> {
    /// The image that `reference` means for `platform`. With `pull` the registry is asked even if the store knows.
    pub fn resolve(&self, reference: &Reference, platform: &Platform, pull: bool) -> Result<Image, Error> {
        let permitted = self.policy.map(|policy| policy.image(reference)).transpose();
        let permitted = permitted.map_err(Error::Policy)?;
        let reference = permitted.as_ref().unwrap_or(reference);
        if !pull && let Some(image) = self.local(reference, platform)? {
            return Ok(image);
        }
        self.remote(reference, platform).map_err(|source| match self.platforms_here(reference) {
            Ok(found) if !found.is_empty() => Error::OtherPlatform {
                found: found.into(),
                wanted: Box::new(platform.clone()),
                source: Box::new(source),
            },
            _ => source,
        })
    }

    /// Of which platforms the store has an image under this name, that of `-t` or `load`.
    fn platforms_here(&self, reference: &Reference) -> Result<Vec<Platform>, Error> {
        let Some(record) = self.store.image(reference)? else { return Ok(Vec::new()) };
        let Some(bytes) = self.document(&record.descriptor.digest)? else { return Ok(Vec::new()) };
        let parsed = AnyManifest::parse(&record.descriptor.media_type, &bytes)
            .map_err(|e| Error::invalid_image(reference.familiar(), e))?;
        Ok(match parsed {
            AnyManifest::Image(manifest) => {
                let config = self.document(&manifest.config.digest)?;
                let config = config.map(|bytes| parse_config(reference, &manifest, &bytes)).transpose()?;
                config.iter().map(ImageConfig::platform).collect()
            }
            AnyManifest::Index(index) => {
                index.manifests.into_iter().filter_map(|descriptor| descriptor.platform).collect()
            }
        })
    }

    /// The image under `reference` in the store, if it is there and has that platform.
    pub fn local(&self, reference: &Reference, platform: &Platform) -> Result<Option<Image>, Error> {
        if let Some(record) = self.store.image(reference)?
            && let Some(image) = self.from_store(reference, &record.descriptor, platform)?
        {
            return Ok(Some(image));
        }
        if let Some(source) = self.store.source(reference, platform)? {
            return self.from_store(reference, &source.manifest, platform);
        }
        // A digest says which image, whatever tag it has here.
        if let Some(digest) = reference.digest() {
            let place = |name: &Reference| (name.host().to_owned(), name.repository().to_owned());
            for record in self.store.images()? {
                if record.descriptor.digest == *digest && place(&record.reference) == place(reference) {
                    return self.from_store(reference, &record.descriptor, platform);
                }
            }
        }
        Ok(None)
    }

    /// An image that was put into the store under this descriptor.
    pub fn known(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        platform: &Platform,
    ) -> Result<Image, Error> {
        self.from_store(reference, descriptor, platform)?.ok_or_else(|| {
            Error::invalid_image(reference.familiar(), format!("it has no image for {platform}"))
        })
    }

    /// Reads an image or index that lies in the store; `None` if a document is missing or the platform is another.
    pub fn from_store(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        platform: &Platform,
    ) -> Result<Option<Image>, Error> {
        let Some(bytes) = self.document(&descriptor.digest)? else { return Ok(None) };
        let parsed = AnyManifest::parse(&descriptor.media_type, &bytes)
            .map_err(|e| Error::invalid_image(reference.familiar(), e))?;
        let (descriptor, manifest, index) = match parsed {
            AnyManifest::Image(manifest) => (descriptor.clone(), manifest, None),
            AnyManifest::Index(index) => {
                let Some(chosen) = index.select(platform) else { return Ok(None) };
                let Some(bytes) = self.document(&chosen.digest)? else { return Ok(None) };
                (chosen.clone(), parse_image(reference, chosen, &bytes)?, Some(descriptor.clone()))
            }
        };
        let Some(config) = self.document(&manifest.config.digest)? else { return Ok(None) };
        let config = parse_config(reference, &manifest, &config)?;
        if !config.platform().satisfies(platform) {
            return Ok(None);
        }
        Ok(Some(Image { reference: reference.clone(), descriptor, manifest, config, index }))
    }

    /// The files of an image: merged if they are unpacked and can be mounted here, else the layers that hold them.
    pub fn files(&self, image: &Image) -> Result<Files, Error> {
        let snapshot = match self.unpacked(image)? {
            None => self.built(&image.descriptor.digest)?.map(Some),
            unpacked => unpacked,
        };
        if let Some(snapshot) = snapshot
            && let Ok(root) = filesystem::open(self.store, snapshot.as_ref())
        {
            return Ok(Files::Merged(root));
        }
        let diff_ids = image.config.rootfs.diff_ids.iter().cloned();
        Ok(Files::Layers(image.manifest.layers.iter().cloned().zip(diff_ids).collect()))
    }

    /// The snapshot that an image was made of when it was built here. Its files are those of the layers, but for times:
    /// good to look at, not to build on.
    pub fn built(&self, manifest: &Digest) -> Result<Option<SnapshotId>, Error> {
        let Some(name) = self.store.memo(&built_key(manifest))? else { return Ok(None) };
        let Some(id) = SnapshotId::named(&name) else { return Ok(None) };
        Ok(self.store.snapshot(&id)?.map(|info| info.id))
    }

    /// Remembers what an image is made of.
    pub(crate) fn record_built(&self, manifest: &Digest, snapshot: &SnapshotId) -> Result<(), Error> {
        if self.built(manifest)?.as_ref() != Some(snapshot) {
            self.store.record_memo(&built_key(manifest), &snapshot.to_string())?;
        }
        Ok(())
    }

    fn document(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        if self.store.has_blob(digest)?.is_none() {
            return Ok(None);
        }
        Ok(Some(self.store.read_blob(digest, DOCUMENT_BYTES_MAX)?))
    }

    fn remote(&self, reference: &Reference, platform: &Platform) -> Result<Image, Error> {
        let fetched = self.registry.manifest(reference)?;
        let parsed = AnyManifest::parse(&fetched.descriptor.media_type, &fetched.bytes)
            .map_err(|e| Error::invalid_image(reference.familiar(), e))?;
        self.store.put_blob(&fetched.bytes)?;
        let (descriptor, manifest, index) = match parsed {
            AnyManifest::Image(manifest) => (fetched.descriptor, manifest, None),
            AnyManifest::Index(index) => {
                let chosen = select(reference, &index, platform)?.clone();
                let at_digest = reference.with_digest(chosen.digest.clone());
                let bytes = self.registry.manifest(&at_digest)?.bytes;
                self.store.put_blob(&bytes)?;
                let manifest = parse_image(reference, &chosen, &bytes)?;
                (chosen, manifest, Some(fetched.descriptor))
            }
        };
        let config = self.remote_config(reference, &manifest)?;
        if !config.platform().satisfies(platform) && index.is_some() {
            return Err(Error::invalid_image(
                reference.familiar(),
                format!("its config says {} but its index says {platform}", config.platform()),
            ));
        }
        self.store.record_source(reference, platform, &descriptor)?;
        Ok(Image { reference: reference.clone(), descriptor, manifest, config, index })
    }

    fn remote_config(&self, reference: &Reference, manifest: &Manifest) -> Result<ImageConfig, Error> {
        let descriptor = &manifest.config;
        if let Some(bytes) = self.document(&descriptor.digest)? {
            return parse_config(reference, manifest, &bytes);
        }
        if descriptor.size > DOCUMENT_BYTES_MAX {
            return Err(Error::invalid_image(reference.familiar(), "its config is larger than 16 MiB"));
        }
        let mut bytes = Vec::new();
        self.registry.blob(reference, descriptor, &mut bytes, &|_| ())?;
        self.store.put_blob(&bytes)?;
        parse_config(reference, manifest, &bytes)
    }
}

fn built_key(manifest: &Digest) -> String {
    format!("built {manifest}")
}

fn select<'i>(reference: &Reference, index: &'i Index, platform: &Platform) -> Result<&'i Descriptor, Error> {
    index.select(platform).ok_or_else(|| {
        let mut available: Vec<String> =
            index.manifests.iter().filter_map(|d| d.platform.as_ref()).map(ToString::to_string).collect();
        available.retain(|p| p != "unknown/unknown");
        Error::invalid_image(
            reference.familiar(),
            format!("it has no {platform}; it has {}", available.join(", ")),
        )
    })
}

fn parse_image(reference: &Reference, descriptor: &Descriptor, bytes: &[u8]) -> Result<Manifest, Error> {
    match AnyManifest::parse(&descriptor.media_type, bytes) {
        Ok(AnyManifest::Image(manifest)) => Ok(manifest),
        Ok(AnyManifest::Index(_)) => {
            Err(Error::invalid_image(reference.familiar(), "its index points to another index"))
        }
        Err(error) => Err(Error::invalid_image(reference.familiar(), error)),
    }
}

fn parse_config(reference: &Reference, manifest: &Manifest, bytes: &[u8]) -> Result<ImageConfig, Error> {
    let config: ImageConfig = serde_json::from_slice(bytes)
        .map_err(|e| Error::invalid_image(reference.familiar(), format!("its config cannot be read: {e}")))?;
    if config.rootfs.diff_ids.len() != manifest.layers.len() {
        return Err(Error::invalid_image(
            reference.familiar(),
            format!(
                "its manifest has {} layers but its config has {}",
                manifest.layers.len(),
                config.rootfs.diff_ids.len()
            ),
        ));
    }
    Ok(config)
}
/// Whether the store has a blob; an error if its size is another one than its descriptor says.
pub(crate) fn has_blob(store: &Store, descriptor: &Descriptor) -> Result<bool, Error> {
    match store.has_blob(&descriptor.digest)? {
        None => Ok(false),
        Some(size) => check_size(descriptor, size).map(|()| true),
    }
}

/// A descriptor that lies about the size would be passed on with every image that is made of it.
pub(crate) fn check_size(descriptor: &Descriptor, size: u64) -> Result<(), Error> {
    if size == descriptor.size {
        return Ok(());
    }
    let says = descriptor.size;
    Err(Error::invalid_image(&descriptor.digest, format!("it has {size} bytes, its descriptor says {says}")))
}
