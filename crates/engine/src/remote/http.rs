//! A file over HTTP: what its address holds now, with its bytes in the store as a blob.
//!
//! The bytes that a server names by a strong entity tag are asked for again only if the tag has changed. A weak tag, a
//! date or the address alone never stand for content: whoever has only those is downloaded again, and the digest of what
//! comes decides. A file with a checksum needs no question at all once it is here.

use jettison_oci::{Digest, Hasher};
use jettison_plan::remote::Http;
use jettison_registry::{Download, Downloaded};
use serde::{Deserialize, Serialize};

use super::{Remotes, Resolved};
use crate::error::Error;
use crate::tasks::Done;

/// What is remembered of an address.
#[derive(Debug, Serialize, Deserialize)]
struct Memo {
    body: Digest,
    mtime_s: i64,
    etag: Option<String>,
}

impl Remotes<'_> {
    pub(super) fn resolve_http(
        &self,
        http: &Http,
        progress: &dyn Fn(u64, Option<u64>),
    ) -> Result<(Resolved, Done), Error> {
        let store = self.images.store;
        let authorization = self.authorization(&http.url);
        let name = memo_name(&http.url, authorization.as_deref());
        let memo = store.memo(&name)?.and_then(|text| serde_json::from_str::<Memo>(&text).ok());
        let held = match memo {
            Some(memo) => store.has_blob(&memo.body)?.map(|size| (memo, size)),
            None => None,
        };
        if let (Some((memo, size)), Some(checksum)) = (&held, &http.checksum)
            && memo.body == *checksum
        {
            return Ok((resolved(memo, *size), Done::Cached));
        }
        // What is here is not what the checksum wants: it may be what came wrong before, under the same tag.
        let etag =
            held.as_ref().filter(|_| http.checksum.is_none()).and_then(|(memo, _)| memo.etag.as_deref());
        let download = Download { url: &http.url, authorization: authorization.as_deref(), etag };
        let mut open = || store.blob_writer().map_err(std::io::Error::other);
        match (self.images.registry.fetch_url(&download, &mut open, progress)?, held) {
            (Downloaded::Unchanged, Some((memo, size))) => {
                check(http, &memo.body)?;
                Ok((resolved(&memo, size), Done::Cached))
            }
            (Downloaded::Unchanged, None) => unreachable!("no tag was sent"),
            (Downloaded::Body { out, etag, modified_s }, _) => {
                let (body, size) = out.commit(None)?;
                check(http, &body)?;
                let memo = Memo { body, mtime_s: modified_s.unwrap_or(0), etag };
                let text = serde_json::to_string(&memo).expect("a memo can always be written");
                store.record_memo(&name, &text)?;
                Ok((resolved(&memo, size), Done::Ran))
            }
        }
    }

    /// The secrets that BuildKit looks for: a whole header, or a token for one.
    fn authorization(&self, url: &str) -> Option<String> {
        let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
        let place = authority.rsplit('@').next()?;
        let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
        [place, host].iter().find_map(|name| {
            let header = self.secret(&format!("HTTP_AUTH_HEADER_{name}"));
            header.or_else(|| Some(format!("Bearer {}", self.secret(&format!("HTTP_AUTH_TOKEN_{name}"))?)))
        })
    }
}

fn resolved(memo: &Memo, size: u64) -> Resolved {
    Resolved::File { body: memo.body.clone(), size, mtime_s: memo.mtime_s }
}

fn check(http: &Http, body: &Digest) -> Result<(), Error> {
    match &http.checksum {
        Some(expected) if expected != body => {
            Err(Error::WrongContent { expected: expected.to_string(), found: body.to_string() })
        }
        _ => Ok(()),
    }
}

/// Neither addresses nor tokens are written to disk as they are.
fn memo_name(url: &str, authorization: Option<&str>) -> String {
    let mut hasher = Hasher::sha256();
    for part in [url, authorization.unwrap_or_default()] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    format!("url {}", hasher.finish())
}
