//! Image references: `[host/]repository[:tag][@digest]`, normalised as Docker does it.
//!
//! Source: distribution `reference/reference.go` (grammar, limits) and `normalize.go` (docker.io, library/, latest).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Digest;

/// The registry meant when a reference names none.
pub const DOCKER_HUB: &str = "docker.io";
/// Longest repository name, host included (distribution `NameTotalLengthMax`).
const NAME_LEN_MAX: usize = 255;
/// Longest tag (distribution grammar: one word character and up to 127 more).
const TAG_LEN_MAX: usize = 128;

/// A normalised image reference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not a reference.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid reference {text:?}: {reason}")]
pub struct InvalidReference {
    /// The text as given (shortened).
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Reference {
    /// The registry's host, with its port if one was given: `docker.io`, `localhost:5000`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository on that registry: `library/golang`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if one was given or defaulted. A reference by digest alone has none.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was given.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What to ask a registry for: the digest if there is one, else the tag. A digest wins over a tag.
    pub fn identifier(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// `host/repository`, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// The same repository at `digest`, without a tag.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The same repository at `tag`, without a digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, InvalidReference> {
        check_tag(tag)?;
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The form that people type: `golang:1.11` for `docker.io/library/golang:1.11`.
    pub fn familiar(&self) -> String {
        let mut name = if self.host == DOCKER_HUB {
            self.repository.strip_prefix("library/").unwrap_or(&self.repository).to_owned()
        } else {
            self.name()
        };
        if let Some(tag) = &self.tag {
            name.push(':');
            name.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            name.push('@');
            name.push_str(&digest.to_string());
        }
        name
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let fail = |reason| InvalidReference { text: text.chars().take(200).collect(), reason };
        if text.is_empty() {
            return Err(fail("it is empty"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(digest.parse::<Digest>().map_err(|_| fail("the part behind @ is not a digest"))?))
            }
            None => (text, None),
        };
        let last_component = rest.rfind('/').map_or(0, |i| i + 1);
        let (name, tag) = match rest[last_component..].rfind(':') {
            Some(i) => (&rest[..last_component + i], Some(&rest[last_component + i + 1..])),
            None => (rest, None),
        };
        if let Some(tag) = tag {
            check_tag(tag).map_err(|e| fail(e.reason))?;
        }
        let (host, repository) = split_host(name);
        let repository = if host == DOCKER_HUB && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository.to_owned()
        };
        check_host(&host).map_err(fail)?;
        check_repository(&repository).map_err(fail)?;
        if host.len() + 1 + repository.len() > NAME_LEN_MAX {
            return Err(fail("the name is longer than 255 characters"));
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some("latest".to_owned()),
        };
        Ok(Self { host, repository, tag, digest })
    }
}

/// The first component is a host if it has a dot or a colon, is `localhost`, or has upper-case letters.
fn split_host(name: &str) -> (String, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            let host = if first == "index.docker.io" { DOCKER_HUB } else { first };
            (host.to_owned(), rest)
        }
        _ => (DOCKER_HUB.to_owned(), name),
    }
}

fn check_host(host: &str) -> Result<(), &'static str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or("the host has no closing bracket")?;
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return Err("the host in brackets is not an IPv6 address");
            }
            ("v6", after.strip_prefix(':'))
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let valid_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if !name.split('.').all(valid_label) {
        return Err("the registry host is not a host name");
    }
    match port {
        Some(port) if port.parse::<u16>().is_err() => Err("the registry port is not a number"),
        _ => Ok(()),
    }
}

fn check_repository(repository: &str) -> Result<(), &'static str> {
    if repository.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("the repository name must be lower case");
    }
    if repository.split('/').all(is_path_component) {
        Ok(())
    } else {
        Err("the repository name has a character or separator that is not allowed")
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_path_component(component: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !is_word(*first) || !is_word(*last) {
        return false;
    }
    component
        .split(|c: char| c.is_ascii() && is_word(c as u8))
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

fn check_tag(tag: &str) -> Result<(), InvalidReference> {
    let mut bytes = tag.bytes();
    let valid = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        && tag.len() <= TAG_LEN_MAX;
    if valid {
        Ok(())
    } else {
        Err(InvalidReference { text: tag.chars().take(200).collect(), reason: "the tag is not valid" })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        text.parse::<Reference>().map_or_else(|e| format!("error: {}", e.reason), |r| r.to_string())
    }

    #[test]
    fn normalises_as_docker_does() {
        let digest = Digest::sha256(b"");
        for (text, want) in [
            ("golang", "docker.io/library/golang:latest"),
            ("golang:1.11", "docker.io/library/golang:1.11"),
            ("user/app", "docker.io/user/app:latest"),
            ("index.docker.io/golang", "docker.io/library/golang:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/app:v1", "localhost:5000/app:v1"),
            ("quay.io/a/b/c", "quay.io/a/b/c:latest"),
            ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ] {
            assert_eq!(canonical(text), want, "{text}");
        }
        assert_eq!(canonical(&format!("app@{digest}")), format!("docker.io/library/app@{digest}"));
        assert_eq!(canonical(&format!("app:v1@{digest}")), format!("docker.io/library/app:v1@{digest}"));
    }

    #[test]
    fn refuses_with_a_reason() {
        for text in [
            "",
            "UPPER",
            "a//b",
            "a/",
            "-a",
            "a:",
            "a:.x",
            "a@sha256:12",
            "a b",
            "a..b",
            "a.-b",
            "ho st.io/a",
        ] {
            assert!(canonical(text).starts_with("error: "), "{text} gave {}", canonical(text));
        }
    }

    #[test]
    fn familiar_form_round_trips() {
        for text in ["golang:1.11", "user/app:latest", "localhost:5000/app:v1"] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.familiar(), text);
            assert_eq!(reference.familiar().parse::<Reference>().unwrap(), reference);
        }
    }
}
