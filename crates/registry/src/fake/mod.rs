//! A registry inside of the process, for tests: real HTTP on 127.0.0.1, blobs in memory, faults on demand.
//!
//! After go-containerregistry's `pkg/registry`. Stricter than real ones where strictness finds bugs: every upload
//! answer moves the session to a new address and the old one is refused. Enable it with the feature `fake`:
//!
//! ```no_run
//! use jettison_registry::fake::{Action, FakeRegistry, Fault};
//! let registry = FakeRegistry::start();
//! let image = registry.put_image("team/app", "1.0", b"{}", &[b"layer"]);
//! registry.fault(Fault::on("GET", "/blobs/").act(Action::CutResponse { after: 3 }));
//! ```
//!
//! Where to read next: `faults.rs` for what can go wrong, `routes.rs` for what the registry does.

mod faults;
mod routes;
mod server;

use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jettison_oci::{Descriptor, Digest, Manifest, media_type};

pub use faults::{Action, Fault};

/// What the registry wants to see.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// Nothing.
    #[default]
    Nothing,
    /// User and password.
    Basic {
        /// User name.
        user: String,
        /// Password.
        password: String,
    },
    /// Tokens, which it hands out itself at `/token`.
    Token(TokenAuth),
}

/// How tokens are handed out.
#[derive(Clone, Debug, Default)]
pub struct TokenAuth {
    /// User and password that the token server wants; nobody needs one if it is `None`.
    pub login: Option<(String, String)>,
    /// Refresh token that a POST must show; a POST is answered with 404 if it is `None`.
    pub identity_token: Option<String>,
    /// What is said about the life of a token, seconds.
    pub expires_in: Option<u64>,
    /// How long tokens live really.
    pub lives: Option<Duration>,
    /// Address of the token server, if it is not this one.
    pub realm: Option<String>,
    /// The header `WWW-Authenticate` with `{}` for the Bearer challenge, to hide it among others.
    pub challenges: Option<String>,
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers, names in lower case.
    pub headers: HashMap<String, String>,
    /// Bytes of body that arrived.
    pub body_len: usize,
    /// Status of the answer; 0 if there was none.
    pub status: u16,
}

impl Recorded {
    /// A header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// The registry. Stops listening when dropped.
#[derive(Debug)]
pub struct FakeRegistry {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    host: String,
    stop: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    auth: Auth,
    /// By repository and digest.
    blobs: BTreeMap<(String, String), Arc<Vec<u8>>>,
    /// By repository and tag or digest: media type and bytes.
    manifests: BTreeMap<(String, String), Document>,
    uploads: HashMap<String, Upload>,
    tokens: HashMap<String, Token>,
    faults: Vec<Fault>,
    requests: Vec<Recorded>,
    counter: u64,
    no_ranges: bool,
    no_head: bool,
    chunk_len_min: Option<u64>,
}

/// Media type and bytes.
type Document = (String, Arc<Vec<u8>>);

#[derive(Debug, Default)]
struct Upload {
    repository: String,
    bytes: Vec<u8>,
    /// A chunk shorter than the minimum has come, so it must have been the last.
    ended: bool,
    /// Part of the session's address, new with each answer.
    state: u64,
}

#[derive(Debug)]
struct Token {
    scopes: Vec<String>,
    dies: Option<Instant>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FakeRegistry {
    /// Listens on a free port of 127.0.0.1.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback interface has free ports");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            host: address.to_string(),
            stop: AtomicBool::new(false),
            state: Mutex::default(),
        });
        let for_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if for_thread.stop.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(stream) = stream {
                    let shared = Arc::clone(&for_thread);
                    thread::spawn(move || server::serve(stream, &shared));
                }
            }
        });
        Self { address, shared }
    }

    /// Host and port, as they stand in references.
    pub fn host(&self) -> String {
        self.shared.host.clone()
    }

    /// Sets what is wanted from now on. Tokens handed out before stay good.
    pub fn require(&self, auth: Auth) {
        self.shared.state().auth = auth;
    }

    /// Adds a fault. Of several that fit a request the first is used up first.
    pub fn fault(&self, fault: Fault) {
        self.shared.state().faults.push(fault);
    }

    /// Pretends to know no `Range`.
    pub fn without_ranges(&self) {
        self.shared.state().no_ranges = true;
    }

    /// Answers 405 to HEAD.
    pub fn without_head(&self) {
        self.shared.state().no_head = true;
    }

    /// Sends `OCI-Chunk-Min-Length`, and refuses shorter chunks but the last.
    pub fn chunk_len_min(&self, bytes: u64) {
        self.shared.state().chunk_len_min = Some(bytes);
    }

    /// Stores a blob, as `application/octet-stream`.
    pub fn put_blob(&self, repository: &str, bytes: &[u8]) -> Descriptor {
        let digest = Digest::sha256(bytes);
        let key = (repository.to_owned(), digest.to_string());
        self.shared.state().blobs.insert(key, Arc::new(bytes.to_vec()));
        Descriptor::new("application/octet-stream", digest, bytes.len() as u64)
    }

    /// Stores a manifest or index under a tag and its digest.
    pub fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> Descriptor {
        let digest = Digest::sha256(bytes);
        let value = (media_type.to_owned(), Arc::new(bytes.to_vec()));
        let mut state = self.shared.state();
        state.manifests.insert((repository.to_owned(), tag.to_owned()), value.clone());
        state.manifests.insert((repository.to_owned(), digest.to_string()), value);
        Descriptor::new(media_type, digest, bytes.len() as u64)
    }

    /// Stores an OCI image made of a config and gzip layers; returns the manifest's descriptor.
    pub fn put_image(&self, repository: &str, tag: &str, config: &[u8], layers: &[&[u8]]) -> Descriptor {
        let mut config = self.put_blob(repository, config);
        media_type::OCI_CONFIG.clone_into(&mut config.media_type);
        let as_layer = |bytes: &&[u8]| {
            let mut layer = self.put_blob(repository, bytes);
            media_type::OCI_LAYER_GZIP.clone_into(&mut layer.media_type);
            layer
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::OCI_MANIFEST.to_owned()),
            config,
            layers: layers.iter().map(as_layer).collect(),
            annotations: BTreeMap::new(),
            extra: BTreeMap::new(),
        };
        let bytes = jettison_oci::to_canonical_json(&manifest);
        self.put_manifest(repository, tag, media_type::OCI_MANIFEST, &bytes)
    }

    /// A blob, if the repository has it.
    pub fn blob(&self, repository: &str, digest: &Digest) -> Option<Vec<u8>> {
        let key = (repository.to_owned(), digest.to_string());
        self.shared.state().blobs.get(&key).map(|bytes| bytes.to_vec())
    }

    /// Media type and bytes of a manifest, by tag or digest.
    pub fn manifest(&self, repository: &str, tag: &str) -> Option<(String, Vec<u8>)> {
        let key = (repository.to_owned(), tag.to_owned());
        self.shared.state().manifests.get(&key).map(|(kind, bytes)| (kind.clone(), bytes.to_vec()))
    }

    /// Opens an upload session by itself; returns its address at this registry.
    pub fn open_upload(&self, repository: &str) -> String {
        routes::open_upload(&mut self.shared.state(), repository)
    }

    /// Sessions that nobody has finished or canceled.
    pub fn open_uploads(&self) -> usize {
        self.shared.state().uploads.len()
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.state().requests.clone()
    }

    /// `METHOD status` of all requests whose target contains `part`.
    pub fn log(&self, part: &str) -> Vec<String> {
        let state = self.shared.state();
        let fits = state.requests.iter().filter(|r| r.target.contains(part));
        fits.map(|r| format!("{} {}", r.method, r.status)).collect()
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = std::net::TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}
