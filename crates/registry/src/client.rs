//! The client: what can be asked of registries. Each verb lives in its own file; here is which places are asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jettison_oci::{Descriptor, Hasher, Reference};
use ureq::http::Method;

use crate::credentials::{Identity, login};
use crate::transport::{Endpoint, Request, Scopes, Target, Transport};
use crate::{Config, Error, Result};

/// Talks to registries. Share one per process: it is `Sync`, remembers tokens and pools connections.
///
/// Every call blocks until it is done, has failed, or the callback given to [`Config::cancel`] says stop.
#[derive(Debug)]
pub struct Client {
    pub(crate) transport: Transport,
    config: Config,
    /// Which place served a name last, so that a dead mirror is waited for once.
    served: Mutex<HashMap<String, usize>>,
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

/// A repository at a registry: where a request goes.
pub(crate) struct Site {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) repository: String,
}

impl Client {
    /// A client that obeys `config`. Opens no connection yet.
    pub fn new(config: Config) -> Self {
        let (insecure, registries) = (config.insecure.clone(), config.registries.clone());
        let trusted = Arc::new(move |place: &str| insecure.contains(place) || registries.is_insecure(place));
        Self { transport: Transport::new(&config, trusted), config, served: Mutex::default() }
    }

    /// Whether `host` accepts this user and password. Stores nothing.
    pub fn check_login(&self, host: &str, user: &str, password: &str) -> Result<()> {
        let identity = Identity::with_password(user, password, "");
        let endpoint = self.transport.endpoint(canonical(host), false).with_identity(identity);
        let request = Request::new(
            Method::GET,
            Target::Path("/v2/".to_owned()),
            "",
            Scopes::none(),
            "log in".to_owned(),
        );
        self.transport.send(&endpoint, &request)?.expect(&[200])?.discard();
        Ok(())
    }

    /// Stores credentials for `host`: in the credential program that is configured for it, else in `config.json`.
    /// Returns where they went, for people.
    pub fn save_login(&self, host: &str, user: &str, password: &str) -> Result<String> {
        let config = self.docker_config()?;
        let place = login::save(config, canonical(host), user, password, &self.config.cancel)?;
        self.transport.credentials().forget();
        Ok(place)
    }

    /// Forgets the credentials for `host`. Returns whether there were any.
    pub fn erase_login(&self, host: &str) -> Result<bool> {
        let erased = login::erase(self.docker_config()?, canonical(host), &self.config.cancel)?;
        self.transport.credentials().forget();
        Ok(erased)
    }

    fn docker_config(&self) -> Result<&std::path::Path> {
        self.config.credentials.docker_config.as_deref().ok_or_else(|| Error::Environment {
            variable: "HOME",
            reason: "not set, so there is no place for config.json; DOCKER_CONFIG can name one".to_owned(),
        })
    }

    /// Where a push of `reference` goes.
    pub(crate) fn push_site(&self, reference: &Reference) -> Site {
        let place = self.config.registries.push_place(reference);
        Site { endpoint: self.transport.endpoint(&place.host, place.insecure), repository: place.repository }
    }

    /// Asks the places that may hold `reference`, one after the other, until one answers. The error that counts is
    /// the registry's own, not a mirror's.
    pub(crate) fn ask_places<T>(
        &self,
        reference: &Reference,
        mut ask: impl FnMut(&Site) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let places = self.config.registries.pull_places(reference)?;
        let own = places.len() - 1;
        let name = reference.name();
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner).get(&name).copied();
        let first = served.filter(|i| *i <= own);
        let order = first.into_iter().chain((0..=own).filter(|i| Some(*i) != first));
        let mut outcome = Ok(None);
        for i in order {
            let place = &places[i];
            let site = Site {
                endpoint: self.transport.endpoint(&place.host, place.insecure),
                repository: place.repository.clone(),
            };
            match ask(&site) {
                Ok(Some(value)) => {
                    self.served.lock().unwrap_or_else(PoisonError::into_inner).insert(name, i);
                    return Ok(Some(value));
                }
                // Our own troubles are the same everywhere.
                Err(error @ (Error::Canceled | Error::Output(_) | Error::Input(_))) => return Err(error),
                result if i == own => outcome = result,
                _ => {}
            }
        }
        outcome
    }
}

/// `docker.io` under all the names that people type at a login.
fn canonical(host: &str) -> &str {
    let bare = host.strip_prefix("https://").or_else(|| host.strip_prefix("http://")).unwrap_or(host);
    match bare.split('/').next().unwrap_or(bare) {
        "" | "index.docker.io" | "registry-1.docker.io" | "hub.docker.com" => jettison_oci::DOCKER_HUB,
        host => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_docker_hub_at_a_login() {
        for host in ["", "docker.io", "https://index.docker.io/v1/", "registry-1.docker.io"] {
            assert_eq!(canonical(host), "docker.io");
        }
        assert_eq!(canonical("http://localhost:5000/"), "localhost:5000");
    }

    #[test]
    fn a_client_can_be_shared() {
        fn shared<T: Send + Sync>() {}
        shared::<Client>();
    }
}
