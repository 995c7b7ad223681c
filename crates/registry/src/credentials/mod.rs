//! Who we say we are: one identity per repository, found where users of docker and podman have it already.
//!
//! Order, first that knows the repository wins (reference: docker/cli `config`, containers-auth.json(5)):
//!   1. the file in `REGISTRY_AUTH_FILE`
//!   2. the JSON in `DOCKER_AUTH_CONFIG`
//!   3. `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`, where `jettison login` writes
//!   4. `$XDG_RUNTIME_DIR/containers/auth.json`, then `$XDG_CONFIG_HOME/containers/auth.json`
//!   5. `~/.dockercfg`
//!   6. programs that `registries.conf` names
//!
//! One identity is tried, never a second one after a 401: errors say which it was. Where to read next: `auth_file.rs`
//! for the format of all these files, `program.rs` for credential helpers, `login.rs` for what is written.

pub(crate) mod auth_file;
pub(crate) mod login;
pub(crate) mod program;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use base64::Engine;

use crate::transport::Cancel;
use crate::{Error, Result};
use auth_file::{AuthFile, Found};

/// The registry that Docker's files know under many names.
const DOCKER_HUB: &str = "docker.io";
/// The name under which programs know it.
const DOCKER_HUB_SERVER: &str = "https://index.docker.io/v1/";

/// Who we say we are.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// User name, empty for tokens and nobody.
    pub(crate) user: String,
    /// Where it was found, for people.
    pub(crate) origin: String,
    /// The proof.
    pub(crate) secret: Secret,
}

/// What proves an identity.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Secret {
    /// Nothing.
    Anonymous,
    /// A password.
    Password(String),
    /// A refresh token for an OAuth2 token server.
    IdentityToken(String),
    /// A bearer token, to be sent as it is.
    RegistryToken(String),
}

impl Identity {
    /// Nobody in particular.
    pub(crate) fn anonymous() -> Self {
        Self { user: String::new(), origin: String::new(), secret: Secret::Anonymous }
    }

    /// A user with a password. `<token>` as the name means that the password is an identity token.
    pub(crate) fn with_password(user: &str, password: &str, origin: &str) -> Self {
        let secret = if user == "<token>" {
            Secret::IdentityToken(password.to_owned())
        } else {
            Secret::Password(password.to_owned())
        };
        Self { user: user.to_owned(), origin: origin.to_owned(), secret }
    }

    pub(crate) fn is_anonymous(&self) -> bool {
        self.secret == Secret::Anonymous
    }

    /// The value of a Basic `Authorization` header.
    pub(crate) fn basic(&self) -> Option<String> {
        let (Secret::Password(secret) | Secret::IdentityToken(secret)) = &self.secret else { return None };
        let text = format!("{}:{secret}", self.user);
        Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text)))
    }

    /// Tells identities apart in the token cache.
    pub(crate) fn key(&self) -> String {
        format!("{}\n{}", self.origin, self.user)
    }

    /// For errors: `anonymous`, `user bob (from /home/bob/.docker/config.json)`.
    pub(crate) fn describe(&self) -> String {
        let who = match &self.secret {
            Secret::Anonymous => "anonymous".to_owned(),
            Secret::RegistryToken(_) | Secret::IdentityToken(_) => "the holder of a token".to_owned(),
            Secret::Password(_) => format!("user {}", self.user),
        };
        if self.origin.is_empty() { who } else { format!("{who}, from {}", self.origin) }
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.describe())
    }
}

/// Where to look.
#[derive(Clone, Default)]
pub(crate) struct Places {
    /// Before everything else.
    pub(crate) explicit: Option<PathBuf>,
    /// `DOCKER_AUTH_CONFIG`.
    pub(crate) env_json: Option<String>,
    /// `config.json`; also where logins are stored.
    pub(crate) docker_config: Option<PathBuf>,
    /// The rest, in order.
    pub(crate) others: Vec<PathBuf>,
    /// Suffixes of programs.
    pub(crate) programs: Vec<String>,
}

impl Places {
    /// Reads variables through `get`.
    pub(crate) fn from_env(get: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| get(name).filter(|value| !value.is_empty());
        let dir = |name: &str| set(name).map(PathBuf::from);
        let home = dir("HOME");
        let below_home = |path: &str| home.as_ref().map(|home| home.join(path));
        let xdg_config = dir("XDG_CONFIG_HOME").or_else(|| below_home(".config"));
        let auth_json = |base: Option<PathBuf>| base.map(|base| base.join("containers/auth.json"));
        Self {
            explicit: dir("REGISTRY_AUTH_FILE"),
            env_json: set("DOCKER_AUTH_CONFIG"),
            docker_config: dir("DOCKER_CONFIG")
                .or_else(|| below_home(".docker"))
                .map(|d| d.join("config.json")),
            others: [auth_json(dir("XDG_RUNTIME_DIR")), auth_json(xdg_config), below_home(".dockercfg")]
                .into_iter()
                .flatten()
                .collect(),
            programs: Vec::new(),
        }
    }
}

/// Finds identities and remembers them.
pub(crate) struct Credentials {
    places: Places,
    cancel: Cancel,
    files: OnceLock<Vec<AuthFile>>,
    found: Mutex<HashMap<String, Arc<Identity>>>,
}

impl Credentials {
    pub(crate) fn new(places: Places, cancel: Cancel) -> Self {
        Self { places, cancel, files: OnceLock::new(), found: Mutex::default() }
    }

    /// Who to be at `host` for `repository` (which may be empty).
    pub(crate) fn lookup(&self, host: &str, repository: &str) -> Result<Arc<Identity>> {
        let key = format!("{host}/{repository}");
        // Held during the search: programs may ask their user something, and should ask once.
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(identity) = found.get(&key) {
            return Ok(Arc::clone(identity));
        }
        let identity = Arc::new(self.search(host, repository)?);
        found.insert(key, Arc::clone(&identity));
        Ok(identity)
    }

    /// Forgets what was found, after a login or logout.
    pub(crate) fn forget(&self) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn search(&self, host: &str, repository: &str) -> Result<Identity> {
        let server = server_name(host);
        let mut missing_program = None;
        for file in self.files()? {
            match file.find(host, repository)? {
                Some(Found::Identity(identity)) => return Ok(identity),
                Some(Found::Program { suffix, required, fallback }) => {
                    match program::get(&suffix, &server, &self.cancel) {
                        Ok(Some(identity)) => return Ok(identity),
                        Ok(None) => {}
                        // One program for all registries, configured on another machine, must not stand in the way of
                        // public images.
                        Err(program::Failure::Missing) if !required => {
                            missing_program = Some(program::name(&suffix));
                        }
                        Err(failure) => return Err(failure.into_error(&suffix, &server)),
                    }
                    if let Some(identity) = fallback {
                        return Ok(identity);
                    }
                }
                None => {}
            }
        }
        for suffix in &self.places.programs {
            match program::get(suffix, &server, &self.cancel) {
                Ok(Some(identity)) => return Ok(identity),
                Ok(None) => {}
                Err(failure) => return Err(failure.into_error(suffix, &server)),
            }
        }
        let origin = missing_program.map(|name| format!("a configuration whose {name} is not installed"));
        Ok(Identity { origin: origin.unwrap_or_default(), ..Identity::anonymous() })
    }

    /// All files that there are, read once.
    fn files(&self) -> Result<&[AuthFile]> {
        if let Some(files) = self.files.get() {
            return Ok(files);
        }
        let mut files = Vec::new();
        let places = &self.places;
        if let Some(path) = &places.explicit {
            files.extend(AuthFile::read(path)?);
        }
        if let Some(text) = &places.env_json {
            let file = AuthFile::parse(text.as_bytes(), Path::new("DOCKER_AUTH_CONFIG"));
            files.push(file.map_err(|reason| Error::Environment { variable: "DOCKER_AUTH_CONFIG", reason })?);
        }
        for path in places.docker_config.iter().chain(&places.others) {
            files.extend(AuthFile::read(path)?);
        }
        Ok(self.files.get_or_init(|| files))
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// The name under which programs and `config.json` keep a registry.
pub(crate) fn server_name(host: &str) -> String {
    if host == DOCKER_HUB { DOCKER_HUB_SERVER.to_owned() } else { host.to_owned() }
}

/// A key of `auths` as `host` or `host/path`: without scheme, API version and final slash, all names of Docker Hub
/// being one. People write at least five variants of the latter (kaniko#1209).
pub(crate) fn normalize_key(key: &str) -> String {
    let key = key.trim().to_ascii_lowercase();
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(&key);
    let key = key.trim_end_matches('/');
    let key =
        key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key).trim_end_matches('/');
    let (host, path) = key.split_once('/').map_or((key, ""), |(host, path)| (host, path));
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => DOCKER_HUB,
        host => host,
    };
    if path.is_empty() { host.to_owned() } else { format!("{host}/{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn credentials(places: Places) -> Credentials {
        Credentials::new(places, Arc::new(|| false))
    }

    fn auth(user: &str) -> String {
        base64::engine::general_purpose::STANDARD.encode(format!("{user}:secret"))
    }

    #[test]
    fn names_of_docker_hub() {
        for key in [
            "docker.io",
            "index.docker.io",
            "https://index.docker.io/v1/",
            "https://index.docker.io/v1",
            "https://index.docker.io",
            "http://registry-1.docker.io/v2/",
            "registry-1.docker.io",
        ] {
            assert_eq!(normalize_key(key), "docker.io", "{key}");
        }
        assert_eq!(normalize_key("https://R.example:5000/v2/"), "r.example:5000");
        assert_eq!(normalize_key("r.example/team/app"), "r.example/team/app");
    }

    #[test]
    fn the_first_place_that_knows_wins() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let docker =
            write("config.json", format!(r#"{{"auths":{{"a.example":{{"auth":"{}"}}}}}}"#, auth("docker")));
        let podman = write(
            "auth.json",
            format!(
                r#"{{"auths":{{"a.example":{{"auth":"{}"}},"b.example/team":{{"auth":"{}"}}}}}}"#,
                auth("podman"),
                auth("team")
            ),
        );
        let places = Places {
            env_json: Some(format!(r#"{{"auths":{{"c.example":{{"auth":"{}"}}}}}}"#, auth("env"))),
            docker_config: Some(docker),
            others: vec![dir.path().join("missing.json"), podman],
            ..Places::default()
        };
        let credentials = credentials(places);
        let user = |host: &str, repository: &str| credentials.lookup(host, repository).unwrap().user.clone();
        assert_eq!(user("a.example", "x"), "docker");
        assert_eq!(user("b.example", "team/app"), "team");
        assert_eq!(user("b.example", "other/app"), "");
        assert_eq!(user("c.example", "x"), "env");
        let described = credentials.lookup("a.example", "x").unwrap().describe();
        assert!(described.starts_with("user docker, from /") && !described.contains("secret"), "{described}");
    }

    #[test]
    fn the_environment_names_the_places() {
        let places = Places::from_env(&|name| {
            Some(match name {
                "HOME" => "/home/u".to_owned(),
                "XDG_RUNTIME_DIR" => "/run/user/1".to_owned(),
                _ => return None,
            })
        });
        assert_eq!(places.docker_config, Some("/home/u/.docker/config.json".into()));
        assert_eq!(
            places.others,
            [
                "/run/user/1/containers/auth.json",
                "/home/u/.config/containers/auth.json",
                "/home/u/.dockercfg"
            ]
            .map(PathBuf::from)
        );
    }

    #[test]
    fn a_missing_program_for_everything_is_no_obstacle_but_is_named() {
        let places = Places {
            env_json: Some(
                r#"{"credsStore":"surely-not-there","credHelpers":{"h.example":"surely-not-there"}}"#
                    .to_owned(),
            ),
            ..Places::default()
        };
        let credentials = credentials(places);
        let identity = credentials.lookup("docker.io", "library/x").unwrap();
        assert!(identity.is_anonymous());
        assert!(identity.describe().contains("docker-credential-surely-not-there"));
        let error = credentials.lookup("h.example", "x").unwrap_err().to_string();
        assert!(
            error.contains("docker-credential-surely-not-there") && error.contains("h.example"),
            "{error}"
        );
    }

    #[test]
    fn broken_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        fs::write(&path, "{\n  nonsense").unwrap();
        let places = Places { docker_config: Some(path), ..Places::default() };
        let error = credentials(places).lookup("a.example", "x").unwrap_err().to_string();
        assert!(error.contains("config.json") && error.contains("line 2"), "{error}");
    }
}
