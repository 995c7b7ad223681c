//! What a [`Client`](crate::Client) obeys: credentials, mirrors, trust, proxies, when to stop.
//!
//! [`Config::from_env`] reads what a user of docker or podman already has; the methods of [`Config`] override it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::Result;
use crate::credentials::Places;
use crate::hosts::{certs_d, registries_conf};
use crate::transport::{Cancel, Proxies};

/// Everything that a client obeys. `Config::default()` reads nothing: anonymous, no mirrors, no proxy.
#[derive(Clone)]
pub struct Config {
    pub(crate) cancel: Cancel,
    pub(crate) sleep: Option<Arc<dyn Fn(Duration) + Send + Sync>>,
    pub(crate) insecure: BTreeSet<String>,
    pub(crate) user_agent: String,
    pub(crate) proxies: Proxies,
    pub(crate) credentials: Places,
    pub(crate) registries: registries_conf::RegistriesConf,
    pub(crate) certs_dirs: Vec<PathBuf>,
}

impl Config {
    /// Reads the environment and the user's files: Docker's `config.json` and its variables, containers' `auth.json`,
    /// `registries.conf` and `certs.d`, the proxy variables.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(&|name| std::env::var(name).ok())
    }

    /// [`Config::from_env`] with the environment as an argument.
    pub fn from_variables(get: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let path = |name: &str| get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = path("HOME");
        let file = path("CONTAINERS_REGISTRIES_CONF").unwrap_or_else(|| {
            registries_conf::default_file(home.as_deref(), path("XDG_CONFIG_HOME").as_deref())
        });
        let registries = registries_conf::RegistriesConf::read(&file)?;
        let mut credentials = Places::from_env(get);
        credentials.programs.clone_from(&registries.credential_programs);
        Ok(Self {
            proxies: Proxies::from_env(get),
            credentials,
            registries,
            certs_dirs: certs_d::default_dirs(home.as_deref()),
            ..Self::default()
        })
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

    /// Allows plain http and unverified https for `host` (with its port, as in references), and lets other registries
    /// send us there.
    pub fn insecure(mut self, host: &str) -> Self {
        self.insecure.insert(host.to_owned());
        self
    }

    /// Uses this `config.json` for credentials and for logins, instead of the one that the environment names.
    pub fn docker_config(mut self, file: &Path) -> Self {
        self.credentials.docker_config = Some(file.to_owned());
        self
    }

    /// Looks for credentials in this file before all others (`--authfile`).
    pub fn auth_file(mut self, file: &Path) -> Self {
        self.credentials.explicit = Some(file.to_owned());
        self
    }

    /// Reads mirrors and locations from this `registries.conf` (and its `.d`), instead of the one that the environment
    /// names.
    pub fn registries_conf(mut self, file: &Path) -> Result<Self> {
        self.registries = registries_conf::RegistriesConf::read(file)?;
        self.credentials.programs.clone_from(&self.registries.credential_programs);
        Ok(self)
    }

    /// Looks for certificates in this directory before all others.
    pub fn certs_dir(mut self, dir: &Path) -> Self {
        self.certs_dirs.insert(0, dir.to_owned());
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cancel: Arc::new(|| false),
            sleep: None,
            insecure: BTreeSet::new(),
            user_agent: concat!("jettison/", env!("CARGO_PKG_VERSION")).to_owned(),
            proxies: Proxies::default(),
            credentials: Places::default(),
            registries: registries_conf::RegistriesConf::default(),
            certs_dirs: Vec::new(),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("insecure", &self.insecure)
            .field("registries", &self.registries)
            .field("certs_dirs", &self.certs_dirs)
            .finish_non_exhaustive()
    }
}
