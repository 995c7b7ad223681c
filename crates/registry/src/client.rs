//! The client: what can be asked of registries. Each verb lives in its own file.

use std::fs::File;
use std::io::{self, Write};

use jettison_oci::{Descriptor, Digest, Hasher, Reference};

use crate::{Config, Result};

/// Talks to registries. Share one per process: it is `Sync`, remembers tokens and pools connections.
#[derive(Debug)]
pub struct Client {
    #[expect(dead_code)]
    config: Config,
}

/// A manifest or an index, verified.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Media type, digest and size of `bytes`.
    pub descriptor: Descriptor,
    /// The document exactly as the registry stores it.
    pub bytes: Vec<u8>,
    /// The host that served it: the registry itself or a mirror.
    pub source: String,
}

/// What became of a pushed blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The repository had it already.
    Exists,
    /// The registry took it over from another of its repositories.
    Mounted,
    /// It was sent.
    Uploaded,
}

/// The part of a blob that the caller holds already, from an earlier download.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Bytes held.
    pub offset: u64,
    /// The hash over them, of the algorithm of the blob's digest.
    pub hasher: Hasher,
}

impl Client {
    /// A client that obeys `config`. Opens no connection yet.
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// The manifest or index that `reference` names, from a mirror or the registry itself.
    ///
    /// A digest in the reference is verified; without one the descriptor's digest is computed from the bytes.
    pub fn manifest(&self, _reference: &Reference) -> Result<Fetched> {
        todo!()
    }

    /// What `reference` means now, without fetching it; `None` if there is no such manifest.
    pub fn head_manifest(&self, _reference: &Reference) -> Result<Option<Descriptor>> {
        todo!()
    }

    /// Streams a blob from `from_offset` on into `out`; `progress` is told the absolute number of bytes so far.
    ///
    /// The size is verified. From offset 0 the digest is verified too; from a later one only the caller can do it
    /// (or use [`Client::blob_after`]).
    pub fn blob(
        &self,
        _reference: &Reference,
        _descriptor: &Descriptor,
        _from_offset: u64,
        _out: &mut dyn Write,
        _progress: &dyn Fn(u64),
    ) -> Result<()> {
        todo!()
    }

    /// Like [`Client::blob`], continuing after bytes whose hash is known, so that the digest of the whole is verified.
    pub fn blob_after(
        &self,
        _reference: &Reference,
        _descriptor: &Descriptor,
        _seen: Seen,
        _out: &mut dyn Write,
        _progress: &dyn Fn(u64),
    ) -> Result<()> {
        todo!()
    }

    /// A small blob (a config) in memory, verified. Refuses descriptors larger than `limit` bytes.
    pub fn blob_bytes(
        &self,
        _reference: &Reference,
        _descriptor: &Descriptor,
        _limit: u64,
    ) -> Result<Vec<u8>> {
        todo!()
    }

    /// Makes sure that the repository of `reference` holds a blob: looks, then tries to mount it from each
    /// repository in `mount_from` (of the same registry), then uploads it from the file that `open` gives.
    ///
    /// `open` may be called several times. `progress` is told the absolute number of bytes sent; it may step back.
    pub fn push_blob(
        &self,
        _reference: &Reference,
        _descriptor: &Descriptor,
        _open: &dyn Fn() -> io::Result<File>,
        _mount_from: &[String],
        _progress: &dyn Fn(u64),
    ) -> Result<Pushed> {
        todo!()
    }

    /// Puts a manifest or index under the tag of `reference`, or under its digest if it has no tag.
    pub fn push_manifest(&self, _reference: &Reference, _media_type: &str, _bytes: &[u8]) -> Result<Digest> {
        todo!()
    }

    /// Whether `host` accepts this user and password. Stores nothing.
    pub fn check_login(&self, _host: &str, _user: &str, _password: &str) -> Result<()> {
        todo!()
    }

    /// Stores credentials for `host`: in the credential program that is configured for it, else in `config.json`.
    /// Returns where they went, for people.
    pub fn save_login(&self, _host: &str, _user: &str, _password: &str) -> Result<String> {
        todo!()
    }

    /// Forgets the credentials for `host`. Returns whether there were any.
    pub fn erase_login(&self, _host: &str) -> Result<bool> {
        todo!()
    }
}
