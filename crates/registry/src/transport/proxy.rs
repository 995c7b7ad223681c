//! Proxies: which one, if any, leads to a host. Pure apart from reading the environment.
//!
//! `HTTP_PROXY` for http, `HTTPS_PROXY` for https, `ALL_PROXY` for both, each in either case; `NO_PROXY` lists host
//! suffixes, addresses and CIDR ranges, as Go's `x/net/http/httpproxy` reads them.

use std::net::IpAddr;

use super::url::{Scheme, Url, host_of, is_local};

/// The proxy settings of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proxies {
    pub(crate) http: Option<String>,
    pub(crate) https: Option<String>,
    pub(crate) no_proxy: Vec<String>,
}

impl Proxies {
    /// Reads variables through `get`.
    pub(crate) fn from_env(get: &dyn Fn(&str) -> Option<String>) -> Self {
        let either = |upper: &str| {
            get(&upper.to_ascii_lowercase())
                .filter(|v| !v.is_empty())
                .or_else(|| get(upper))
                .filter(|v| !v.is_empty())
        };
        // In a CGI program a header `Proxy:` becomes HTTP_PROXY (CVE-2016-5386).
        let http = if get("REQUEST_METHOD").is_some() { None } else { either("HTTP_PROXY") };
        let all = either("ALL_PROXY");
        let list = either("NO_PROXY").unwrap_or_default();
        Self {
            http: http.or_else(|| all.clone()),
            https: either("HTTPS_PROXY").or(all),
            no_proxy: list.split([',', ' ']).filter(|e| !e.is_empty()).map(str::to_ascii_lowercase).collect(),
        }
    }

    /// The proxy to use for `url`.
    pub(crate) fn for_url(&self, url: &Url) -> Option<&str> {
        let proxy = match url.scheme {
            Scheme::Http => self.http.as_deref(),
            Scheme::Https => self.https.as_deref(),
        }?;
        let is_loopback = is_local(&url.host) && url.host.rsplit('.').next() != Some("local");
        let port = url.port.unwrap_or(if url.scheme == Scheme::Http { 80 } else { 443 });
        let excepted = is_loopback || self.no_proxy.iter().any(|entry| matches(entry, &url.host, port));
        (!excepted).then_some(proxy)
    }
}

/// Whether one entry of `NO_PROXY` covers a host.
fn matches(entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>().ok();
    if let (Some((network, bits)), Some(address)) = (entry.split_once('/'), address) {
        return in_network(network, bits, address);
    }
    if let (Ok(wanted), Some(address)) = (entry.parse::<IpAddr>(), address) {
        return wanted == address;
    }
    let name = host_of(entry);
    if let Some(wanted_port) = entry[name.len()..].strip_prefix(':')
        && wanted_port.parse() != Ok(port)
    {
        return false;
    }
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let name = name.strip_prefix('*').unwrap_or(name);
    // `.example` covers what is below, `example` also itself.
    match name.strip_prefix('.') {
        Some(below) => bare.strip_suffix(below).is_some_and(|rest| rest.ends_with('.')),
        None => bare == name || bare.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')),
    }
}

fn in_network(network: &str, bits: &str, address: IpAddr) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    let (a, b, width) = match (network, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
        _ => return false,
    };
    bits <= width && (bits == 0 || (a ^ b) >> (width - bits) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(no_proxy: &str) -> Proxies {
        Proxies::from_env(&|name| match name {
            "HTTPS_PROXY" => Some("http://proxy.example:3128".to_owned()),
            "http_proxy" => Some("http://plain.example:3128".to_owned()),
            "NO_PROXY" => Some(no_proxy.to_owned()),
            _ => None,
        })
    }

    #[test]
    fn by_scheme() {
        let p = proxies("");
        assert_eq!(p.for_url(&Url::parse("https://r.example/").unwrap()), Some("http://proxy.example:3128"));
        assert_eq!(p.for_url(&Url::parse("http://r.example/").unwrap()), Some("http://plain.example:3128"));
        assert_eq!(p.for_url(&Url::parse("http://localhost:5000/").unwrap()), None);
        let cgi = Proxies::from_env(&|name| match name {
            "REQUEST_METHOD" | "HTTP_PROXY" => Some("x".to_owned()),
            _ => None,
        });
        assert_eq!(cgi, Proxies::default());
    }

    #[test]
    fn exceptions() {
        let excepted = |list: &str, url: &str| proxies(list).for_url(&Url::parse(url).unwrap()).is_none();
        assert!(excepted("a.example, corp.example", "https://r.corp.example/"));
        assert!(excepted("corp.example", "https://corp.example/"));
        assert!(!excepted(".corp.example", "https://corp.example/"));
        assert!(excepted(".corp.example", "https://r.corp.example/"));
        assert!(excepted("*.corp.example", "https://r.corp.example/"));
        assert!(!excepted("corp.example", "https://notcorp.example/"));
        assert!(excepted("10.0.0.0/8", "https://10.20.30.40/"));
        assert!(!excepted("10.0.0.0/16", "https://10.20.30.40/"));
        assert!(excepted("fd00::/8", "https://[fd12::1]/"));
        assert!(excepted("192.0.2.1", "https://192.0.2.1:5000/"));
        assert!(excepted("r.example:5000", "https://r.example:5000/"));
        assert!(!excepted("r.example:5000", "https://r.example/"));
        assert!(excepted("*", "https://r.example/"));
    }
}
