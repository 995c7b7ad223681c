//! The client over real sockets: against the fake registry with its scripted faults, and against `docker-registry`.
//!
//! One file per subject; `docker_registry.rs` needs Debian's package of that name and says so when it is missing.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::panic,
    reason = "a failing test should fail loudly"
)]

mod auth;
mod docker_registry;
mod mirrors;
mod pull;
mod push;
mod stop;
mod tls;

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jettison_oci::{Descriptor, Reference};
use jettison_registry::fake::FakeRegistry;
use jettison_registry::{Client, Config};

/// A client that does not wait between tries, and what it would have waited.
fn client() -> (Client, Arc<Mutex<Vec<Duration>>>) {
    client_with(Config::default())
}

fn client_with(config: Config) -> (Client, Arc<Mutex<Vec<Duration>>>) {
    let waits = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&waits);
    (Client::new(config.sleep(move |wait| recorded.lock().unwrap().push(wait))), waits)
}

fn reference(registry: &FakeRegistry, name: &str) -> Reference {
    format!("{}/{name}", registry.host()).parse().unwrap()
}

/// Bytes that do not repeat, so that a piece in the wrong place is noticed.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// A blob on disk that is to be pushed.
struct Source {
    _dir: tempfile::TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
    descriptor: Descriptor,
}

impl Source {
    fn new(bytes: Vec<u8>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("blob");
        File::create(&path).unwrap().write_all(&bytes).unwrap();
        let digest = jettison_oci::Digest::sha256(&bytes);
        let descriptor = Descriptor::new("application/octet-stream", digest, bytes.len() as u64);
        Self { _dir: dir, path, bytes, descriptor }
    }

    fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    fn push(&self, client: &Client, to: &Reference) -> jettison_registry::Result<jettison_registry::Pushed> {
        client.push_blob(to, &self.descriptor, &|| self.open(), &[], &|_| {})
    }
}

/// A `config.json` with one entry.
fn login_file(host: &str, entry: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, format!(r#"{{"auths":{{"{host}":{entry}}}}}"#)).unwrap();
    (dir, path)
}
