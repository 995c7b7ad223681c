//! Images from archives into the store: what `docker save`, skopeo, podman or we have written.
//!
//! The archive is hostile input: it is unpacked into a scratch directory by the same code that unpacks layers' worst
//! friends, and every blob is verified against its digest on the way into the store.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use jettison_layer as layer;
use jettison_oci::{
    AnyManifest, Compression, Descriptor, Digest, DigestReader, ImageConfig, Index, Manifest, Reference,
    media_type, to_canonical_json,
};
use jettison_store::Store;
use rustix::fs::OFlags;
use serde::Deserialize;

use crate::error::Error;
use crate::filesystem;
use crate::images::{self, DOCUMENT_BYTES_MAX};

/// Bytes that decide what an archive is compressed with.
const MAGIC_BYTES: usize = 512;

/// An image that was loaded.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Its manifest or index.
    pub descriptor: Descriptor,
    /// The names that it got; empty if the archive gave none.
    pub names: Vec<Reference>,
}

/// One element of Docker's `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// Reads an OCI or Docker archive (plain or compressed tar).
pub fn load(store: &Store, archive: impl Read + Send) -> Result<Vec<Loaded>, Error> {
    let scratch = store.scratch_dir()?;
    let root = filesystem::open_directory(scratch.path())?;
    let mut archive = io::BufReader::with_capacity(1 << 20, archive);
    let prefix = peek(&mut archive).map_err(Error::io("read", "the archive"))?;
    let kind =
        layer::detect(&prefix).ok_or_else(|| Error::invalid_image("archive", "it is not a tar archive"))?;
    let mut tar = layer::decompress_archive(kind, archive).map_err(Error::io("read", "the archive"))?;
    layer::unpack_archive(&mut tar, root.as_fd(), None, &layer::Limits::default())
        .map_err(|source| Error::Layer { what: "the archive".to_owned(), source })?;
    load_folder(store, &root)
}

/// Reads an OCI layout, or an unpacked Docker archive.
pub fn load_folder(store: &Store, root: &OwnedFd) -> Result<Vec<Loaded>, Error> {
    if let Some(index) = document(root, "index.json")? {
        return load_layout(store, root, &index);
    }
    match document(root, "manifest.json")? {
        Some(manifest) => load_docker(store, root, &manifest),
        None => Err(Error::invalid_image("archive", "it has neither index.json nor manifest.json")),
    }
}

fn load_layout(store: &Store, root: &OwnedFd, index: &[u8]) -> Result<Vec<Loaded>, Error> {
    let AnyManifest::Index(index) = AnyManifest::parse(media_type::OCI_INDEX, index)
        .map_err(|e| Error::invalid_image("index.json", e))?
    else {
        return Err(Error::invalid_image("index.json", "it is no index"));
    };
    let mut loaded: BTreeMap<Digest, Loaded> = BTreeMap::new();
    for entry in &index.manifests {
        import_tree(store, root, entry, 0)?;
        let name = entry.annotations.get("io.containerd.image.name").or_else(|| {
            entry.annotations.get("org.opencontainers.image.ref.name").filter(|n| n.contains([':', '/']))
        });
        let name = name.and_then(|n| n.parse::<Reference>().ok());
        let mut descriptor = entry.clone();
        descriptor.annotations.clear();
        let image = loaded
            .entry(descriptor.digest.clone())
            .or_insert_with(|| Loaded { descriptor: descriptor.clone(), names: Vec::new() });
        image.names.extend(name);
    }
    tag_all(store, loaded.into_values().collect())
}

/// Deepest nesting of indexes that is followed.
const DEPTH_MAX: usize = 4;

pub(crate) fn import_tree(
    store: &Store,
    root: &OwnedFd,
    descriptor: &Descriptor,
    depth: usize,
) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        return Err(Error::invalid_image(&descriptor.digest, "indexes are nested too deeply"));
    }
    import(store, root, descriptor)?;
    let bytes = store.read_blob(&descriptor.digest, DOCUMENT_BYTES_MAX)?;
    let parsed = AnyManifest::parse(&descriptor.media_type, &bytes)
        .map_err(|e| Error::invalid_image(&descriptor.digest, e))?;
    match parsed {
        AnyManifest::Index(Index { manifests, .. }) => {
            for child in &manifests {
                if filesystem::open_inside(root.as_fd(), &path_of(&child.digest), OFlags::PATH).is_ok() {
                    import_tree(store, root, child, depth + 1)?;
                }
            }
        }
        AnyManifest::Image(Manifest { config, layers, .. }) => {
            for blob in layers.iter().chain([&config]) {
                import(store, root, blob)?;
            }
        }
    }
    Ok(())
}

fn path_of(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

fn import(store: &Store, root: &OwnedFd, descriptor: &Descriptor) -> Result<(), Error> {
    let size = if let Some(size) = store.has_blob(&descriptor.digest)? {
        size
    } else {
        let mut file = open(root, &path_of(&descriptor.digest))?;
        let mut blob = store.blob_writer()?;
        io::copy(&mut file, &mut blob).map_err(Error::io("write", store.blob_path(&descriptor.digest)))?;
        blob.commit(Some(&descriptor.digest))?.1
    };
    images::check_size(descriptor, size)
}

/// Docker's own format: layers are tars without digests in their names, so the manifest is made here.
fn load_docker(store: &Store, root: &OwnedFd, manifest: &[u8]) -> Result<Vec<Loaded>, Error> {
    let images: Vec<DockerImage> =
        serde_json::from_slice(manifest).map_err(|e| Error::invalid_image("manifest.json", e))?;
    let mut loaded = Vec::new();
    for image in images {
        let config = document(root, &image.config)?
            .ok_or_else(|| Error::invalid_image(&image.config, "the config is missing"))?;
        let parsed: ImageConfig =
            serde_json::from_slice(&config).map_err(|e| Error::invalid_image(&image.config, e))?;
        if parsed.rootfs.diff_ids.len() != image.layers.len() {
            return Err(Error::invalid_image(
                &image.config,
                "config and manifest.json differ in their layers",
            ));
        }
        let mut layers = Vec::new();
        for (path, diff_id) in image.layers.iter().zip(&parsed.rootfs.diff_ids) {
            layers.push(import_layer(store, open(root, path)?, path, diff_id)?);
        }
        let (digest, size) = store.put_blob(&config)?;
        let manifest = to_canonical_json(&Manifest {
            schema_version: 2,
            media_type: Some(media_type::OCI_MANIFEST.to_owned()),
            config: Descriptor::new(media_type::OCI_CONFIG, digest, size),
            layers,
            annotations: BTreeMap::new(),
            extra: BTreeMap::new(),
        });
        let (digest, size) = store.put_blob(&manifest)?;
        let names = image.repo_tags.unwrap_or_default().iter().filter_map(|n| n.parse().ok()).collect();
        loaded.push(Loaded { descriptor: Descriptor::new(media_type::OCI_MANIFEST, digest, size), names });
    }
    tag_all(store, loaded)
}

fn import_layer(store: &Store, mut file: File, path: &str, diff_id: &Digest) -> Result<Descriptor, Error> {
    let mut magic = vec![0; MAGIC_BYTES];
    let read = file.read(&mut magic).map_err(Error::io("read", path))?;
    let compression = match layer::detect(&magic[..read]) {
        Some(layer::Archive::Gzip) => Compression::Gzip,
        Some(layer::Archive::Zstd) => Compression::Zstd,
        _ => Compression::None,
    };
    let whole = io::Cursor::new(magic[..read].to_vec()).chain(file);
    let mut blob = store.blob_writer()?;
    let mut plain = {
        let tee = TeeReader { inner: whole, copy: &mut blob };
        let plain = layer::decompress(compression, tee).map_err(Error::io("read", path))?;
        DigestReader::new(plain, diff_id.algorithm())
    };
    io::copy(&mut plain, &mut io::sink()).map_err(Error::io("read", path))?;
    let (rest, found, _) = plain.finish();
    drop(rest);
    if found != *diff_id {
        return Err(Error::invalid_image(path, format!("its content is {found}, the config says {diff_id}")));
    }
    let (digest, size) = blob.commit(None)?;
    Ok(Descriptor::new(compression.oci_layer(), digest, size))
}

struct TeeReader<'a, R, W> {
    inner: R,
    copy: &'a mut W,
}

impl<R: Read, W: io::Write> Read for TeeReader<'_, R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.copy.write_all(&buffer[..n])?;
        Ok(n)
    }
}

fn tag_all(store: &Store, loaded: Vec<Loaded>) -> Result<Vec<Loaded>, Error> {
    for image in &loaded {
        for name in &image.names {
            store.tag(name, &image.descriptor)?;
        }
    }
    Ok(loaded)
}

fn open(root: &OwnedFd, path: &str) -> Result<File, Error> {
    let file = filesystem::open_inside(root.as_fd(), path, OFlags::RDONLY | OFlags::NONBLOCK)
        .map_err(|_| Error::invalid_image(path, "the archive does not have it"))?;
    let file = File::from(file);
    if !file.metadata().is_ok_and(|m| m.is_file()) {
        return Err(Error::invalid_image(path, "it is no file"));
    }
    Ok(file)
}

pub(crate) fn document(root: &OwnedFd, path: &str) -> Result<Option<Vec<u8>>, Error> {
    let Ok(file) = open(root, path) else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(DOCUMENT_BYTES_MAX).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    Ok(Some(bytes))
}

fn peek(reader: &mut impl io::BufRead) -> io::Result<Vec<u8>> {
    Ok(reader.fill_buf()?.iter().take(MAGIC_BYTES).copied().collect())
}
