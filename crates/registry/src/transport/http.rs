//! One request, one answer: no authorization, no redirects, no retries. Those are `mod.rs`'s.
//!
//! Keeps one ureq agent per origin, because trust (`certs.d`) and proxies differ from host to host, and translates
//! ureq's errors into ours.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ureq::http::{HeaderMap, Method};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector};
use ureq::{Agent, Proxy, SendBody};

use super::proxy::Proxies;
use super::socket::{Cancel, TcpConnector};
use super::tls::{TlsConnector, client_config, is_ca_as_server};
use super::url::Url;
use crate::hosts::certs_d;
use crate::resolve::{ResolveError, StubResolver};
use crate::{Error, Result};

/// Limit for name, connection and handshake together.
const CONNECT_WAIT: Duration = Duration::from_secs(30);
/// How long a connection may be silent while it should deliver.
pub(crate) const STALL_WAIT: Duration = Duration::from_secs(60);
/// How long a registry may think about what it was sent: it may hash and store gigabytes before it answers.
pub(crate) const COMMIT_WAIT: Duration = Duration::from_secs(15 * 60);
/// Bodies from this size on are announced with `Expect: 100-continue`, so that a refusal arrives before the body is
/// sent in vain (curl does it from 1 MiB on).
const EXPECT_LEN_MIN: u64 = 1024 * 1024;
/// How long to wait for the go-ahead before sending anyway.
const EXPECT_WAIT: Duration = Duration::from_millis(500);
/// Idle connections kept per origin: as many as layers are usually pulled at once.
const IDLE_CONNECTIONS: usize = 8;

/// What is sent along.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'a> {
    /// Nothing, not even a length.
    None,
    /// These bytes, possibly none.
    Bytes(&'a [u8]),
    /// Part of a file, opened anew for each try.
    File(FilePart<'a>),
}

/// A part of a file that is being uploaded.
#[derive(Clone, Copy)]
pub(crate) struct FilePart<'a> {
    pub(crate) open: &'a dyn Fn() -> io::Result<File>,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    /// Told the absolute position in the file.
    pub(crate) progress: &'a dyn Fn(u64),
}

/// An answer, its body not yet read.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: ureq::Body,
    pub(crate) url: Url,
}

impl Answer {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// The HTTP client.
pub(crate) struct Http {
    cancel: Cancel,
    user_agent: String,
    proxies: Proxies,
    certs_dirs: Vec<PathBuf>,
    agents: Mutex<HashMap<(String, bool), Agent>>,
}

impl Http {
    pub(crate) fn new(
        cancel: Cancel,
        user_agent: String,
        proxies: Proxies,
        certs_dirs: Vec<PathBuf>,
    ) -> Self {
        Self { cancel, user_agent, proxies, certs_dirs, agents: Mutex::default() }
    }

    /// Whether the caller asked to stop.
    pub(crate) fn is_canceled(&self) -> bool {
        (self.cancel)()
    }

    /// Sends one request. Any status is an answer; errors mean that there was none.
    pub(crate) fn run(
        &self,
        method: &Method,
        url: &Url,
        headers: &[(&str, String)],
        payload: Payload<'_>,
        insecure: bool,
    ) -> Result<Answer> {
        if self.is_canceled() {
            return Err(Error::Canceled);
        }
        let agent = self.agent(url, insecure)?;
        let mut request = ureq::http::Request::builder().method(method).uri(url.to_string());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let commits = *method == Method::PUT || matches!(payload, Payload::File(_));
        let wait = if commits { COMMIT_WAIT } else { STALL_WAIT };
        let failure = RefCell::new(None);
        let result = match payload {
            Payload::None => Self::send(&agent, request, (), wait),
            Payload::Bytes(bytes) => Self::send(&agent, request, bytes, wait),
            Payload::File(part) => {
                let mut reader = PartReader::open(&part, &failure).map_err(Error::Input)?;
                let mut request = request.header("Content-Length", part.len.to_string());
                if part.len >= EXPECT_LEN_MIN {
                    request = request.header("Expect", "100-continue");
                }
                Self::send(&agent, request, SendBody::from_reader(&mut reader), wait)
            }
        };
        let response = result.map_err(|error| match failure.take() {
            Some(input) => Error::Input(input),
            None => self.translate(url, error),
        })?;
        let (parts, body) = response.into_parts();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body, url: url.clone() })
    }

    fn send(
        agent: &Agent,
        request: ureq::http::request::Builder,
        body: impl ureq::AsSendBody,
        wait: Duration,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let request = agent.configure_request(request.body(body)?).timeout_per_read(Some(wait)).build();
        agent.run(request)
    }

    /// The agent for the origin of `url`.
    fn agent(&self, url: &Url, insecure: bool) -> Result<Agent> {
        let key = (url.origin(), insecure);
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(&key) {
            return Ok(agent.clone());
        }
        let agent = self.new_agent(url, insecure)?;
        agents.insert(key, agent.clone());
        Ok(agent)
    }

    fn new_agent(&self, url: &Url, insecure: bool) -> Result<Agent> {
        let proxy = match self.proxies.for_url(url) {
            None => None,
            Some(text) => Some(Proxy::new(text).map_err(|_| Error::Environment {
                variable: "HTTP_PROXY or HTTPS_PROXY",
                reason: "not the address of an HTTP proxy".to_owned(),
            })?),
        };
        if proxy
            .as_ref()
            .is_some_and(|p| !matches!(p.protocol(), ureq::ProxyProtocol::Http | ureq::ProxyProtocol::Https))
        {
            return Err(Error::Environment {
                variable: "HTTP_PROXY or HTTPS_PROXY",
                reason: "only http and https proxies are supported".to_owned(),
            });
        }
        let trust = certs_d::load(&self.certs_dirs, &url.place())?;
        let tls = client_config(&trust, insecure)
            .map_err(|e| Error::Certificate { host: url.place(), reason: e.to_string() })?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(self.user_agent.as_str())
            .accept_encoding("")
            .proxy(proxy)
            .timeout_resolve(Some(CONNECT_WAIT))
            .timeout_connect(Some(CONNECT_WAIT))
            .timeout_await_100(Some(EXPECT_WAIT))
            .timeout_per_read(Some(STALL_WAIT))
            .timeout_per_write(Some(STALL_WAIT))
            .max_idle_connections(IDLE_CONNECTIONS)
            .max_idle_connections_per_host(IDLE_CONNECTIONS)
            .build();
        let connector =
            ().chain(ConnectProxyConnector::default())
                .chain(TcpConnector::new(Arc::clone(&self.cancel)))
                .chain(TlsConnector::new(tls));
        Ok(Agent::with_parts(config, connector, StubResolver::new(Arc::clone(&self.cancel))))
    }

    /// Our error for ureq's.
    pub(crate) fn translate(&self, url: &Url, error: ureq::Error) -> Error {
        if self.is_canceled() {
            return Error::Canceled;
        }
        let host = url.place();
        let unreachable =
            |reason: String, transient| Error::Unreachable { host: host.clone(), reason, transient };
        match error {
            ureq::Error::Io(error) => self.translate_io(url, &error),
            ureq::Error::Rustls(error) => tls_error(host, &error),
            ureq::Error::Tls(reason) => Error::Certificate { host, reason: reason.to_owned() },
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                unreachable("no connection within 30 s".to_owned(), false)
            }
            ureq::Error::Timeout(_) => unreachable("it stopped answering".to_owned(), true),
            ureq::Error::HostNotFound => unreachable("no such host".to_owned(), false),
            ureq::Error::ConnectProxyFailed(reason) => unreachable(format!("the proxy: {reason}"), false),
            ureq::Error::Other(inner) => match inner.downcast_ref::<ResolveError>() {
                Some(ResolveError::Canceled) => Error::Canceled,
                Some(error) => unreachable(error.to_string(), false),
                None => unreachable(inner.to_string(), false),
            },
            ureq::Error::Protocol(error) => Error::InvalidResponse { host, what: error.to_string() },
            other => Error::InvalidResponse { host, what: other.to_string() },
        }
    }

    /// Our error for one that came up while a body was read or written.
    pub(crate) fn translate_io(&self, url: &Url, error: &io::Error) -> Error {
        if self.is_canceled() {
            return Error::Canceled;
        }
        let host = url.place();
        let inner = error.get_ref();
        if let Some(error) = inner.and_then(|e| e.downcast_ref::<rustls::Error>()) {
            return tls_error(host, error);
        }
        if let Some(ureq::Error::Timeout(_)) = inner.and_then(|e| e.downcast_ref::<ureq::Error>()) {
            return Error::Unreachable { host, reason: "it stopped answering".to_owned(), transient: true };
        }
        let (reason, transient) = match error.kind() {
            io::ErrorKind::ConnectionRefused => ("connection refused".to_owned(), false),
            io::ErrorKind::UnexpectedEof => ("it closed the connection too early".to_owned(), true),
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected => ("it reset the connection".to_owned(), true),
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
                ("no route to it".to_owned(), false)
            }
            _ => (error.to_string(), false),
        };
        Error::Unreachable { host, reason, transient }
    }
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Addresses of proxies may hold passwords.
        f.debug_struct("Http").field("certs_dirs", &self.certs_dirs).finish_non_exhaustive()
    }
}

fn tls_error(host: String, error: &rustls::Error) -> Error {
    let reason = match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            "its certificate is signed by nobody that this machine trusts".to_owned()
        }
        error if is_ca_as_server(error) => {
            "its certificate is signed by nobody that this machine trusts".to_owned()
        }
        rustls::Error::InvalidMessage(_) => "it does not speak TLS".to_owned(),
        other => other.to_string(),
    };
    Error::Certificate { host, reason }
}

/// Reads the part, counts it, and keeps the errors of our own disk apart from those of the network.
struct PartReader<'a> {
    file: File,
    at: u64,
    end: u64,
    progress: &'a dyn Fn(u64),
    failure: &'a RefCell<Option<io::Error>>,
}

impl<'a> PartReader<'a> {
    fn open(part: &FilePart<'a>, failure: &'a RefCell<Option<io::Error>>) -> io::Result<Self> {
        let mut file = (part.open)()?;
        file.seek(SeekFrom::Start(part.offset))?;
        Ok(Self { file, at: part.offset, end: part.offset + part.len, progress: part.progress, failure })
    }
}

impl Read for PartReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        if left == 0 {
            return Ok(0);
        }
        let result = match self.file.read(&mut buffer[..left]) {
            // ureq would wait for the rest for ever.
            Ok(0) => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file is shorter than its descriptor says",
            )),
            result => result,
        };
        match result {
            Ok(n) => {
                self.at += n as u64;
                (self.progress)(self.at);
                Ok(n)
            }
            Err(error) => {
                let told = io::Error::new(error.kind(), error.to_string());
                *self.failure.borrow_mut() = Some(error);
                Err(told)
            }
        }
    }
}
