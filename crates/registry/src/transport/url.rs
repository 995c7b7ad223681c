//! Addresses: parsing, joining with a `Location`, and which of them may be visited. Pure.
//!
//! The rules on where to go are in [`check_step`]: a registry (or whoever speaks for it) must not be able to send us
//! to the inside of our own network or down to plain text (go-containerregistry#2251, #2258, #2333).

use std::fmt;
use std::net::IpAddr;

/// An http or https address, in the parts that we compare.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Url {
    /// `https` or `http`.
    pub(crate) scheme: Scheme,
    /// Lower case, IPv6 literals in brackets.
    pub(crate) host: String,
    /// Only if it is not the scheme's own.
    pub(crate) port: Option<u16>,
    /// Path and query, starting with a slash, never with a fragment.
    pub(crate) target: String,
}

/// How to talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

impl Url {
    /// `path` on `authority` (`host` or `host:port`).
    pub(crate) fn on(scheme: Scheme, authority: &str, path: &str) -> Option<Self> {
        Self::parse(&format!("{scheme}://{authority}{path}"))
    }

    /// Reads an absolute address; `None` if it is not one of ours or has a user name in it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') || authority.contains('\\') {
            return None;
        }
        let (host, port) = split_authority(authority)?;
        let port = port.filter(|port| *port != scheme.default_port());
        Some(Self { scheme, host, port, target: clean_target(target)? })
    }

    /// `reference` as seen from this address (RFC 3986 section 5, without dot segments, which nobody sends).
    pub(crate) fn join(&self, reference: &str) -> Option<Self> {
        let reference = reference.trim();
        if reference.contains("://") && !reference.starts_with(['/', '?']) {
            return Self::parse(reference);
        }
        if reference.starts_with("//") {
            return Self::parse(&format!("{}:{reference}", self.scheme));
        }
        let path = self.target.split('?').next().unwrap_or("/");
        let target = if reference.starts_with('/') {
            reference.to_owned()
        } else if reference.starts_with('?') {
            format!("{path}{reference}")
        } else {
            let folder = path.rfind('/').map_or("/", |i| &path[..=i]);
            format!("{folder}{reference}")
        };
        Some(Self { target: clean_target(&target)?, ..self.clone() })
    }

    /// `key=value` added to the query.
    pub(crate) fn with_query(mut self, key: &str, value: &str) -> Self {
        self.target.push(if self.target.contains('?') { '&' } else { '?' });
        self.target.push_str(&encode_component(key));
        self.target.push('=');
        self.target.push_str(&encode_component(value));
        self
    }

    /// Host, and port if it is not the scheme's own: what people call the place.
    pub(crate) fn place(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    /// Scheme, host and port: what credentials are bound to.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}:{}", self.scheme, self.host, self.port.unwrap_or(self.scheme.default_port()))
    }

    /// Whether both are the same scheme, host and port.
    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.host == other.host && self.port == other.port
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.place(), self.target)
    }
}

/// Host in lower case and port.
fn split_authority(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = if authority.starts_with('[') {
        let (host, rest) = authority.split_at(authority.find(']')? + 1);
        (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let port = match port {
        None | Some("") => None,
        Some(port) => Some(port.parse().ok()?),
    };
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    if host.is_empty() || !host.bytes().all(valid) {
        return None;
    }
    Some((host.to_ascii_lowercase(), port))
}

/// Without a fragment, with a leading slash; `None` if it could break a request line.
fn clean_target(target: &str) -> Option<String> {
    let target = target.split('#').next().unwrap_or_default();
    if target.bytes().any(|b| b <= b' ' || b >= 0x7f) {
        return None;
    }
    Some(if target.starts_with('/') { target.to_owned() } else { format!("/{target}") })
}

/// Percent-encodes what may not stand in a query value.
pub(crate) fn encode_component(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&jettison_oci::to_hex(&[byte]).to_uppercase());
        }
    }
    out
}

/// Whether a registry at `host` is spoken to in plain http without being asked to (go-containerregistry
/// `pkg/name/registry.go`).
pub(crate) fn is_local(host: &str) -> bool {
    let name = host_of(host).to_ascii_lowercase();
    let suffix = |s: &str| name.ends_with(s);
    name == "localhost"
        || suffix(".localhost")
        || suffix(".local")
        || literal(host).is_some_and(|ip| ip.is_loopback())
}

/// The host of an authority, without its port.
pub(crate) fn host_of(authority: &str) -> &str {
    if authority.starts_with('[') {
        return authority.find(']').map_or(authority, |end| &authority[..=end]);
    }
    authority.split(':').next().unwrap_or(authority)
}

/// The address, if `authority` is a literal one. IPv4 in an IPv6 coat counts as IPv4.
fn literal(authority: &str) -> Option<IpAddr> {
    let ip: IpAddr = host_of(authority).trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    Some(ip.to_canonical())
}

/// Whether `host` is a literal of a network that only insiders can reach, or this machine.
fn is_inside(host: &str) -> bool {
    let by_name = host == "localhost" || host.ends_with(".localhost");
    by_name
        || literal(host).is_some_and(|ip| match ip {
            IpAddr::V4(ip) => {
                ip.is_private()
                    || ip.is_loopback()
                    || ip.is_link_local()
                    || ip.is_unspecified()
                    || is_shared(ip)
            }
            IpAddr::V6(ip) => {
                ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local()
            }
        })
}

/// 100.64.0.0/10, where some clouds keep their metadata.
fn is_shared(ip: std::net::Ipv4Addr) -> bool {
    ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64
}

/// Whether the registry at `registry` may send us to `to`. `trusted` says whether the user marked a place as insecure,
/// which is consent to plain text and to addresses inside.
pub(crate) fn check_step(
    registry: &Url,
    to: &Url,
    trusted: &dyn Fn(&str) -> bool,
) -> Result<(), &'static str> {
    if to.same_origin(registry) || trusted(&to.place()) {
        return Ok(());
    }
    if registry.scheme == Scheme::Https && to.scheme == Scheme::Http {
        return Err("it would leave https");
    }
    let is_link_local = literal(&to.host).is_some_and(|ip| match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    });
    if is_link_local {
        return Err("it is a link-local address");
    }
    // A registry that is itself inside may name its neighbours.
    if is_inside(&to.host) && !is_inside(&registry.host) && !is_local(&registry.host) {
        return Err("it is an address inside of a private network");
    }
    Ok(())
}

/// Some registries behind a proxy that ends TLS name themselves with http. Same host: stay on https.
pub(crate) fn keep_tls(from: &Url, mut to: Url) -> Url {
    let plain_default = to.port.is_none() || to.port == from.port;
    if from.scheme == Scheme::Https && to.scheme == Scheme::Http && from.host == to.host && plain_default {
        to.scheme = Scheme::Https;
        to.port = from.port;
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn parses_and_refuses() {
        assert_eq!(url("HTTPS://Reg.Example:443/v2/?a=b#c").to_string(), "https://reg.example/v2/?a=b");
        assert_eq!(url("http://[::1]:5000").to_string(), "http://[::1]:5000/");
        assert_eq!(url("https://x?y").target, "/?y");
        for text in [
            "",
            "/x",
            "ftp://x/",
            "https://",
            "https://u:p@x/",
            "https://x:99999/",
            "https://x/a b",
            "https://x\\y/",
        ] {
            assert_eq!(Url::parse(text), None, "{text}");
        }
    }

    #[test]
    fn joins_what_registries_send() {
        let base = url("https://r.example/v2/a/blobs/uploads/1?state=x");
        for (location, want) in [
            ("/v2/a/blobs/uploads/2?s=y", "https://r.example/v2/a/blobs/uploads/2?s=y"),
            ("2?s=y", "https://r.example/v2/a/blobs/uploads/2?s=y"),
            ("?s=z", "https://r.example/v2/a/blobs/uploads/1?s=z"),
            ("//cdn.example/x", "https://cdn.example/x"),
            ("https://cdn.example:8443/x", "https://cdn.example:8443/x"),
            ("/x?url=http://y/", "https://r.example/x?url=http://y/"),
        ] {
            assert_eq!(base.join(location).unwrap().to_string(), want);
        }
        assert_eq!(base.join("/x\r\nHost: evil"), None);
        let with_digest = base.with_query("digest", "sha256:ab");
        assert_eq!(with_digest.target, "/v2/a/blobs/uploads/1?state=x&digest=sha256%3Aab");
    }

    #[test]
    fn where_a_registry_may_send_us() {
        let never = |_: &str| false;
        let check = |from: &str, to: &str| check_step(&url(from), &url(to), &never);
        assert_eq!(check("https://r.example/", "https://cdn.example/x"), Ok(()));
        assert_eq!(check("http://localhost:5000/", "http://127.0.0.1:5001/x"), Ok(()));
        assert_eq!(check("https://10.0.0.1/", "https://10.0.0.2/x"), Ok(()));
        for to in [
            "http://cdn.example/x",
            "https://10.0.0.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[fd00::1]/",
            "https://localhost/",
            "https://100.100.100.200/",
        ] {
            assert!(check("https://r.example/", to).is_err(), "{to}");
        }
        assert!(check("http://localhost:5000/", "http://169.254.169.254/").is_err());
        let trusted = |place: &str| place == "10.0.0.9:9000";
        assert_eq!(check_step(&url("https://r.example/"), &url("http://10.0.0.9:9000/"), &trusted), Ok(()));
    }

    #[test]
    fn a_registry_that_forgot_its_tls() {
        let from = url("https://r.example/v2/");
        assert_eq!(keep_tls(&from, url("http://r.example/x")).to_string(), "https://r.example/x");
        assert_eq!(keep_tls(&from, url("http://other.example/x")).to_string(), "http://other.example/x");
    }

    #[test]
    fn local_hosts() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:80",
            "127.9.9.9",
            "[::1]:5000",
            "nas.local",
            "a.localhost",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in ["r.example", "localhost.example", "10.0.0.1", "128.0.0.1:5000"] {
            assert!(!is_local(host), "{host}");
        }
    }
}
