//! What can go wrong with a layer or tree.

use std::io;

/// Everything that can go wrong. Paths are those inside the layer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused.
    #[error("cannot {action} {path:?}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which path.
        path: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The tar stream cannot be read.
    #[error("the tar stream is damaged: {0}")]
    Damaged(String),
    /// The stream could not be read at all (network, disk, decompression).
    #[error("cannot read the layer: {0}")]
    Read(#[source] io::Error),
    /// The stream could not be written.
    #[error("cannot write the layer: {0}")]
    Write(#[source] io::Error),
    /// The layer says something that no layer may say.
    #[error("{path:?}: {reason}")]
    Invalid {
        /// The entry at fault.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file whose name would remove another wherever the layer is unpacked (OCI image spec, `layer.md`, "Whiteouts").
    #[error("{path:?} cannot be in a layer: a name with .wh. at its beginning removes another there")]
    Marker {
        /// The file.
        path: String,
    },
    /// A file is not any more what it was when its digest was taken.
    #[error("{path:?} changed while it was read")]
    Changed {
        /// The file.
        path: String,
    },
    /// A limit was reached.
    #[error("the layer has more than {limit} {what}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: u64,
    },
}

impl Error {
    pub(crate) fn io<E: Into<std::io::Error>>(action: &'static str, path: &[u8]) -> impl FnOnce(E) -> Self {
        let path = shown(path);
        move |source| Self::Io { action, path, source: source.into() }
    }

    pub(crate) fn changed(path: &[u8]) -> Self {
        Self::Changed { path: String::from_utf8_lossy(path).into_owned() }
    }

    pub(crate) fn invalid(path: &[u8], reason: &'static str) -> Self {
        Self::Invalid { path: shown(path), reason }
    }
}

/// A path below some root for a message; the root itself is the empty path, which would tell nobody anything.
pub(crate) fn shown(path: &[u8]) -> String {
    if path.is_empty() { ".".to_owned() } else { String::from_utf8_lossy(path).into_owned() }
}
