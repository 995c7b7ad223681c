//! `config.json`, `auth.json`, `.dockercfg`: one format with three names.
//!
//! Source: docker/cli `config/configfile/file.go`, containers-auth.json(5). Keys may be a host or a path below it, the
//! most specific wins. Where to read next: `mod.rs` for the order of the files.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use serde::Deserialize;

use super::{Identity, Secret, normalize_key};
use crate::{Error, Result};

/// What a file knows.
#[derive(Debug)]
pub(crate) struct AuthFile {
    path: PathBuf,
    auths: BTreeMap<String, Entry>,
    programs: BTreeMap<String, String>,
    program_for_all: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    identitytoken: Option<String>,
    #[serde(default)]
    registrytoken: Option<String>,
}

/// What a file says about a repository.
#[derive(Debug)]
pub(crate) enum Found {
    /// This identity.
    Identity(Identity),
    /// Ask a program.
    Program {
        /// Its name behind `docker-credential-`.
        suffix: String,
        /// It is configured for this very registry, so it is an error if it is missing.
        required: bool,
        /// What the file itself holds, should the program know nothing.
        fallback: Option<Identity>,
    },
}

impl AuthFile {
    /// Reads a file; `None` if there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            // A directory on the way that is a file is no configuration either.
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(e) => return Err(Error::File { path: path.to_owned(), reason: e.to_string() }),
        };
        match Self::parse(&bytes, path) {
            Ok(file) => Ok(Some(file)),
            Err(reason) => Err(Error::File { path: path.to_owned(), reason }),
        }
    }

    /// Reads JSON; `path` is for errors and descriptions.
    pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Document {
            #[serde(default)]
            auths: Option<BTreeMap<String, Entry>>,
            #[serde(default, rename = "credHelpers")]
            programs: Option<BTreeMap<String, String>>,
            #[serde(default, rename = "credsStore")]
            program_for_all: Option<String>,
        }
        // An empty file is what `touch` and mounts of missing secrets leave behind.
        let bytes = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { bytes };
        let document: Document = if path.ends_with(".dockercfg") {
            let auths = serde_json::from_slice(bytes).map_err(|e| json_error(&e))?;
            Document { auths: Some(auths), programs: None, program_for_all: None }
        } else {
            serde_json::from_slice(bytes).map_err(|e| json_error(&e))?
        };
        let normalized = |(key, value): (String, String)| (normalize_key(&key), value);
        Ok(Self {
            path: path.to_owned(),
            auths: document
                .auths
                .unwrap_or_default()
                .into_iter()
                .map(|(k, v)| (normalize_key(&k), v))
                .collect(),
            programs: document.programs.unwrap_or_default().into_iter().map(normalized).collect(),
            program_for_all: document.program_for_all.filter(|p| !p.is_empty()),
        })
    }

    /// What is said about `repository` at `host`: the program for the host, the program for all, or an entry.
    pub(crate) fn find(&self, host: &str, repository: &str) -> Result<Option<Found>> {
        let identity = self.entry(host, repository)?;
        if let Some(suffix) = self.programs.get(&host.to_ascii_lowercase()) {
            // An empty suffix switches the program for all off, for this host.
            if !suffix.is_empty() {
                return Ok(Some(Found::Program {
                    suffix: suffix.clone(),
                    required: true,
                    fallback: identity,
                }));
            }
        } else if let Some(suffix) = &self.program_for_all {
            return Ok(Some(Found::Program { suffix: suffix.clone(), required: false, fallback: identity }));
        }
        Ok(identity.map(Found::Identity))
    }

    /// The program that logins for `host` go to.
    pub(crate) fn program_for(&self, host: &str) -> Option<&str> {
        let own = self.programs.get(&host.to_ascii_lowercase());
        own.or(self.program_for_all.as_ref()).map(String::as_str).filter(|suffix| !suffix.is_empty())
    }

    /// The most specific entry with something in it.
    fn entry(&self, host: &str, repository: &str) -> Result<Option<Identity>> {
        let mut name = format!("{}/{repository}", host.to_ascii_lowercase());
        loop {
            if let Some(entry) = self.auths.get(name.trim_end_matches('/')) {
                let identity = self.identity(entry).map_err(|reason| Error::File {
                    path: self.path.clone(),
                    reason: format!("auths.{}: {reason}", name.trim_end_matches('/')),
                })?;
                if identity.is_some() {
                    return Ok(identity);
                }
            }
            match name.rfind('/') {
                Some(end) => name.truncate(end),
                None => return Ok(None),
            }
        }
    }

    fn identity(&self, entry: &Entry) -> Result<Option<Identity>, &'static str> {
        let origin = self.path.display().to_string();
        let set = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
        let (user, password) = match set(&entry.auth) {
            Some(auth) => decode(&auth)?,
            None => (set(&entry.username).unwrap_or_default(), set(&entry.password).unwrap_or_default()),
        };
        if let Some(token) = set(&entry.registrytoken) {
            return Ok(Some(Identity { user, origin, secret: Secret::RegistryToken(token) }));
        }
        if let Some(token) = set(&entry.identitytoken) {
            return Ok(Some(Identity {
                user: "<token>".to_owned(),
                origin,
                secret: Secret::IdentityToken(token),
            }));
        }
        if user.is_empty() && password.is_empty() {
            return Ok(None);
        }
        Ok(Some(Identity::with_password(&user, &password, &origin)))
    }
}

/// Where JSON is wrong. serde's own text may repeat the value that it did not like, which may be a secret.
pub(super) fn json_error(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Data => "a value of the wrong kind",
        _ => "not JSON",
    };
    format!("{what}, line {} column {}", error.line(), error.column())
}

/// `user:password` from its base64 form. The password may contain colons; trailing NULs are Windows' (docker/cli).
fn decode(auth: &str) -> Result<(String, String), &'static str> {
    let unpadded = auth.trim().trim_end_matches('=');
    let bytes = base64::engine::general_purpose::STANDARD_NO_PAD
        .decode(unpadded)
        .map_err(|_| "the value of \"auth\" is not base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "the value of \"auth\" is not text")?;
    let (user, password) = text.split_once(':').ok_or("the value of \"auth\" is not user:password")?;
    Ok((user.to_owned(), password.trim_end_matches('\0').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> AuthFile {
        AuthFile::parse(text.as_bytes(), Path::new("config.json")).unwrap()
    }

    fn identity(file: &AuthFile, host: &str, repository: &str) -> Option<Identity> {
        match file.find(host, repository).unwrap() {
            Some(Found::Identity(identity)) => Some(identity),
            _ => None,
        }
    }

    #[test]
    fn the_most_specific_key_wins() {
        let file = parse(
            r#"{"auths":{
                "https://index.docker.io/v1/": {"auth": "aHViOnA="},
                "r.example": {"auth": "aG9zdDpw"},
                "r.example/team": {"auth": "dGVhbTpw"},
                "r.example/team/app": {},
                "r.example/team/other": {"auth": "b3RoZXI6cA=="}
            }}"#,
        );
        let user = |host: &str, repository: &str| identity(&file, host, repository).map(|i| i.user);
        assert_eq!(user("docker.io", "library/golang").as_deref(), Some("hub"));
        assert_eq!(user("r.example", "team/other").as_deref(), Some("other"));
        assert_eq!(user("r.example", "team/app").as_deref(), Some("team"));
        assert_eq!(user("r.example", "teamwork/app").as_deref(), Some("host"));
        assert_eq!(user("R.example", "").as_deref(), Some("host"));
        assert_eq!(user("s.example", "team/app"), None);
    }

    #[test]
    fn all_kinds_of_secrets() {
        let file = parse(
            r#"{"auths":{
                "a": {"auth": "dTpwOnEAAA=="},
                "b": {"username": "u", "password": "p"},
                "c": {"auth": "dTpw", "identitytoken": "it"},
                "d": {"registrytoken": "rt"},
                "e": {"auth": "PHRva2VuPjppdA"}
            }, "HttpHeaders": {"X": "y"}}"#,
        );
        let secret = |host: &str| identity(&file, host, "x").unwrap().secret;
        assert!(secret("a") == Secret::Password("p:q".into()));
        assert!(secret("b") == Secret::Password("p".into()));
        assert!(secret("c") == Secret::IdentityToken("it".into()));
        assert!(secret("d") == Secret::RegistryToken("rt".into()));
        assert!(secret("e") == Secret::IdentityToken("it".into()));
    }

    #[test]
    fn programs_come_before_entries() {
        let file = parse(
            r#"{"auths":{"a":{"auth":"dTpw"},"off":{"auth":"dTpw"}},"credHelpers":{"b":"ecr","off":""},"credsStore":"desktop"}"#,
        );
        let shown = |host: &str| match file.find(host, "x").unwrap() {
            Some(Found::Program { suffix, required, fallback }) => {
                format!("{suffix} {required} {}", fallback.is_some())
            }
            Some(Found::Identity(_)) => "entry".to_owned(),
            None => "none".to_owned(),
        };
        assert_eq!(shown("a"), "desktop false true");
        assert_eq!(shown("b"), "ecr true false");
        assert_eq!(shown("off"), "entry");
        assert_eq!((file.program_for("b"), file.program_for("off")), (Some("ecr"), None));
    }

    #[test]
    fn errors_name_the_entry_and_not_the_secret() {
        let file = parse(r#"{"auths":{"a":{"auth":"c2VjcmV0"}}}"#);
        let error = file.find("a", "x").unwrap_err().to_string();
        assert_eq!(error, "config.json: auths.a: the value of \"auth\" is not user:password");
        assert!(AuthFile::parse(b" \n", Path::new("x")).unwrap().find("a", "b").unwrap().is_none());
        let old = AuthFile::parse(br#"{"a":{"auth":"dTpw","email":"x"}}"#, Path::new("/home/u/.dockercfg"))
            .unwrap();
        assert_eq!(identity(&old, "a", "b").unwrap().user, "u");
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_not_repeated() {
        let error = AuthFile::parse(br#"{"auths":{"a":"hunter2"}}"#, Path::new("x")).unwrap_err();
        assert_eq!(error, "a value of the wrong kind, line 1 column 23");
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(file) = AuthFile::parse(&bytes, Path::new("x")) {
                let _ = file.find("a", "b/c");
            }
        }
    }
}
