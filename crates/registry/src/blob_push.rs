//! Blobs on their way out: look, mount, upload; continue an upload that broke.
//!
//! ```text
//! HEAD blob ── 200 ─▶ Exists
//!   └─ mount ── 201 ─▶ Mounted
//!        └─ POST session ─▶ PUT whole ── 201 ─▶ Uploaded
//!                             └─ 413, broken ─▶ GET session ─▶ PATCH chunk … PUT digest
//! ```
//!
//! The whole blob in one PUT works everywhere (ECR and Google have no real chunked upload) until a proxy limits bodies
//! (Cloudflare 100 MB) or time; then chunks work (GHCR: 4 MiB each). Every answer may move the session to another
//! address. Nothing is read into memory: each try opens the file anew. The best implementation to compare with is
//! regclient's `blobPutUploadChunked`.

use std::fs::File;
use std::io;

use jettison_oci::{Descriptor, Reference};
use ureq::http::Method;

use crate::client::{Pushed, Site};
use crate::mount::Mount;
use crate::transport::url::Url;
use crate::transport::{
    Endpoint, FilePart, Payload, Request, Response, Scopes, Target, backoff, is_transient,
};
use crate::{Client, Error, Result};

const MIB: u64 = 1024 * 1024;
/// How the blob is cut, try after try without progress; `None` is the whole in one request.
const MODES: [Option<u64>; 6] = [None, Some(16 * MIB), Some(4 * MIB), None, Some(4 * MIB), Some(MIB)];
/// What takes the place of the whole once a server has said that it is too large.
const CHUNK_AFTER_TOO_LARGE: u64 = 4 * MIB;

/// An upload that the registry has opened.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// Where the next request goes; changes with each answer.
    url: Url,
    /// Shortest chunk that the registry takes, bytes (`OCI-Chunk-Min-Length`).
    chunk_len_min: u64,
}

/// How an upload stands after a failure.
enum Recovered {
    /// The registry has the blob.
    Complete,
    /// The session lives, and the registry has this much, bytes.
    At(u64),
    /// The session is of no use any more.
    Lost,
}

/// A blob that is being sent.
struct Upload<'a> {
    client: &'a Client,
    site: &'a Site,
    descriptor: &'a Descriptor,
    open: &'a dyn Fn() -> io::Result<File>,
    progress: &'a dyn Fn(u64),
}

impl Client {
    /// Makes sure that the repository of `reference` holds a blob: looks, then tries to mount it from each
    /// repository in `mount_from` (of the same registry), then uploads it from the file that `open` gives.
    ///
    /// `open` may be called several times. `progress` is told the absolute number of bytes sent; it may step back.
    pub fn push_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        open: &dyn Fn() -> io::Result<File>,
        mount_from: &[String],
        progress: &dyn Fn(u64),
    ) -> Result<Pushed> {
        let site = self.push_site(reference);
        let upload = Upload { client: self, site: &site, descriptor, open, progress };
        if upload.exists()? {
            return Ok(Pushed::Exists);
        }
        let session = match self.mount(&site, &descriptor.digest, mount_from)? {
            Mount::Done => return Ok(Pushed::Mounted),
            Mount::Session(session) => session,
            Mount::No => upload.start()?,
        };
        upload.run(session)?;
        Ok(Pushed::Uploaded)
    }

    /// The session that an answer speaks of.
    pub(crate) fn session(&self, endpoint: &Endpoint, response: &Response) -> Result<Session> {
        let location =
            response.header("location").ok_or_else(|| response.invalid("an upload without an address"))?;
        let url = self.transport.next_url(endpoint, response.url(), location)?;
        Ok(Session { url, chunk_len_min: chunk_len_min(response).unwrap_or(0) })
    }
}

impl Upload<'_> {
    fn request(&self, method: Method, target: Target, action: &str) -> Request<'_> {
        let action = format!("{action} the blob {}", self.descriptor.digest);
        let repository = &self.site.repository;
        Request::new(method, target, repository, Scopes::push(repository), action)
    }

    fn send(&self, request: &Request<'_>) -> Result<Response> {
        self.client.transport.send(&self.site.endpoint, request)
    }

    /// Whether the repository has the blob. Registries that will not say have not got it.
    fn exists(&self) -> Result<bool> {
        let path = format!("/v2/{}/blobs/{}", self.site.repository, self.descriptor.digest);
        let response = self.send(&self.request(Method::HEAD, Target::Path(path), "look for"))?;
        match response.status() {
            200 => Ok(true),
            401 | 429 | 500.. => Err(response.into_error()),
            _ => Ok(false),
        }
    }

    fn start(&self) -> Result<Session> {
        let path = format!("/v2/{}/blobs/uploads/", self.site.repository);
        let request = self.request(Method::POST, Target::Path(path), "take").payload(Payload::Bytes(b""));
        let response = self.send(&request)?.expect(&[202])?;
        let session = self.client.session(&self.site.endpoint, &response)?;
        response.discard();
        Ok(session)
    }

    /// Sends the blob through `session`, or through others if that one is lost.
    fn run(&self, session: Session) -> Result<()> {
        let mut session = Some(session);
        let (mut mode, mut offset, mut farthest) = (0, 0, 0);
        let mut too_large = false;
        loop {
            let chunk = match MODES[mode] {
                None if too_large => Some(CHUNK_AFTER_TOO_LARGE),
                None if offset > 0 => MODES[1],
                chunk => chunk,
            };
            let error = match self.attempt(&mut session, &mut offset, chunk) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if !may_continue(&error) {
                self.cancel_session(session.as_ref());
                return Err(error);
            }
            too_large |= error.status() == Some(413);
            let reached = match self.recover(&error, session.as_mut())? {
                Recovered::Complete => return Ok(()),
                Recovered::At(reached) if reached <= self.descriptor.size => Some(reached),
                _ => None,
            };
            if let Some(reached) = reached.filter(|reached| *reached > farthest) {
                (offset, farthest) = (reached, reached);
                self.client.transport.wait(backoff(1))?;
                continue;
            }
            mode += 1;
            if mode == MODES.len() {
                self.cancel_session(session.as_ref());
                return Err(error);
            }
            if !matches!(error.status(), Some(404 | 405 | 413 | 416)) {
                self.client.transport.wait(backoff(mode as u32))?;
            }
            offset = reached.unwrap_or(0);
            // The whole cannot go into a session that has a part of it already.
            if reached.is_none() || MODES[mode].is_none() && !too_large {
                self.cancel_session(session.take().as_ref());
                offset = 0;
            }
        }
    }

    /// How things stand after `error`. A registry that cannot be reached now may come back.
    fn recover(&self, error: &Error, session: Option<&mut Session>) -> Result<Recovered> {
        // The answer may have been all that was lost.
        if error.status().is_none() {
            match self.exists() {
                Ok(true) => return Ok(Recovered::Complete),
                Ok(false) => {}
                Err(Error::Unreachable { .. }) => return Ok(Recovered::Lost),
                Err(error) => return Err(error),
            }
        }
        let Some(session) = session else { return Ok(Recovered::Lost) };
        Ok(self.offset_at_server(session)?.map_or(Recovered::Lost, Recovered::At))
    }

    /// Sends what is missing: the whole, or chunk after chunk. `offset` is how much the server has. Opens a session if
    /// there is none.
    fn attempt(&self, session: &mut Option<Session>, offset: &mut u64, chunk: Option<u64>) -> Result<()> {
        let session = match session {
            Some(session) => session,
            None => session.insert(self.start()?),
        };
        let digest = self.descriptor.digest.to_string();
        let size = self.descriptor.size;
        let Some(chunk) = chunk else {
            let url = session.url.clone().with_query("digest", &digest);
            let part = FilePart { open: self.open, offset: 0, len: size, progress: self.progress };
            let payload = if size == 0 { Payload::Bytes(b"") } else { Payload::File(part) };
            return self.finish(url, payload);
        };
        while *offset < size {
            let len = chunk.max(session.chunk_len_min).min(size - *offset);
            let part = FilePart { open: self.open, offset: *offset, len, progress: self.progress };
            let request = self
                .request(Method::PATCH, Target::Url(session.url.clone()), "take a part of")
                .header("Content-Type", "application/octet-stream")
                .header("Content-Range", format!("{}-{}", *offset, *offset + len - 1))
                .payload(Payload::File(part))
                .once();
            // The specification says 202; ECR says 201, others 204 (go-containerregistry#431).
            let response = self.send(&request)?.expect(&[200, 201, 202, 204])?;
            let reached = uploaded(&response).unwrap_or(*offset + len);
            if reached > *offset + len {
                return Err(response.invalid("it claims to have more of the blob than was sent"));
            }
            self.follow(session, &response)?;
            response.discard();
            if reached <= *offset {
                // It took nothing and yet was content: no use in going on like this.
                let reason = "it accepted a part and did not keep it".to_owned();
                let host = self.site.endpoint.host().to_owned();
                return Err(Error::Unreachable { host, reason, transient: true });
            }
            *offset = reached;
        }
        self.finish(session.url.clone().with_query("digest", &digest), Payload::Bytes(b""))
    }

    /// The last request: all there is left to send, and the digest.
    fn finish(&self, url: Url, payload: Payload<'_>) -> Result<()> {
        let request = Request {
            payload,
            ..self
                .request(Method::PUT, Target::Url(url), "take")
                .header("Content-Type", "application/octet-stream")
                .once()
        };
        self.send(&request)?.expect(&[200, 201, 202, 204])?.discard();
        Ok(())
    }

    /// How much the server has of the blob; `None` if the session is lost.
    fn offset_at_server(&self, session: &mut Session) -> Result<Option<u64>> {
        let request = self.request(Method::GET, Target::Url(session.url.clone()), "continue");
        let response = match self.send(&request) {
            Ok(response) => response,
            Err(Error::Canceled) => return Err(Error::Canceled),
            Err(_) => return Ok(None),
        };
        let known = matches!(response.status(), 200 | 202 | 204 | 416);
        let offset = uploaded(&response).filter(|_| known);
        if offset.is_some() {
            self.follow(session, &response)?;
        }
        response.discard();
        Ok(offset)
    }

    /// Takes over the session's new address, if the answer has one.
    fn follow(&self, session: &mut Session, response: &Response) -> Result<()> {
        if let Some(location) = response.header("location") {
            session.url = self.client.transport.next_url(&self.site.endpoint, response.url(), location)?;
        }
        if let Some(len) = chunk_len_min(response) {
            session.chunk_len_min = len;
        }
        Ok(())
    }

    /// Best effort: sessions that nobody closes stay on the registry's disk.
    fn cancel_session(&self, session: Option<&Session>) {
        let Some(session) = session else { return };
        let request = self.request(Method::DELETE, Target::Url(session.url.clone()), "give up").once();
        if let Ok(response) = self.send(&request) {
            response.discard();
        }
    }
}

/// Whether the upload can go on after `error`, perhaps in another way.
fn may_continue(error: &Error) -> bool {
    match error {
        Error::Refused(refusal) => {
            let lost = ["BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "RANGE_INVALID", "SIZE_INVALID"];
            matches!(refusal.status, 404 | 405 | 413 | 416 | 501)
                || refusal.messages.iter().any(|m| lost.contains(&m.code.as_str()))
                || is_transient(error)
        }
        // Including a connection that is refused: what answered a moment ago may be on its way back.
        error => matches!(error, Error::Unreachable { .. }),
    }
}

/// How many bytes a `Range: 0-N` speaks of. `0-0` is what docker-registry says for none; a single byte is not worth
/// telling apart.
fn uploaded(response: &Response) -> Option<u64> {
    let value = response.header("range")?.trim();
    parse_uploaded(value)
}

fn parse_uploaded(value: &str) -> Option<u64> {
    let (start, end) = value.strip_prefix("bytes=").unwrap_or(value).split_once('-')?;
    let end: u64 = end.trim().parse().ok()?;
    (start.trim() == "0").then_some(if end == 0 { 0 } else { end.checked_add(1)? })
}

fn chunk_len_min(response: &Response) -> Option<u64> {
    // A silly value must not overflow sums.
    response.header("oci-chunk-min-length")?.trim().parse().ok().map(|len: u64| len.min(1 << 40))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upload_ranges() {
        assert_eq!(parse_uploaded("0-99"), Some(100));
        assert_eq!(parse_uploaded("bytes=0-99"), Some(100));
        assert_eq!(parse_uploaded("0-0"), Some(0));
        assert_eq!(parse_uploaded("5-9"), None);
        assert_eq!(parse_uploaded("0-18446744073709551615"), None);
        assert_eq!(parse_uploaded("x"), None);
    }
}
