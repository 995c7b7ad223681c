//! The one error type of this crate: what failed, where, and in the registry's own words.
//!
//! Callers decide on [`Error::kind`]; people read the text. No variant ever holds a token or a password.
//! Where errors are made: [`crate::transport`] for everything that went over the wire.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jettison_oci::Digest;

/// Longest text of a registry that an error repeats, bytes. Some registries answer with whole HTML pages.
const WORDS_LEN_MAX: usize = 500;

/// What went wrong between us and a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The registry answered with an error status.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// No answer: name not found, no route, refused, reset, timed out.
    #[error("cannot reach {host}: {reason}")]
    Unreachable {
        /// Host (and port) that we talked to.
        host: String,
        /// What the operating system or the HTTP layer said.
        reason: String,
        /// Whether this kind of failure tends to pass by itself (a reset does, an unknown name does not).
        transient: bool,
    },
    /// The TLS handshake failed: certificate unknown, expired, or for another name.
    #[error("cannot trust {host}: {reason}")]
    Certificate {
        /// Host (and port) that we talked to.
        host: String,
        /// What the TLS layer said.
        reason: String,
    },
    /// Content that is not what its digest says.
    #[error("{host} sent content for {expected} that has the digest {actual}")]
    DigestMismatch {
        /// Host that sent it.
        host: String,
        /// What was asked for.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// Content of another length than its descriptor says.
    #[error("{host} sent {actual} bytes for {digest}, expected {expected}")]
    SizeMismatch {
        /// Host that sent it.
        host: String,
        /// What was asked for.
        digest: Digest,
        /// Bytes expected.
        expected: u64,
        /// Bytes that came, or at least that many.
        actual: u64,
    },
    /// A manifest or token larger than we are ready to hold in memory.
    #[error("{what} from {host} is larger than {limit} bytes")]
    TooLarge {
        /// Host that sent it.
        host: String,
        /// What it was.
        what: &'static str,
        /// The cap, bytes.
        limit: u64,
    },
    /// An answer that breaks the protocol.
    #[error("{host} gave an answer that makes no sense: {what}")]
    InvalidResponse {
        /// Host that sent it.
        host: String,
        /// What is wrong with it.
        what: String,
    },
    /// An address that the registry named and that we will not visit.
    #[error("{host} points to {address}, which is not followed: {reason}")]
    UnsafeAddress {
        /// Host that named it.
        host: String,
        /// Scheme and host of the address.
        address: String,
        /// Why not.
        reason: &'static str,
    },
    /// An address that cannot be one.
    #[error("the address cannot be used: {reason}")]
    InvalidAddress {
        /// Why not.
        reason: &'static str,
    },
    /// `registries.conf` forbids this registry.
    #[error("{name} is blocked by registries.conf")]
    Blocked {
        /// Host and repository.
        name: String,
    },
    /// A credential program could not be used.
    #[error("credential helper {program} failed for {server}: {reason}")]
    CredentialProgram {
        /// Name of the program.
        program: String,
        /// The server that it was asked about.
        server: String,
        /// What happened.
        reason: String,
    },
    /// A configuration file that cannot be read or understood.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The environment holds a setting that cannot be understood.
    #[error("{variable}: {reason}")]
    Environment {
        /// The variable.
        variable: &'static str,
        /// What is wrong with its value (never the value itself).
        reason: String,
    },
    /// Our own side could not write what came.
    #[error("cannot write what was downloaded: {0}")]
    Output(#[source] io::Error),
    /// Our own side could not read what was to be sent.
    #[error("cannot read what was to be uploaded: {0}")]
    Input(#[source] io::Error),
    /// The caller asked to stop.
    #[error("canceled")]
    Canceled,
}

/// An answer with an error status.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Host that answered.
    pub host: String,
    /// Repository, or empty where the request was not about one.
    pub repository: String,
    /// What we were doing: `get the manifest 1.11`, `upload the blob sha256:…`.
    pub action: String,
    /// HTTP status.
    pub status: u16,
    /// What the registry said, code and message each.
    pub messages: Vec<Message>,
    /// How long it asked us to wait.
    pub retry_after: Option<Duration>,
    /// Whom we said we are: `anonymous`, or a user name with the place that it came from.
    pub identity: String,
}

/// One entry of a registry's error document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Code of the distribution specification, such as `MANIFEST_UNKNOWN`; empty for plain text.
    pub code: String,
    /// The registry's words.
    pub text: String,
}

/// Classes of errors that callers treat differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The registry wants other credentials, or some at all (401).
    Unauthorized,
    /// The credentials are known and not enough (403).
    Denied,
    /// No such image, manifest or blob.
    NotFound,
    /// Too many requests (429).
    RateLimited,
    /// Nobody answers.
    Unreachable,
    /// TLS trust.
    Certificate,
    /// The registry has trouble of its own (5xx).
    Unavailable,
    /// The tag exists and must not be changed.
    TagImmutable,
    /// Any other refusal (4xx).
    Refused,
    /// Content is not what its digest or size says.
    DigestMismatch,
    /// The registry breaks the protocol, or names an unsafe address.
    InvalidResponse,
    /// Our configuration: files, environment, credential programs, blocked registries.
    Configuration,
    /// Our own disk.
    Local,
    /// The caller asked to stop.
    Canceled,
}

impl Error {
    /// The class of this error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Refused(refusal) => refusal.kind(),
            Self::Unreachable { .. } => Kind::Unreachable,
            Self::Certificate { .. } => Kind::Certificate,
            Self::DigestMismatch { .. } | Self::SizeMismatch { .. } => Kind::DigestMismatch,
            Self::TooLarge { .. } | Self::InvalidResponse { .. } | Self::UnsafeAddress { .. } => {
                Kind::InvalidResponse
            }
            Self::InvalidAddress { .. }
            | Self::Blocked { .. }
            | Self::CredentialProgram { .. }
            | Self::File { .. }
            | Self::Environment { .. } => Kind::Configuration,
            Self::Output(_) | Self::Input(_) => Kind::Local,
            Self::Canceled => Kind::Canceled,
        }
    }

    /// The host that the error is about, if it is about one.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.host),
            Self::Unreachable { host, .. }
            | Self::Certificate { host, .. }
            | Self::DigestMismatch { host, .. }
            | Self::SizeMismatch { host, .. }
            | Self::TooLarge { host, .. }
            | Self::InvalidResponse { host, .. }
            | Self::UnsafeAddress { host, .. } => Some(host),
            _ => None,
        }
    }

    /// The HTTP status, if a registry answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            _ => None,
        }
    }
}

impl Refusal {
    fn kind(&self) -> Kind {
        let has = |code: &str| self.messages.iter().any(|m| m.code == code);
        match self.status {
            401 => Kind::Unauthorized,
            429 => Kind::RateLimited,
            _ if has("TOOMANYREQUESTS") => Kind::RateLimited,
            _ if has("TAG_INVALID") && self.says("immutable") => Kind::TagImmutable,
            400 | 403 | 405 | 409 | 412 if self.says("immutable") => Kind::TagImmutable,
            403 if has("UNAUTHORIZED") => Kind::Unauthorized,
            403 => Kind::Denied,
            404 | 410 => Kind::NotFound,
            status if status >= 500 => Kind::Unavailable,
            _ => Kind::Refused,
        }
    }

    fn says(&self, word: &str) -> bool {
        self.messages.iter().any(|m| m.text.to_ascii_lowercase().contains(word))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} refused to {}", self.host, self.action)?;
        if !self.repository.is_empty() {
            write!(f, " of {}", self.repository)?;
        }
        write!(f, " ({}", self.status)?;
        if matches!(self.status, 401 | 403) && !self.identity.is_empty() {
            write!(f, " as {}", self.identity)?;
        }
        f.write_str(")")?;
        for (i, message) in self.messages.iter().enumerate() {
            f.write_str(if i == 0 { ": " } else { "; " })?;
            match (message.code.is_empty(), message.text.is_empty()) {
                (false, false) => write!(f, "{}: {}", message.code, message.text)?,
                (false, true) => f.write_str(&message.code)?,
                (true, _) => f.write_str(&message.text)?,
            }
        }
        Ok(())
    }
}

/// Reads the registry's words from an error body: the specification's JSON, the token servers' JSON, or plain text.
pub(crate) fn messages(body: &[u8]) -> Vec<Message> {
    let field = |value: &serde_json::Value, key: &str| {
        value.get(key).and_then(serde_json::Value::as_str).map(presentable).unwrap_or_default()
    };
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) {
        if let Some(errors) = value.get("errors").and_then(serde_json::Value::as_array) {
            return errors
                .iter()
                .take(10)
                .map(|e| Message { code: field(e, "code"), text: field(e, "message") })
                .filter(|m| !m.code.is_empty() || !m.text.is_empty())
                .collect();
        }
        // Token servers: OAuth2 `error` + `error_description`, Docker Hub's `details`, others' `message`.
        let code = field(&value, "error");
        let text = ["error_description", "details", "message", "detail"]
            .iter()
            .map(|key| field(&value, key))
            .find(|text| !text.is_empty())
            .unwrap_or_default();
        if !code.is_empty() || !text.is_empty() {
            return vec![Message { code, text }];
        }
    }
    let text = String::from_utf8_lossy(body);
    // An HTML page says nothing that the status does not.
    if text.trim().is_empty() || text.trim_start().starts_with('<') {
        return Vec::new();
    }
    vec![Message { code: String::new(), text: presentable(&text) }]
}

/// One line without control characters, cut to a length that fits into an error.
fn presentable(text: &str) -> String {
    let mut out = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()) {
        if out.len() + word.len() >= WORDS_LEN_MAX {
            out.push('…');
            break;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> Error {
        Error::Refused(Box::new(Refusal {
            host: "registry.example".to_owned(),
            repository: "team/app".to_owned(),
            action: "get the manifest 1.0".to_owned(),
            status,
            messages: messages(body.as_bytes()),
            retry_after: None,
            identity: "anonymous".to_owned(),
        }))
    }

    #[test]
    fn keeps_the_words_of_the_registry() {
        let error = refusal(
            404,
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}}]}"#,
        );
        assert_eq!(
            error.to_string(),
            "registry.example refused to get the manifest 1.0 of team/app (404): MANIFEST_UNKNOWN: manifest unknown"
        );
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(refusal(401, "").to_string().contains("(401 as anonymous)"));
    }

    #[test]
    fn understands_token_servers_and_plain_text() {
        assert_eq!(
            messages(br#"{"error":"invalid_grant","error_description":"bad\npassword"}"#),
            [Message { code: "invalid_grant".into(), text: "bad password".into() }]
        );
        assert_eq!(
            messages(br#"{"details":"incorrect username or password"}"#)[0].text,
            "incorrect username or password"
        );
        assert_eq!(messages(b"go away\n")[0].text, "go away");
        assert!(messages(b"<html><body>502</body></html>").is_empty());
        assert!(messages(b"").is_empty());
    }

    #[test]
    fn long_or_hostile_words_are_tamed() {
        let text = presentable(&format!("a\u{1b}[31m {}", "word ".repeat(500)));
        assert!(text.len() <= WORDS_LEN_MAX + 4 && !text.contains('\u{1b}'));
    }

    #[test]
    fn kinds() {
        assert_eq!(refusal(401, "").kind(), Kind::Unauthorized);
        assert_eq!(refusal(403, "").kind(), Kind::Denied);
        assert_eq!(refusal(429, "").kind(), Kind::RateLimited);
        assert_eq!(refusal(503, "").kind(), Kind::Unavailable);
        assert_eq!(refusal(413, "").kind(), Kind::Refused);
        let ecr = r#"{"errors":[{"code":"TAG_INVALID","message":"The image tag 'v1' already exists and cannot be overwritten because the repository is immutable."}]}"#;
        assert_eq!(refusal(400, ecr).kind(), Kind::TagImmutable);
    }
}
