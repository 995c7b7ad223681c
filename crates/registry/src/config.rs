//! What a [`Client`](crate::Client) obeys: credentials, mirrors, trust, proxies, time limits, when to stop.
//!
//! [`Config::from_env`] reads what a user of docker or podman already has; the fields of [`Config`] override it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::Result;

/// Everything that a client obeys. `Config::default()` reads nothing: anonymous, no mirrors, no proxy.
#[derive(Clone)]
pub struct Config {
    pub(crate) cancel: Arc<dyn Fn() -> bool + Send + Sync>,
    pub(crate) sleep: Option<Arc<dyn Fn(Duration) + Send + Sync>>,
    pub(crate) registries: BTreeMap<String, Registry>,
    pub(crate) user_agent: String,
}

/// What a caller says about one registry, before any file is asked.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// Plain http, and https without verification, are allowed.
    pub insecure: bool,
}

impl Config {
    /// Reads the environment and the user's files, see the crate's `credentials` and `hosts`.
    pub fn from_env() -> Result<Self> {
        Ok(Self::default())
    }

    /// Asks `cancel` between reads whether to stop; every operation then ends within a second
    /// with [`Error::Canceled`](crate::Error::Canceled).
    pub fn cancel(mut self, cancel: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.cancel = Arc::new(cancel);
        self
    }

    /// Replaces the waiting between tries, for tests.
    pub fn sleep(mut self, sleep: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        self.sleep = Some(Arc::new(sleep));
        self
    }

    /// Allows plain http and unverified https for `host` (with its port, as in references).
    pub fn insecure(mut self, host: &str) -> Self {
        self.registries.entry(host.to_owned()).or_default().insecure = true;
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cancel: Arc::new(|| false),
            sleep: None,
            registries: BTreeMap::new(),
            user_agent: concat!("jettison/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("registries", &self.registries).finish_non_exhaustive()
    }
}
