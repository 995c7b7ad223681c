//! A file from anywhere on the web: ADD of a URL, and contexts that are URLs.
//!
//! No registry is involved, but proxies, trust, cancelling, retries and the rules on where an answer may send us are the
//! same. An authorization goes to the origin of the address alone, never where that redirects to.

use std::io::{Read, Write};

use base64::Engine as _;
use ureq::http::Method;

use crate::transport::url::Url;
use crate::transport::{WebRequest, backoff, is_transient};
use crate::{Client, Error, Result};

/// Bytes per read.
const BUFFER_LEN: usize = 128 * 1024;
/// How often a body is begun that breaks off.
const TRIES: u32 = 3;

/// What to fetch.
#[derive(Clone)]
pub struct Download<'a> {
    /// An http or https address; may hold a user name and password.
    pub url: &'a str,
    /// Value of the `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The entity tag that we have the content of: only something else is wanted.
    pub etag: Option<&'a str>,
}

impl std::fmt::Debug for Download<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download").field("etag", &self.etag).finish_non_exhaustive()
    }
}

/// What came.
#[derive(Debug)]
pub enum Downloaded<W> {
    /// The content is still that of [`Download::etag`].
    Unchanged,
    /// A whole body.
    Body {
        /// Where it was written to.
        out: W,
        /// Its entity tag, if that stands for these very bytes (a weak one does not).
        etag: Option<String>,
        /// `Last-Modified`, seconds since 1970.
        modified_s: Option<i64>,
    },
}

impl Client {
    /// Fetches a file. `open` makes a place for a body, anew for every try; `progress` is told bytes so far and in all.
    ///
    /// # Errors
    /// Every status but 2xx, and whatever keeps a body from arriving whole.
    pub fn fetch_url<W: Write>(
        &self,
        download: &Download<'_>,
        open: &mut dyn FnMut() -> std::io::Result<W>,
        progress: &dyn Fn(u64, Option<u64>),
    ) -> Result<Downloaded<W>> {
        let (url, basic) = address(download.url)?;
        let authorization = download.authorization.map(str::to_owned).or(basic);
        let mut tried = 0;
        loop {
            tried += 1;
            match self.fetch_url_once(&url, authorization.as_deref(), download.etag, open, progress) {
                Err(error) if tried < TRIES && is_broken_body(&error) => {
                    self.transport.wait(backoff(tried))?;
                }
                result => return result,
            }
        }
    }

    fn fetch_url_once<W: Write>(
        &self,
        url: &Url,
        authorization: Option<&str>,
        etag: Option<&str>,
        open: &mut dyn FnMut() -> std::io::Result<W>,
        progress: &dyn Fn(u64, Option<u64>),
    ) -> Result<Downloaded<W>> {
        let headers = etag.map(|etag| ("If-None-Match", etag.to_owned())).into_iter().collect();
        let request = WebRequest { method: Method::GET, url, headers, authorization };
        let response = self.transport.send_web(&request)?;
        if response.status() == 304 && etag.is_some() {
            // A server that says which one it means must mean ours.
            return match response.header("etag") {
                Some(named) if Some(named) != etag => {
                    self.fetch_url_once(url, authorization, None, open, progress)
                }
                _ => Ok(Downloaded::Unchanged),
            };
        }
        let response = response.expect(&[200, 203])?;
        let strong = |etag: &&str| etag.starts_with('"') && etag.len() > 2;
        let etag = response.header("etag").filter(strong).map(str::to_owned);
        let modified_s = response.header("last-modified").and_then(parse_date);
        let total = response.header("content-length").and_then(|text| text.trim().parse::<u64>().ok());
        let from = response.url().clone();
        let mut body = response.into_body();
        let mut out = open().map_err(Error::Output)?;
        let mut buffer = vec![0; BUFFER_LEN];
        let mut done = 0;
        loop {
            self.transport.check_canceled()?;
            let n = body.read(&mut buffer).map_err(|error| self.transport.body_error(&from, &error))?;
            if n == 0 {
                break;
            }
            out.write_all(&buffer[..n]).map_err(Error::Output)?;
            done += n as u64;
            progress(done, total);
        }
        if total.is_some_and(|total| total != done) {
            let reason = format!("it sent {done} bytes instead of {}", total.unwrap_or(0));
            return Err(Error::Unreachable { host: from.place(), reason, transient: true });
        }
        Ok(Downloaded::Body { out, etag, modified_s })
    }
}

/// Whether trying again can help. Statuses were tried again already.
fn is_broken_body(error: &Error) -> bool {
    !matches!(error, Error::Refused(_)) && is_transient(error)
}

/// The address without its user, and the authorization that the user means.
fn address(text: &str) -> Result<(Url, Option<String>)> {
    let invalid = || Error::InvalidAddress { reason: "it is no http or https address" };
    let (scheme, rest) = text.split_once("://").ok_or_else(invalid)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let url = Url::parse(&format!("{scheme}://{host}{tail}")).ok_or_else(invalid)?;
    let basic = user.map(|user| {
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        let mut plain = decoded(name);
        plain.push(b':');
        plain.extend(decoded(password));
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(plain))
    });
    Ok((url, basic))
}

fn decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = hex.filter(|_| *first == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    out
}

/// An HTTP date; only the form that servers have sent since 1997 (RFC 9110, section 5.6.7).
fn parse_date(text: &str) -> Option<i64> {
    Some(jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_become_an_authorization() {
        let (url, basic) = address("https://u:p%40q@x.example:8443/a?b").unwrap();
        assert_eq!(url.to_string(), "https://x.example:8443/a?b");
        assert_eq!(basic.as_deref(), Some("Basic dTpwQHE="));
        assert!(address("https://x/a").unwrap().1.is_none());
        assert!(address("ftp://x/a").is_err() && address("x").is_err() && address("https:///a").is_err());
    }

    #[test]
    fn dates() {
        assert_eq!(parse_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(parse_date("yesterday"), None);
    }
}
