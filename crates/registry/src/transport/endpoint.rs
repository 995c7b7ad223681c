//! What we know about one registry: where its interface is, how to talk to it, what it wants to see.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bearer::Tokens;
use super::url::{Scheme, Url, is_local};
use crate::credentials::Identity;

/// The host of Docker Hub's interface (distribution `reference/normalize.go`, moby `registry/config.go`).
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// One registry.
pub(crate) struct Endpoint {
    host: String,
    authority: String,
    insecure: bool,
    identity: Option<Arc<Identity>>,
    state: Mutex<State>,
    tokens: Mutex<Tokens>,
    ping: Mutex<()>,
}

/// What was learned by asking.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Known from the start for most registries.
    pub(super) scheme: Option<Scheme>,
    pub(super) wants: Wants,
    pub(super) pinged: bool,
}

/// What a registry wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// Not asked yet.
    Unknown,
    /// Nothing.
    Nothing,
    /// User and password.
    Basic,
    /// A token.
    Bearer {
        /// The token server.
        realm: Url,
        /// Our registry's name there.
        service: String,
    },
}

impl Endpoint {
    pub(crate) fn new(host: &str, insecure: bool) -> Self {
        let authority = if host == jettison_oci::DOCKER_HUB { DOCKER_HUB_API } else { host };
        let scheme = (!insecure && !is_local(host)).then_some(Scheme::Https);
        Self {
            host: host.to_owned(),
            authority: authority.to_owned(),
            insecure,
            identity: None,
            state: Mutex::new(State { scheme, wants: Wants::Unknown, pinged: false }),
            tokens: Mutex::default(),
            ping: Mutex::default(),
        }
    }

    /// The same registry, seen as `identity` whatever the files say.
    pub(crate) fn with_identity(&self, identity: Identity) -> Self {
        Self { identity: Some(Arc::new(identity)), ..Self::new(&self.host, self.insecure) }
    }

    /// The host as it stands in references.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// TLS is not verified. Registries on this machine are as trusted as the machine (moby does the same).
    pub(super) fn insecure(&self) -> bool {
        self.insecure || is_local(&self.host)
    }

    pub(super) fn identity(&self) -> Option<Arc<Identity>> {
        self.identity.clone()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held while pinging, so that many threads ping once.
    pub(super) fn ping_lock(&self) -> MutexGuard<'_, ()> {
        self.ping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The schemes to try: plain first on this machine, TLS first elsewhere.
    pub(super) fn schemes(&self) -> &'static [Scheme] {
        if is_local(&self.host) {
            &[Scheme::Http, Scheme::Https]
        } else if self.insecure {
            &[Scheme::Https, Scheme::Http]
        } else {
            &[Scheme::Https]
        }
    }
}
