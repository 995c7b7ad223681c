//! Image archives: OCI image layout, and Docker's archive, which is the same plus a `manifest.json`.
//!
//! Sources: OCI image spec `image-layout.md`; moby `image/tarexport` and BuildKit `exporter/oci` for what
//! `docker load` reads. Blobs are streamed from the store; nothing is held in memory but the small documents.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::thread::{Builder, JoinHandle};

use jettison_oci::{
    Descriptor, Digest, DigestReader, Index, Manifest, Reference, media_type, time, to_canonical_json,
};
use jettison_store::{self as store, Store};
use serde_json::json;

use super::{Sink, archive_tar::TarWriter, write_atomically};
use crate::error::Error;
use crate::request::{ArchiveFormat, Destination};

/// Bytes that are hashed at once.
const HASH_BYTES: usize = 256 << 10;

/// An image to write, with its names.
#[derive(Clone, Debug)]
pub struct ArchiveImage {
    /// Its manifest, or an index.
    pub descriptor: Descriptor,
    /// The manifest, or those of the index, each with its descriptor.
    pub manifests: Vec<(Descriptor, Manifest)>,
    /// Names to give it; may be empty.
    pub names: Vec<Reference>,
}

/// Everything that an archive of `images` consists of, in the order in which it is written.
struct Contents {
    /// Path in the archive and bytes.
    documents: Vec<(String, Vec<u8>)>,
    /// Blobs, sorted, each once.
    blobs: Vec<(Digest, u64)>,
}

fn contents(images: &[ArchiveImage], format: ArchiveFormat, epoch_seconds: i64) -> Contents {
    let mut blobs: BTreeSet<(Digest, u64)> = BTreeSet::new();
    let mut entries = Vec::new();
    let mut docker = Vec::new();
    for image in images {
        blobs.insert((image.descriptor.digest.clone(), image.descriptor.size));
        for (descriptor, manifest) in &image.manifests {
            let all = [descriptor, &manifest.config].into_iter().chain(&manifest.layers);
            blobs.extend(all.map(|d| (d.digest.clone(), d.size)));
        }
        let mut named = image.names.iter().map(Some).collect::<Vec<_>>();
        if named.is_empty() {
            named.push(None);
        }
        for name in named {
            let mut descriptor = image.descriptor.clone();
            descriptor
                .annotations
                .insert("org.opencontainers.image.created".into(), time::rfc3339(epoch_seconds));
            if let Some(name) = name {
                descriptor.annotations.insert("io.containerd.image.name".into(), name.to_string());
                let tag = name.tag().unwrap_or("latest");
                descriptor.annotations.insert("org.opencontainers.image.ref.name".into(), tag.to_owned());
            }
            entries.push(descriptor);
        }
        // Docker's own list knows no indexes; whoever writes one for docker has refused several platforms before.
        if let [(_, manifest)] = &image.manifests[..] {
            docker.push(json!({
                "Config": blob_path(&manifest.config.digest),
                "Layers": manifest.layers.iter().map(|l| blob_path(&l.digest)).collect::<Vec<_>>(),
                "RepoTags": image.names.iter().map(Reference::familiar).collect::<Vec<_>>(),
            }));
        }
    }
    let index = Index {
        schema_version: 2,
        media_type: Some(media_type::OCI_INDEX.to_owned()),
        manifests: entries,
        annotations: std::collections::BTreeMap::new(),
        extra: std::collections::BTreeMap::new(),
    };
    let mut documents = vec![
        ("index.json".to_owned(), to_canonical_json(&index)),
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
    ];
    if format == ArchiveFormat::Docker {
        documents.insert(1, ("manifest.json".to_owned(), to_canonical_json(&docker)));
    }
    Contents { documents, blobs: blobs.into_iter().collect() }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// Writes `images` as a tar archive.
pub fn write_tar(
    store: &Store,
    images: &[ArchiveImage],
    format: ArchiveFormat,
    destination: &Destination,
    epoch_seconds: i64,
) -> Result<(), Error> {
    let contents = contents(images, format, epoch_seconds);
    let mut sink = Sink::create(destination)?;
    let name = sink.name().to_owned();
    let failed = |e| Error::io("write", &name)(e);
    let mut tar = TarWriter::new(&mut sink, epoch_seconds);
    tar.directory("blobs/").map_err(failed)?;
    tar.directory("blobs/sha256/").map_err(failed)?;
    for (digest, size) in &contents.blobs {
        let mut blob = Checked::open(store, digest)?;
        tar.stream(&blob_path(digest), *size, &mut blob).map_err(failed)?;
        blob.finish()?;
    }
    for (path, bytes) in &contents.documents {
        tar.file(path, bytes).map_err(failed)?;
    }
    tar.finish().map_err(failed)?;
    sink.finish()
}

/// Writes `images` as a folder. An existing layout there is replaced file by file; blobs that it holds stay.
pub fn write_folder(
    store: &Store,
    images: &[ArchiveImage],
    format: ArchiveFormat,
    folder: &Path,
    epoch_seconds: i64,
) -> Result<(), Error> {
    let contents = contents(images, format, epoch_seconds);
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).map_err(Error::io("write", &blobs))?;
    for (digest, size) in &contents.blobs {
        let path = folder.join(blob_path(digest));
        if path.metadata().is_ok_and(|m| m.len() == *size) {
            continue;
        }
        let mut blob = Checked::open(store, digest)?;
        let mut sink = Sink::create(&Destination::Path(path.clone()))?;
        io::copy(&mut blob, &mut sink).map_err(Error::io("write", &path))?;
        blob.finish()?;
        sink.finish()?;
    }
    for (name, bytes) in &contents.documents {
        write_atomically(&folder.join(name), bytes)?;
    }
    Ok(())
}

/// A blob of the store that is verified again on its way out, unless this process has just written it: what leaves must be
/// what its name says. Hashing a large one takes longer than writing it and has a thread of its own.
struct Checked {
    file: File,
    path: PathBuf,
    digest: Digest,
    hashing: Option<JoinHandle<io::Result<Digest>>>,
}

impl Checked {
    fn open(store: &Store, digest: &Digest) -> Result<Self, Error> {
        let (path, algorithm) = (store.blob_path(digest), digest.algorithm());
        let mut hashing = None;
        if !store.has_just_written(digest) {
            let again = store.open_blob(digest)?;
            let hash = move || {
                let reader = DigestReader::new(again, algorithm);
                let mut buffered = BufReader::with_capacity(HASH_BYTES, reader);
                io::copy(&mut buffered, &mut io::sink())?;
                Ok(buffered.into_inner().finish().1)
            };
            hashing = Some(Builder::new().spawn(hash).map_err(Error::io("start", "a thread"))?);
        }
        Ok(Self { file: store.open_blob(digest)?, path, digest: digest.clone(), hashing })
    }

    fn finish(self) -> Result<(), Error> {
        let Some(hashing) = self.hashing else { return Ok(()) };
        let found = hashing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if found.map_err(Error::io("read", &self.path))? == self.digest {
            return Ok(());
        }
        Err(store::Error::DamagedBlob { path: self.path }.into())
    }
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}
