//! What `login` and `logout` write: the program that is configured for the host, else `config.json`.
//!
//! The file is replaced in one step, keeps every key that we do not know, and is readable by its owner alone. A
//! symbolic link to it stays one. Where to read next: `auth_file.rs` for the format.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use serde_json::{Map, Value, json};

use super::auth_file::{AuthFile, json_error};
use super::{normalize_key, program, server_name};
use crate::transport::Cancel;
use crate::{Error, Result};

/// Stores credentials for `host`; returns where, for people.
pub(crate) fn save(config: &Path, host: &str, user: &str, password: &str, cancel: &Cancel) -> Result<String> {
    let server = server_name(host);
    let file = AuthFile::read(config)?;
    let entry = if let Some(suffix) = file.as_ref().and_then(|file| file.program_for(host)) {
        program::store(suffix, &server, user, password, cancel).map_err(|f| f.into_error(suffix, &server))?;
        // An empty object means "ask the program".
        (json!({}), program::name(suffix))
    } else {
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        (json!({ "auth": auth }), config.display().to_string())
    };
    let (entry, place) = entry;
    edit(config, |auths| {
        auths.retain(|key, _| normalize_key(key) != normalize_key(host));
        auths.insert(server, entry);
        true
    })?;
    Ok(place)
}

/// Forgets the credentials for `host`; returns whether there were any.
pub(crate) fn erase(config: &Path, host: &str, cancel: &Cancel) -> Result<bool> {
    let Some(file) = AuthFile::read(config)? else { return Ok(false) };
    let server = server_name(host);
    let mut erased = false;
    if let Some(suffix) = file.program_for(host) {
        let known = program::get(suffix, &server, cancel).map_err(|f| f.into_error(suffix, &server))?;
        erased = known.is_some();
        program::erase(suffix, &server, cancel).map_err(|f| f.into_error(suffix, &server))?;
    }
    edit(config, |auths| {
        let before = auths.len();
        auths.retain(|key, _| normalize_key(key) != normalize_key(host));
        erased |= auths.len() < before;
        auths.len() < before
    })?;
    Ok(erased)
}

/// Changes `auths` in the file and writes it back if `change` says so.
fn edit(config: &Path, change: impl FnOnce(&mut Map<String, Value>) -> bool) -> Result<()> {
    let fail = |reason: String| Error::File { path: config.to_owned(), reason };
    let bytes = match fs::read(config) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(fail(e.to_string())),
    };
    let mut document: Value = if bytes.iter().all(u8::is_ascii_whitespace) {
        json!({})
    } else {
        serde_json::from_slice(&bytes).map_err(|e| fail(json_error(&e)))?
    };
    let top = document.as_object_mut().ok_or_else(|| fail("not a JSON object".to_owned()))?;
    let auths = top.entry("auths").or_insert_with(|| json!({}));
    if auths.is_null() {
        *auths = json!({});
    }
    let auths = auths.as_object_mut().ok_or_else(|| fail("\"auths\" is not an object".to_owned()))?;
    if !change(auths) {
        return Ok(());
    }
    write_atomically(config, &document).map_err(|e| fail(e.to_string()))
}

/// Tabs, as docker writes it; temporary file beside the real one, mode 0600, synced, renamed.
fn write_atomically(config: &Path, document: &Value) -> io::Result<()> {
    // Follow a link to where the file really is, so that the link survives.
    let target = fs::canonicalize(config).unwrap_or_else(|_| config.to_owned());
    let dir = target.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    serde::Serialize::serialize(document, &mut serde_json::Serializer::with_formatter(&mut text, formatter))?;
    text.push(b'\n');
    let temporary = temporary_name(&target);
    let result = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&temporary, &target)
    })();
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn temporary_name(target: &Path) -> PathBuf {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(std::process::id());
    target.with_file_name(format!(".config.json.{random:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    fn never() -> Cancel {
        Arc::new(|| false)
    }

    #[test]
    fn login_and_logout_keep_what_they_do_not_know() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join(".docker/config.json");
        save(&config, "r.example:5000", "bob", "se:cret", &never()).unwrap();
        assert_eq!(fs::metadata(&config).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(config.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);

        fs::write(
            &config,
            r#"{"auths":{"index.docker.io":{"auth":"eDp5"}},"detachKeys":"ctrl-x","n":{"a":[1]}}"#,
        )
        .unwrap();
        save(&config, "docker.io", "bob", "se:cret", &never()).unwrap();
        let text = fs::read_to_string(&config).unwrap();
        insta::assert_snapshot!(text, @r#"
        {
        	"auths": {
        		"https://index.docker.io/v1/": {
        			"auth": "Ym9iOnNlOmNyZXQ="
        		}
        	},
        	"detachKeys": "ctrl-x",
        	"n": {
        		"a": [
        			1
        		]
        	}
        }
        "#);
        assert!(erase(&config, "docker.io", &never()).unwrap());
        assert!(!erase(&config, "docker.io", &never()).unwrap());
        assert!(fs::read_to_string(&config).unwrap().contains("detachKeys"));
        // Nothing but the file itself is left in its folder.
        assert_eq!(fs::read_dir(config.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_a_link_and_rubbish_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real.json");
        let config = dir.path().join("config.json");
        fs::write(&real, "{}").unwrap();
        std::os::unix::fs::symlink(&real, &config).unwrap();
        save(&config, "r.example", "u", "p", &never()).unwrap();
        assert!(fs::symlink_metadata(&config).unwrap().is_symlink());
        assert!(fs::read_to_string(&real).unwrap().contains("r.example"));

        fs::write(&real, "[1, 2]").unwrap();
        assert!(save(&config, "r.example", "u", "p", &never()).is_err());
        assert_eq!(fs::read_to_string(&real).unwrap(), "[1, 2]");
        assert!(!erase(&dir.path().join("absent.json"), "r.example", &never()).unwrap());
    }
}
