//! Cross-repository mount: a registry that has a blob in one repository gives it to another without a transfer.
//!
//! Source: distribution specification, "Mounting a blob from another repository". The source is looked at first, so
//! that no upload session is left behind by a mount that cannot work (containers/image does the same).

use jettison_oci::Digest;
use ureq::http::Method;

use crate::blob_push::Session;
use crate::client::Site;
use crate::transport::url::encode_component;
use crate::transport::{Payload, Request, Scopes, Target};
use crate::{Client, Error, Result};

/// What became of it.
pub(crate) enum Mount {
    /// The repository has the blob now.
    Done,
    /// The registry would rather have it uploaded, and opened a session.
    Session(Session),
    /// Nothing happened.
    No,
}

impl Client {
    /// Tries to mount `digest` from one of `sources`. Registries without mounts, and sources that we may not read,
    /// are no errors.
    pub(crate) fn mount(&self, site: &Site, digest: &Digest, sources: &[String]) -> Result<Mount> {
        for source in sources.iter().filter(|source| **source != site.repository) {
            match self.mount_from(site, digest, source) {
                Ok(Mount::No) => {}
                Ok(mount) => return Ok(mount),
                Err(Error::Canceled) => return Err(Error::Canceled),
                // Any failure here is only a missed shortcut.
                Err(_) => {}
            }
        }
        Ok(Mount::No)
    }

    fn mount_from(&self, site: &Site, digest: &Digest, source: &str) -> Result<Mount> {
        let scopes = Scopes::push(&site.repository).and(&Scopes::pull(source));
        let look = Request::new(
            Method::HEAD,
            Target::Path(format!("/v2/{source}/blobs/{digest}")),
            &site.repository,
            scopes.clone(),
            format!("look for the blob {digest}"),
        );
        let response = self.transport.send(&site.endpoint, &look)?;
        let there = response.status() == 200;
        response.discard();
        if !there {
            return Ok(Mount::No);
        }
        // Quay does not mount without `from`.
        let query =
            format!("mount={}&from={}", encode_component(&digest.to_string()), encode_component(source));
        let request = Request::new(
            Method::POST,
            Target::Path(format!("/v2/{}/blobs/uploads/?{query}", site.repository)),
            &site.repository,
            scopes,
            format!("mount the blob {digest}"),
        )
        .payload(Payload::Bytes(b""));
        let response = self.transport.send(&site.endpoint, &request)?;
        match response.status() {
            201 => {
                response.discard();
                Ok(Mount::Done)
            }
            202 => {
                let session = self.session(&site.endpoint, &response)?;
                response.discard();
                Ok(Mount::Session(session))
            }
            _ => Err(response.into_error()),
        }
    }
}
