//! Our own stub resolver: host name to addresses without the C library.
//!
//! Why here: a statically linked glibc loads name-service modules of the host when getaddrinfo is called, which can
//! crash (rust-lang/rust#100711). So names go through `/etc/hosts`, then the servers of `/etc/resolv.conf`, over UDP
//! with TCP for long answers. Plugged into ureq as its `Resolver`. Where to read next: `message.rs` for the wire.

mod files;
mod message;

use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use files::ResolvConf;
use message::{Answer, RecordType};

/// How often a waiting query asks whether it should stop.
const SLICE: Duration = Duration::from_millis(100);
/// How long the second address family may lag behind the first before it is given up.
const SECOND_FAMILY_WAIT: Duration = Duration::from_millis(300);
/// Longest datagram that we take; classic DNS sends 512 bytes at most.
const DATAGRAM_LEN_MAX: usize = 4096;
/// ureq keeps no more.
const ADDRESSES_MAX: usize = 16;

/// Why a name has no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResolveError {
    /// Authoritative: there is no such host.
    #[error("no such host: {0}")]
    NoSuchHost(String),
    /// No name server answered.
    #[error("no name server answered for {0}")]
    NoServer(String),
    /// The caller asked to stop.
    #[error("canceled")]
    Canceled,
}

/// Resolves names as this machine is configured, reading its files anew for each name (they are small and change).
pub(crate) struct StubResolver {
    hosts: PathBuf,
    resolv_conf: PathBuf,
    /// Replaces the servers of resolv.conf, for tests.
    servers: Option<Vec<SocketAddr>>,
    cancel: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl StubResolver {
    pub(crate) fn new(cancel: Arc<dyn Fn() -> bool + Send + Sync>) -> Self {
        Self { hosts: "/etc/hosts".into(), resolv_conf: "/etc/resolv.conf".into(), servers: None, cancel }
    }

    /// All addresses of `host`, the ones that this machine has a route to first.
    pub(crate) fn lookup(&self, host: &str, deadline: Option<Instant>) -> Result<Vec<IpAddr>, ResolveError> {
        let literal = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = literal.parse::<IpAddr>() {
            return Ok(vec![address]);
        }
        let name = host.to_ascii_lowercase();
        let hosts = std::fs::read_to_string(&self.hosts).unwrap_or_default();
        let listed = files::hosts_lookup(&hosts, name.trim_end_matches('.'));
        if !listed.is_empty() {
            return Ok(listed);
        }
        // RFC 6761: these never leave the machine.
        if name == "localhost" || name.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let mut conf = ResolvConf::parse(&std::fs::read_to_string(&self.resolv_conf).unwrap_or_default());
        if let Some(servers) = &self.servers {
            conf.servers.clone_from(servers);
        }
        let mut unanswered = false;
        for candidate in conf.candidates(&name) {
            match self.ask_servers(&conf, &candidate, deadline)? {
                Some(addresses) if !addresses.is_empty() => return Ok(by_reach(addresses)),
                Some(_) => {}
                None => unanswered = true,
            }
        }
        Err(if unanswered { ResolveError::NoServer(name) } else { ResolveError::NoSuchHost(name) })
    }

    /// The addresses of a full name, empty if there are none; `None` if no server would say.
    fn ask_servers(
        &self,
        conf: &ResolvConf,
        name: &str,
        deadline: Option<Instant>,
    ) -> Result<Option<Vec<IpAddr>>, ResolveError> {
        for _ in 0..conf.attempts {
            for server in &conf.servers {
                let until = Instant::now() + conf.timeout;
                let until = deadline.map_or(until, |d| d.min(until));
                match self.ask_server(*server, name, until)? {
                    Some(addresses) => return Ok(Some(addresses)),
                    None if deadline.is_some_and(|d| Instant::now() >= d) => return Ok(None),
                    None => {}
                }
            }
        }
        Ok(None)
    }

    /// Asks one server for both families at once, over one socket.
    fn ask_server(
        &self,
        server: SocketAddr,
        name: &str,
        until: Instant,
    ) -> Result<Option<Vec<IpAddr>>, ResolveError> {
        let mut pending = Vec::new();
        for record in [RecordType::A, RecordType::Aaaa] {
            let id = random_id();
            let Some(query) = message::encode_query(id, name, record) else { return Ok(Some(Vec::new())) };
            pending.push((id, record, query));
        }
        let Ok(socket) = open_socket(server) else { return Ok(None) };
        for (_, _, query) in &pending {
            if socket.send(query).is_err() {
                return Ok(None);
            }
        }
        let mut until = until;
        let mut addresses = Vec::new();
        let mut answered = false;
        let mut buffer = [0; DATAGRAM_LEN_MAX];
        while !pending.is_empty() && Instant::now() < until {
            if (self.cancel)() {
                return Err(ResolveError::Canceled);
            }
            let n = match socket.recv(&mut buffer) {
                Ok(n) => n,
                Err(e) if is_timeout(&e) => continue,
                // The port is closed: no use in waiting.
                Err(_) => break,
            };
            // A forged or garbled datagram matches nothing and is ignored.
            let Some((index, answer)) = pending.iter().enumerate().find_map(|(i, (id, record, _))| {
                message::decode_answer(&buffer[..n], *id, name, *record).map(|answer| (i, answer))
            }) else {
                continue;
            };
            let (id, record, query) = pending.swap_remove(index);
            let answer = match answer {
                Answer::Truncated => ask_over_tcp(server, id, name, record, &query, until),
                answer => Some(answer),
            };
            match answer {
                Some(Answer::Addresses(found)) => {
                    answered = true;
                    addresses.extend(found);
                }
                Some(Answer::NoSuchName) => return Ok(Some(Vec::new())),
                Some(Answer::Failed | Answer::Truncated) | None => {}
            }
            if !addresses.is_empty() {
                until = until.min(Instant::now() + SECOND_FAMILY_WAIT);
            }
        }
        // One family alone without addresses proves nothing: the other one may have been lost.
        let complete = answered && (pending.is_empty() || !addresses.is_empty());
        Ok(complete.then_some(addresses))
    }
}

impl Resolver for StubResolver {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        _config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or_else(|| ureq::Error::BadUri(uri.to_string()))?;
        let default_port = if uri.scheme_str() == Some("http") { 80 } else { 443 };
        let port = uri.port_u16().unwrap_or(default_port);
        let deadline = timeout.not_zero().map(|after| Instant::now() + *after);
        let addresses = self.lookup(host, deadline).map_err(|e| ureq::Error::Other(Box::new(e)))?;
        let mut out = self.empty();
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            out.push(SocketAddr::new(address, port));
        }
        Ok(out)
    }
}

impl std::fmt::Debug for StubResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StubResolver").finish_non_exhaustive()
    }
}

/// A fresh socket per question: its random port is half of what keeps forgeries out, the id is the other half.
fn open_socket(server: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(SLICE))?;
    Ok(socket)
}

fn ask_over_tcp(
    server: SocketAddr,
    id: u16,
    name: &str,
    record: RecordType,
    query: &[u8],
    until: Instant,
) -> Option<Answer> {
    let left = until.saturating_duration_since(Instant::now()).max(SLICE).min(Duration::from_secs(1));
    let mut stream = TcpStream::connect_timeout(&server, left).ok()?;
    stream.set_read_timeout(Some(left)).ok()?;
    stream.set_write_timeout(Some(left)).ok()?;
    let len = u16::try_from(query.len()).ok()?;
    stream.write_all(&[&len.to_be_bytes()[..], query].concat()).ok()?;
    let mut len = [0; 2];
    stream.read_exact(&mut len).ok()?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut bytes).ok()?;
    message::decode_answer(&bytes, id, name, record)
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut | std::io::ErrorKind::Interrupted
    )
}

/// Each `RandomState` is keyed by the operating system's randomness.
fn random_id() -> u16 {
    RandomState::new().hash_one(0_u8) as u16
}

/// Addresses with a route first, IPv6 before IPv4 among equals, otherwise in the order that the server chose.
/// Connecting a datagram socket asks the routing table and sends nothing.
fn by_reach(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let has_route = |address: &IpAddr| open_socket(SocketAddr::new(*address, 9)).is_ok();
    addresses.sort_by_cached_key(|address| (!has_route(address), address.is_ipv4()));
    addresses
}

#[cfg(test)]
mod tests;
