//! `proxies` in Docker's `config.json`: whoever has them there expects them in every RUN, as docker's client passes them
//! on. Credentials are read from the same file by crate `registry`.
//!
//! Source: docker/cli `cli/config/configfile/file.go` (`ParseProxyConfig`). The entry is `default`: we talk to no daemon.

use std::path::PathBuf;

use serde_json::Value;

use crate::failure::Failure;

/// Names of build arguments and of the fields that give them.
const PROXIES: [(&str, &str); 5] = [
    ("HTTP_PROXY", "httpProxy"),
    ("HTTPS_PROXY", "httpsProxy"),
    ("NO_PROXY", "noProxy"),
    ("FTP_PROXY", "ftpProxy"),
    ("ALL_PROXY", "allProxy"),
];

/// Adds the user's proxies to build arguments that do not say otherwise.
pub(crate) fn with_proxies(arguments: Vec<(String, String)>) -> Result<Vec<(String, String)>, Failure> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = folder("DOCKER_CONFIG").or_else(|| Some(folder("HOME")?.join(".docker")));
    let Some(file) = folder.map(|folder| folder.join("config.json")) else { return Ok(arguments) };
    // Who has none has no proxies; one that cannot be read is a matter for whoever needs its credentials.
    let Ok(text) = std::fs::read(&file) else { return Ok(arguments) };
    let config: Value = serde_json::from_slice(&text)
        .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    Ok(added(&config, arguments))
}

fn added(config: &Value, mut arguments: Vec<(String, String)>) -> Vec<(String, String)> {
    for (name, field) in PROXIES {
        let value = config["proxies"]["default"][field].as_str().unwrap_or_default();
        // Steps get both cases of what is given in one of them.
        let is_given = arguments.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        if !value.is_empty() && !is_given {
            arguments.push((name.to_owned(), value.to_owned()));
            arguments.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_cases_are_added_unless_one_was_given() {
        let config = json!({"proxies": {
            "default": {"httpProxy": "http://p:1", "noProxy": "local", "ftpProxy": ""},
            "tcp://other": {"httpsProxy": "http://q:1"},
        }});
        let given = vec![("no_proxy".to_owned(), String::new())];
        let names = [("no_proxy", ""), ("HTTP_PROXY", "http://p:1"), ("http_proxy", "http://p:1")];
        let expected: Vec<_> = names.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(added(&config, given), expected);
        assert_eq!(added(&json!({"proxies": []}), Vec::new()), []);
    }
}
