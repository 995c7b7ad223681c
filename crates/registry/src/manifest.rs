//! Manifests and indexes: fetch, look, put. Always verified against the digest that was asked for.
//!
//! `Docker-Content-Digest` is not trusted where the content is at hand: several registries get it wrong (kaniko#298).

use std::io::Read;

use jettison_oci::{Descriptor, Digest, Reference, media_type};
use ureq::http::Method;

use crate::client::Site;
use crate::transport::{Payload, Request, Response, Scopes, Target, backoff, is_transient};
use crate::{Client, Error, Fetched, Result};

/// Largest manifest or index, bytes. The distribution specification asks registries to take 4 MiB.
const MANIFEST_LEN_MAX: u64 = 16 * 1024 * 1024;
/// How often a manifest is fetched whose body breaks off.
const BODY_TRIES: u32 = 3;

impl Client {
    /// The manifest or index that `reference` names, from a mirror or the registry itself.
    ///
    /// A digest in the reference is verified; without one the descriptor's digest is computed from the bytes.
    pub fn manifest(&self, reference: &Reference) -> Result<Fetched> {
        let found = self.ask_places(reference, |site| self.manifest_at(site, reference).map(Some))?;
        Ok(found.expect("places answer with a manifest or an error"))
    }

    /// What `reference` means now, without fetching it; `None` if there is no such manifest.
    ///
    /// The digest is the registry's word (`Docker-Content-Digest`), good enough to see that a tag has not moved.
    pub fn head_manifest(&self, reference: &Reference) -> Result<Option<Descriptor>> {
        self.ask_places(reference, |site| self.head_manifest_at(site, reference))
    }

    /// Puts a manifest or index under the tag of `reference`, or under its digest if it has no tag.
    pub fn push_manifest(&self, reference: &Reference, media_type: &str, bytes: &[u8]) -> Result<Digest> {
        let site = self.push_site(reference);
        let digest = Digest::sha256(bytes);
        if let Some(expected) =
            reference.digest().filter(|d| d.algorithm() == digest.algorithm() && **d != digest)
        {
            let host = site.endpoint.host().to_owned();
            return Err(Error::DigestMismatch { host, expected: expected.clone(), actual: digest });
        }
        let identifier = reference.tag().map_or_else(|| digest.to_string(), str::to_owned);
        let request = Request::new(
            Method::PUT,
            path(&site, &identifier),
            &site.repository,
            Scopes::push(&site.repository),
            format!("take the manifest {identifier}"),
        )
        .header("Content-Type", media_type)
        .payload(Payload::Bytes(bytes));
        self.transport.send(&site.endpoint, &request)?.expect(&[200, 201, 202, 204])?.discard();
        Ok(digest)
    }

    fn manifest_at(&self, site: &Site, reference: &Reference) -> Result<Fetched> {
        let mut tried = 0;
        loop {
            tried += 1;
            let request = request(Method::GET, site, reference);
            let response = self.transport.send(&site.endpoint, &request)?.expect(&[200])?;
            match self.read_manifest(response, site, reference) {
                Err(error) if is_transient(&error) && tried < BODY_TRIES => {
                    self.transport.wait(backoff(tried))?;
                }
                result => return result,
            }
        }
    }

    fn read_manifest(&self, response: Response, site: &Site, reference: &Reference) -> Result<Fetched> {
        let host = site.endpoint.host().to_owned();
        let too_large =
            || Error::TooLarge { host: host.clone(), what: "the manifest", limit: MANIFEST_LEN_MAX };
        if content_length(&response).is_some_and(|len| len > MANIFEST_LEN_MAX) {
            return Err(too_large());
        }
        let content_type = content_type(&response);
        let url = response.url().clone();
        let mut bytes = Vec::new();
        let read = response.into_body().take(MANIFEST_LEN_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|e| self.transport.body_error(&url, &e))?;
        if bytes.len() as u64 > MANIFEST_LEN_MAX {
            return Err(too_large());
        }
        let digest = match reference.digest() {
            None => Digest::sha256(&bytes),
            Some(expected) => {
                let mut hasher = expected.hasher();
                hasher.update(&bytes);
                let actual = hasher.finish();
                if actual != *expected {
                    return Err(Error::DigestMismatch { host, expected: expected.clone(), actual });
                }
                actual
            }
        };
        let media_type = declared_type(&bytes).unwrap_or(content_type);
        let descriptor = Descriptor::new(media_type, digest, bytes.len() as u64);
        Ok(Fetched { descriptor, bytes, source: host })
    }

    fn head_manifest_at(&self, site: &Site, reference: &Reference) -> Result<Option<Descriptor>> {
        let response = self.transport.send(&site.endpoint, &request(Method::HEAD, site, reference))?;
        match response.status() {
            200 => {}
            404 => return Ok(None),
            // Without HEAD the document itself must say.
            400 | 405 | 501 => {
                response.discard();
                return self.get_instead(site, reference);
            }
            _ => return Err(response.into_error()),
        }
        let claimed = response.header("docker-content-digest").and_then(|text| text.parse().ok());
        let digest = reference.digest().cloned().or(claimed);
        let media_type = content_type(&response);
        let is_known = media_type::is_manifest(&media_type) || media_type::is_index(&media_type);
        match (digest, content_length(&response)) {
            (Some(digest), Some(size)) if is_known => Ok(Some(Descriptor::new(media_type, digest, size))),
            _ => self.get_instead(site, reference),
        }
    }

    fn get_instead(&self, site: &Site, reference: &Reference) -> Result<Option<Descriptor>> {
        match self.manifest_at(site, reference) {
            Ok(fetched) => Ok(Some(fetched.descriptor)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn path(site: &Site, identifier: &str) -> Target {
    Target::Path(format!("/v2/{}/manifests/{identifier}", site.repository))
}

fn request<'a>(method: Method, site: &'a Site, reference: &Reference) -> Request<'a> {
    let accept = [
        media_type::OCI_INDEX,
        media_type::OCI_MANIFEST,
        media_type::DOCKER_INDEX,
        media_type::DOCKER_MANIFEST,
    ];
    let identifier = reference.identifier();
    Request::new(
        method,
        path(site, &identifier),
        &site.repository,
        Scopes::pull(&site.repository),
        format!("give the manifest {identifier}"),
    )
    .header("Accept", accept.join(", "))
}

fn content_type(response: &Response) -> String {
    let value = response.header("content-type").unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn content_length(response: &Response) -> Option<u64> {
    response.header("content-length")?.trim().parse().ok()
}

/// `mediaType` in the document, which wins over the header.
fn declared_type(bytes: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Document {
        media_type: Option<String>,
    }
    serde_json::from_slice::<Document>(bytes).ok()?.media_type.filter(|t| !t.is_empty())
}
