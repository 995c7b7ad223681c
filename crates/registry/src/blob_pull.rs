//! Blobs on their way in: streamed, hashed and counted as they pass, continued where a body broke off.
//!
//! The bytes never wait in memory. A break is followed by a request for the rest (`Range`), at the next mirror if this
//! one does not recover; the hash goes on across the seam.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use jettison_oci::{Descriptor, Hasher, Reference};
use ureq::http::Method;

use crate::client::{Seen, Site};
use crate::transport::{Request, Response, Scopes, Target, backoff, is_transient};
use crate::{Client, Error, Result};

/// Bytes per read.
const BUFFER_LEN: usize = 128 * 1024;
/// A try that brought this much, bytes, does not count as a failure (containers/image `docker/body_reader.go`).
const PROGRESS_LEN: u64 = 1024 * 1024;
/// Nor does one that lasted this long.
const PROGRESS_TIME: Duration = Duration::from_secs(60);
/// Tries without progress before a place is given up.
const FAILURES_MAX: u32 = 4;

/// A blob that is being fetched.
struct Download<'a> {
    descriptor: &'a Descriptor,
    offset: u64,
    /// None if the caller verifies the digest itself.
    hasher: Option<Hasher>,
    out: &'a mut dyn Write,
    progress: &'a dyn Fn(u64),
    /// Who sent the last bytes.
    host: String,
    /// Whether somebody refused to give a part, or gave another than was asked for. Then the whole is asked for, and what
    /// is here already is passed over.
    no_parts: bool,
}

impl Client {
    /// Streams a blob into `out`; `progress` is told the number of bytes so far. Size and digest are verified: what was
    /// written before an error is not.
    pub fn blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        out: &mut dyn Write,
        progress: &dyn Fn(u64),
    ) -> Result<()> {
        let seen = Seen { offset: 0, hasher: descriptor.digest.hasher() };
        self.blob_after(reference, descriptor, seen, out, progress)
    }

    /// Like [`Client::blob`], continuing after bytes whose hash is known; the digest of the whole is verified.
    pub fn blob_after(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        seen: Seen,
        out: &mut dyn Write,
        progress: &dyn Fn(u64),
    ) -> Result<()> {
        let host = reference.host().to_owned();
        let (offset, hasher) = (seen.offset, Some(seen.hasher));
        let download = Download { descriptor, offset, hasher, out, progress, host, no_parts: false };
        self.download(reference, download).map(drop)
    }

    /// The bytes of a blob from `offset` on, for a caller who hashes them itself: only the size is verified here, and
    /// nothing is hashed twice. `progress` is told the absolute number of bytes so far. Returns the host that sent the
    /// last of them.
    pub fn blob_unverified(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        offset: u64,
        out: &mut dyn Write,
        progress: &dyn Fn(u64),
    ) -> Result<String> {
        let host = reference.host().to_owned();
        let download = Download { descriptor, offset, hasher: None, out, progress, host, no_parts: false };
        self.download(reference, download)
    }

    /// A small blob (a config) in memory, verified. Refuses descriptors larger than `limit` bytes.
    pub fn blob_bytes(&self, reference: &Reference, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        if descriptor.size > limit {
            return Err(Error::TooLarge { host: reference.host().to_owned(), what: "the blob", limit });
        }
        let mut bytes = Vec::new();
        self.blob(reference, descriptor, &mut bytes, &|_| {})?;
        Ok(bytes)
    }

    fn download(&self, reference: &Reference, mut download: Download<'_>) -> Result<String> {
        let size = download.descriptor.size;
        if download.offset < size {
            self.ask_places(reference, |site| self.download_from(site, &mut download).map(Some))?;
        }
        download.out.flush().map_err(Error::Output)?;
        let digest = &download.descriptor.digest;
        if download.offset != size {
            let (host, digest) = (download.host, digest.clone());
            return Err(Error::SizeMismatch { host, digest, expected: size, actual: download.offset });
        }
        let Some(hasher) = download.hasher else { return Ok(download.host) };
        let actual = hasher.finish();
        if actual == *digest {
            Ok(download.host)
        } else {
            Err(Error::DigestMismatch { host: download.host, expected: digest.clone(), actual })
        }
    }

    /// Fetches what is missing from one place, however many requests it takes.
    fn download_from(&self, site: &Site, download: &mut Download<'_>) -> Result<()> {
        let mut failures = 0;
        let mut answered = false;
        while download.offset < download.descriptor.size {
            let (start, before) = (Instant::now(), download.offset);
            let result = self.request_rest(site, download).and_then(|response| {
                answered = true;
                download.host = response.host();
                self.receive(response, download)
            });
            match result {
                Ok(()) => {}
                // One that answered before and is away now may be on its way back.
                Err(error)
                    if is_transient(&error) || answered && matches!(error, Error::Unreachable { .. }) =>
                {
                    let progressed = download.offset - before >= PROGRESS_LEN
                        || (download.offset > before && start.elapsed() >= PROGRESS_TIME);
                    failures = if progressed { 1 } else { failures + 1 };
                    if failures >= FAILURES_MAX {
                        return Err(error);
                    }
                    self.transport.wait(backoff(failures))?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn request_rest(&self, site: &Site, download: &mut Download<'_>) -> Result<Response> {
        if download.offset > 0 && !download.no_parts {
            let part = self.request(site, download.descriptor, download.offset)?;
            match part.status() {
                416 => part.discard(),
                206 if !is_rest(&part, download.offset, download.descriptor.size) => {}
                _ => return part.expect(&[200, 206]),
            }
            download.no_parts = true;
        }
        self.request(site, download.descriptor, 0)?.expect(&[200])
    }

    fn request(&self, site: &Site, descriptor: &Descriptor, offset: u64) -> Result<Response> {
        let digest = &descriptor.digest;
        let mut request = Request::new(
            Method::GET,
            Target::Path(format!("/v2/{}/blobs/{digest}", site.repository)),
            &site.repository,
            Scopes::pull(&site.repository),
            format!("give the blob {digest}"),
        )
        // Compression on the way would make offsets meaningless.
        .header("Accept-Encoding", "identity");
        if offset > 0 {
            request = request.header("Range", format!("bytes={offset}-"));
        }
        self.transport.send(&site.endpoint, &request)
    }

    /// Passes one body on. Ends with success when the blob is complete, or with the error that ended the body.
    fn receive(&self, response: Response, download: &mut Download<'_>) -> Result<()> {
        let size = download.descriptor.size;
        // Whoever sends no part starts again.
        let mut skip = if response.status() == 206 { 0 } else { download.offset };
        if response.status() == 200
            && let Some(actual) = response.header("content-length").and_then(|v| v.trim().parse().ok())
            && actual != size
        {
            return Err(self.wrong_size(&response, download, actual));
        }
        let url = response.url().clone();
        let host = response.host();
        let mut body = response.into_body();
        let mut buffer = vec![0; BUFFER_LEN];
        loop {
            self.transport.check_canceled()?;
            let n = body.read(&mut buffer).map_err(|e| self.transport.body_error(&url, &e))?;
            if n == 0 {
                break;
            }
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(n);
            skip -= skipped as u64;
            let bytes = &buffer[skipped..n];
            if download.offset + bytes.len() as u64 > size {
                let actual = download.offset + bytes.len() as u64;
                let digest = download.descriptor.digest.clone();
                return Err(Error::SizeMismatch { host, digest, expected: size, actual });
            }
            if bytes.is_empty() {
                continue;
            }
            if let Some(hasher) = &mut download.hasher {
                hasher.update(bytes);
            }
            download.out.write_all(bytes).map_err(Error::Output)?;
            download.offset += bytes.len() as u64;
            (download.progress)(download.offset);
        }
        if download.offset < size {
            let reason = "it closed the connection too early".to_owned();
            return Err(Error::Unreachable { host, reason, transient: true });
        }
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "reads as one of the steps")]
    fn wrong_size(&self, response: &Response, download: &Download<'_>, actual: u64) -> Error {
        Error::SizeMismatch {
            host: response.host(),
            digest: download.descriptor.digest.clone(),
            expected: download.descriptor.size,
            actual,
        }
    }
}

/// Whether an answer is what was asked for: `Content-Range: bytes 100-199/200`.
fn is_rest(response: &Response, offset: u64, size: u64) -> bool {
    let range = response.header("content-range").and_then(parse_range);
    range.is_some_and(|(start, total)| start == offset && total.is_none_or(|total| total == size))
}

/// Start and total length.
fn parse_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let start = range.split_once('-')?.0.trim().parse().ok()?;
    let total = match total.trim() {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    Some((start, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        assert_eq!(parse_range("bytes 100-199/200"), Some((100, Some(200))));
        assert_eq!(parse_range("bytes 5-9/*"), Some((5, None)));
        for text in ["", "bytes */200", "100-199/200", "bytes 1-2", "bytes x-2/3"] {
            assert_eq!(parse_range(text), None, "{text}");
        }
    }
}
