//! One request to a registry, with all that can happen to it: challenge, token, redirect, retry.
//!
//! ```text
//! send ── authorization (ping, challenge, bearer or basic)
//!   └─ with_retries ── follow (redirects) ── http::run ── ureq ── tls, socket
//! ```
//!
//! The credentials of a registry go to its own origin alone (registry scheme, host, port) and to the token server that
//! it names; every address that it sends us to is checked in `url.rs` first. Where to read next: `auth.rs` for who is
//! asked for what, `http.rs` for the wire.

mod auth;
mod bearer;
mod challenge;
mod endpoint;
mod http;
mod proxy;
mod retry;
mod scope;
mod socket;
mod tls;
pub(crate) mod url;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use ureq::http::Method;

use crate::config::Config;
use crate::credentials::{Credentials, Identity};
use crate::error::{Refusal, messages};
use crate::{Error, Result};

pub(crate) use endpoint::Endpoint;
pub(crate) use http::{FilePart, Payload};
pub(crate) use proxy::Proxies;
pub(crate) use scope::Scopes;
pub(crate) use socket::Cancel;

use auth::{Authorization, MAX_ROUNDS};
use http::{Answer, Http};
use url::{Url, check_step, keep_tls};

/// Most of an error body that is read, bytes (go-containerregistry).
const ERROR_LEN_MAX: u64 = 64 * 1024;
/// Most redirects followed for one request.
const REDIRECTS_MAX: u32 = 10;
/// How finely a wait is cut to see whether to stop.
const WAIT_SLICE: Duration = Duration::from_millis(100);

/// Where a request goes.
#[derive(Clone)]
pub(crate) enum Target {
    /// A path at the registry, starting with `/v2/`.
    Path(String),
    /// An address that the registry gave us; already checked.
    Url(Url),
}

/// What is to be done.
#[derive(Clone)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) target: Target,
    /// What it is about, for credentials and errors; may be empty.
    pub(crate) repository: &'a str,
    pub(crate) scopes: Scopes,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) payload: Payload<'a>,
    /// For errors: `get the manifest 1.11`.
    pub(crate) action: String,
    /// Whether to try again by ourselves. Uploads have their own way of continuing.
    pub(crate) retry: bool,
}

impl<'a> Request<'a> {
    /// A request without body and headers, retried.
    pub(crate) fn new(
        method: Method,
        target: Target,
        repository: &'a str,
        scopes: Scopes,
        action: String,
    ) -> Self {
        Self {
            method,
            target,
            repository,
            scopes,
            headers: Vec::new(),
            payload: Payload::None,
            action,
            retry: true,
        }
    }

    /// With one more header.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With a body.
    pub(crate) fn payload(mut self, payload: Payload<'a>) -> Self {
        self.payload = payload;
        self
    }

    /// Tried once only.
    pub(crate) fn once(mut self) -> Self {
        self.retry = false;
        self
    }
}

/// A request to any server on the web.
pub(crate) struct WebRequest<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a Url,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// For the origin of `url` and nobody else.
    pub(crate) authorization: Option<&'a str>,
}

/// An answer, with what an error about it needs to say.
pub(crate) struct Response {
    answer: Answer,
    repository: String,
    action: String,
    identity: String,
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.answer.status
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.answer.header(name)
    }

    /// Where the answer came from in the end.
    pub(crate) fn url(&self) -> &Url {
        &self.answer.url
    }

    /// Host (and port) that answered.
    pub(crate) fn host(&self) -> String {
        self.answer.url.place()
    }

    /// The answer if its status is one of `statuses`, otherwise the error that it means.
    pub(crate) fn expect(self, statuses: &[u16]) -> Result<Self> {
        if statuses.contains(&self.status()) { Ok(self) } else { Err(self.into_error()) }
    }

    /// The error that this answer means.
    pub(crate) fn into_error(mut self) -> Error {
        let retry_after = self.retry_after();
        let body = read_up_to(&mut self.answer, ERROR_LEN_MAX);
        Error::Refused(Box::new(Refusal {
            host: self.host(),
            repository: self.repository,
            action: self.action,
            status: self.answer.status,
            messages: messages(&body),
            retry_after,
            identity: self.identity,
        }))
    }

    /// An error about this answer that is not about its status.
    pub(crate) fn invalid(&self, what: impl Into<String>) -> Error {
        Error::InvalidResponse { host: self.host(), what: what.into() }
    }

    /// Reads away what is left, so that the connection can be used again.
    pub(crate) fn discard(mut self) {
        read_up_to(&mut self.answer, ERROR_LEN_MAX);
    }

    /// The body as a stream.
    pub(crate) fn into_body(self) -> ureq::BodyReader<'static> {
        self.answer.body.into_reader()
    }

    fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after").and_then(|value| retry::parse_retry_after(value, SystemTime::now()))
    }
}

/// What there is of a body, errors and the rest beyond `limit` ignored.
fn read_up_to(answer: &mut Answer, limit: u64) -> Vec<u8> {
    use std::io::Read;
    let mut bytes = Vec::new();
    // One byte more, so that a body of exactly `limit` bytes is read to its end.
    let _ = answer.body.as_reader().take(limit + 1).read_to_end(&mut bytes);
    bytes
}

/// Sends requests to registries.
pub(crate) struct Transport {
    http: Http,
    credentials: Credentials,
    sleep: Option<Arc<dyn Fn(Duration) + Send + Sync>>,
    endpoints: Mutex<HashMap<(String, bool), Arc<Endpoint>>>,
    /// Places where the user accepts plain text and addresses inside of the network.
    trusted: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Transport {
    pub(crate) fn new(config: &Config, trusted: Arc<dyn Fn(&str) -> bool + Send + Sync>) -> Self {
        let http = Http::new(
            Arc::clone(&config.cancel),
            config.user_agent.clone(),
            config.proxies.clone(),
            config.certs_dirs.clone(),
        );
        Self {
            http,
            credentials: Credentials::new(config.credentials.clone(), Arc::clone(&config.cancel)),
            sleep: config.sleep.clone(),
            endpoints: Mutex::default(),
            trusted,
        }
    }

    /// What is known about the registry at `host` (as in references); the same object for the same arguments.
    pub(crate) fn endpoint(&self, host: &str, insecure: bool) -> Arc<Endpoint> {
        let insecure = insecure || (self.trusted)(host);
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host.to_owned(), insecure);
        Arc::clone(endpoints.entry(key).or_insert_with(|| Arc::new(Endpoint::new(host, insecure))))
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// An error for a body that broke off.
    pub(crate) fn body_error(&self, url: &Url, error: &std::io::Error) -> Error {
        self.http.translate_io(url, error)
    }

    /// Does what `request` says, as whoever the user is there. Any status is an answer.
    pub(crate) fn send(&self, endpoint: &Endpoint, request: &Request<'_>) -> Result<Response> {
        let identity = match endpoint.identity() {
            Some(identity) => identity,
            None => self.credentials.lookup(endpoint.host(), request.repository)?,
        };
        let mut wanted = request.scopes.clone();
        for round in 1.. {
            let authorization = self.authorization(endpoint, &identity, &wanted)?;
            let response = self.send_as(endpoint, request, &authorization, &identity)?;
            let again = round < MAX_ROUNDS
                && self.learn(endpoint, &identity, &authorization, &mut wanted, &response)?;
            if !again {
                return Ok(response);
            }
            response.discard();
        }
        unreachable!("the loop ends in round {MAX_ROUNDS}")
    }

    fn send_as(
        &self,
        endpoint: &Endpoint,
        request: &Request<'_>,
        authorization: &Authorization,
        identity: &Identity,
    ) -> Result<Response> {
        let url = match &request.target {
            Target::Url(url) => url.clone(),
            Target::Path(path) => self.base(endpoint)?.join(path).ok_or_else(|| Error::InvalidResponse {
                host: endpoint.host().to_owned(),
                what: format!("{path:?} cannot be part of an address"),
            })?,
        };
        self.with_retries(request.retry, || {
            let answer = self.follow(endpoint, request, &url, authorization.header.as_deref())?;
            Ok(Response {
                answer,
                repository: request.repository.to_owned(),
                action: request.action.clone(),
                identity: if authorization.header.is_some() {
                    identity.describe()
                } else {
                    describe_unused(identity)
                },
            })
        })
    }

    /// Sends to any server on the web and goes where it is sent; tried again while that may help. Any status is an
    /// answer.
    pub(crate) fn send_web(&self, request: &WebRequest<'_>) -> Result<Response> {
        let path = request.url.target.split('?').next().unwrap_or("/").to_owned();
        let identity = if request.authorization.is_some() { "the user that was given" } else { "anonymous" };
        self.with_retries(true, || {
            Ok(Response {
                answer: self.follow_web(request)?,
                repository: String::new(),
                action: format!("give {path}"),
                identity: identity.to_owned(),
            })
        })
    }

    fn follow_web(&self, request: &WebRequest<'_>) -> Result<Answer> {
        let mut url = request.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let mut headers = request.headers.clone();
            if let Some(value) = request.authorization
                && url.same_origin(request.url)
            {
                headers.push(("Authorization", value.to_owned()));
            }
            let mut answer = self.http.run(&request.method, &url, &headers, Payload::None, false)?;
            let location = answer.header("location").map(str::to_owned);
            let (301 | 302 | 303 | 307 | 308, Some(location)) = (answer.status, location) else {
                return Ok(answer);
            };
            read_up_to(&mut answer, ERROR_LEN_MAX);
            url = step(request.url, &url, &location, &*self.trusted)?;
        }
        Err(Error::InvalidResponse { host: request.url.place(), what: "it redirects in circles".to_owned() })
    }

    /// Sends to `url` and goes where it is sent. Only the registry itself sees the authorization.
    fn follow(
        &self,
        endpoint: &Endpoint,
        request: &Request<'_>,
        url: &Url,
        authorization: Option<&str>,
    ) -> Result<Answer> {
        let home = self.base(endpoint)?;
        let mut url = url.clone();
        let mut method = request.method.clone();
        for _ in 0..=REDIRECTS_MAX {
            let mut headers: Vec<_> = request.headers.iter().map(|(k, v)| (*k, v.clone())).collect();
            if let Some(value) = authorization
                && url.same_origin(&home)
            {
                headers.push(("Authorization", value.to_owned()));
            }
            let insecure =
                if url.same_origin(&home) { endpoint.insecure() } else { (self.trusted)(&url.place()) };
            let mut answer = self.http.run(&method, &url, &headers, request.payload, insecure)?;
            let is_read = matches!(method, Method::GET | Method::HEAD);
            let moved = match answer.status {
                301 | 302 if is_read => true,
                303 => {
                    method = Method::GET;
                    is_read
                }
                307 | 308 => true,
                _ => false,
            };
            let location = answer.header("location").map(str::to_owned);
            let (true, Some(location)) = (moved, location) else { return Ok(answer) };
            read_up_to(&mut answer, ERROR_LEN_MAX);
            url = self.next_url(endpoint, &url, &location)?;
        }
        Err(Error::InvalidResponse {
            host: endpoint.host().to_owned(),
            what: "it redirects in circles".to_owned(),
        })
    }

    /// The address that `location` means as seen from `from`, if it may be visited.
    pub(crate) fn next_url(&self, endpoint: &Endpoint, from: &Url, location: &str) -> Result<Url> {
        step(&self.base(endpoint)?, from, location, &*self.trusted)
    }

    /// Runs `attempt` until it succeeds, fails for good, or has failed often enough.
    fn with_retries(&self, retry: bool, mut attempt: impl FnMut() -> Result<Response>) -> Result<Response> {
        let mut tried = 0;
        loop {
            tried += 1;
            let result = attempt();
            let (status, wish) = match &result {
                Ok(response) if retry::is_transient(response.status()) => {
                    (Some(response.status()), response.retry_after())
                }
                Err(Error::Unreachable { transient: true, .. }) => (None, None),
                _ => return result,
            };
            let Some(wait) = retry::wait(tried, status, wish).filter(|_| retry) else { return result };
            if let Ok(response) = result {
                response.discard();
            }
            self.wait(wait)?;
        }
    }

    /// Waits between tries, unless the caller asks to stop.
    pub(crate) fn wait(&self, duration: Duration) -> Result<()> {
        if let Some(sleep) = &self.sleep {
            sleep(duration);
            return if self.http.is_canceled() { Err(Error::Canceled) } else { Ok(()) };
        }
        let end = Instant::now() + duration;
        loop {
            if self.http.is_canceled() {
                return Err(Error::Canceled);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(WAIT_SLICE));
        }
    }

    /// Fails if the caller asked to stop.
    pub(crate) fn check_canceled(&self) -> Result<()> {
        if self.http.is_canceled() { Err(Error::Canceled) } else { Ok(()) }
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").field("http", &self.http).finish_non_exhaustive()
    }
}

/// The address that `location` means as seen from `from`, if somebody who asked `home` may visit it.
fn step(home: &Url, from: &Url, location: &str, trusted: &dyn Fn(&str) -> bool) -> Result<Url> {
    let next = from.join(location).ok_or_else(|| Error::InvalidResponse {
        host: from.place(),
        what: "it points to something that is no http address".to_owned(),
    })?;
    let next = keep_tls(from, next);
    check_step(home, &next, trusted).map_err(|reason| Error::UnsafeAddress {
        host: home.place(),
        address: next.origin(),
        reason,
    })?;
    Ok(next)
}

/// No authorization went out: either there is none, or nobody asked for it.
fn describe_unused(identity: &Identity) -> String {
    if identity.is_anonymous() { identity.describe() } else { String::new() }
}

/// How long to wait before try number `tried + 1` of something that has its own way of trying.
pub(crate) fn backoff(tried: u32) -> Duration {
    retry::wait(tried.clamp(1, retry::TRIES - 1), None, None).unwrap_or(retry::WAIT_MAX)
}

/// Whether a failure tends to pass by itself.
pub(crate) fn is_transient(error: &Error) -> bool {
    match error {
        Error::Unreachable { transient, .. } => *transient,
        Error::Refused(refusal) => retry::is_transient(refusal.status),
        _ => false,
    }
}
