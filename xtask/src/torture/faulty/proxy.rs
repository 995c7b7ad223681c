//! A registry that misbehaves: a proxy in front of a good one, which does to each request what `faults.rs` has drawn.
//!
//! Each connection carries one request. The proxy hands out tokens and wants them, so that they can expire; blobs may be
//! redirected to a second address, where nobody may come with credentials.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::faults::{Fault, Plan};

/// Longest head of a request or answer, bytes.
const HEAD_BYTES_MAX: u64 = 64 << 10;

/// Requests that a token is good for.
const TOKEN_USES: u64 = 12;

/// Bytes that are sent at a time where an answer comes slowly, and the pause between.
const SLOW_BYTES: usize = 20_000;
const SLOW_PAUSE: Duration = Duration::from_millis(4);

/// Largest body of a request where the registry limits chunks.
const CHUNK_BYTES_MAX: u64 = 4 << 20;

pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: u16,
    /// Where redirects lead: the same machine by another name, so another host.
    elsewhere: u16,
    plan: Mutex<Plan>,
    stop: AtomicBool,
    requests: AtomicU64,
    faults: AtomicU64,
    tokens: AtomicU64,
    token_uses: AtomicU64,
    /// What must never happen.
    wrong: Mutex<Vec<String>>,
}

/// The head of a request or answer.
pub(super) struct Head {
    first: String,
    headers: Vec<(String, String)>,
}

impl Head {
    pub(super) fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut limited = reader.take(HEAD_BYTES_MAX);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if limited.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let mut lines = lines.into_iter();
        let Some(first) = lines.next() else { return Ok(None) };
        let pairs = lines.filter_map(|line| {
            line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        });
        Ok(Some(Self { first, headers: pairs.collect() }))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: &str, value: &str) {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    pub(super) fn length(&self) -> Option<u64> {
        self.get("content-length")?.parse().ok()
    }

    fn text(&self) -> String {
        let mut text = format!("{}\r\n", self.first);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text + "\r\n"
    }

    pub(super) fn word(&self, index: usize) -> &str {
        self.first.split(' ').nth(index).unwrap_or_default()
    }
}

impl Proxy {
    /// A proxy in front of the registry at `upstream`.
    pub fn start(upstream: u16, plan: Plan) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let second = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            upstream,
            elsewhere: second.local_addr()?.port(),
            plan: Mutex::new(plan),
            stop: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            tokens: AtomicU64::new(1),
            token_uses: AtomicU64::new(0),
            wrong: Mutex::new(Vec::new()),
        });
        listen(listener, &shared, Shared::serve);
        listen(second, &shared, Shared::serve_elsewhere);
        Ok(Self { port, shared })
    }

    /// Another plan from now on.
    pub fn follow(&self, plan: Plan) {
        *lock(&self.shared.plan) = plan;
    }

    /// Requests and faults so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.requests.load(Ordering::Relaxed), self.shared.faults.load(Ordering::Relaxed))
    }

    /// What it saw that must never happen.
    pub fn wrong(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.shared.wrong))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for port in [self.port, self.shared.elsewhere] {
            // Wakes the listener.
            drop(TcpStream::connect((Ipv4Addr::LOCALHOST, port)));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(listener: TcpListener, shared: &Arc<Shared>, serve: fn(&Shared, TcpStream) -> io::Result<()>) {
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        for stream in listener.incoming() {
            if shared.stop.load(Ordering::Relaxed) {
                return;
            }
            let Ok(stream) = stream else { continue };
            let shared = Arc::clone(&shared);
            // A client that goes away in the middle is none of our business.
            thread::spawn(move || serve(&shared, stream));
        }
    });
}

impl Shared {
    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let _ = client.set_nodelay(true);
        let mut reader = BufReader::new(client.try_clone()?);
        let Some(mut request) = Head::read(&mut reader)? else { return Ok(()) };
        if request.word(1).starts_with("/token") {
            return self.token(&mut client);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let plan = lock(&self.plan).clone();
        let length = request.length().unwrap_or(0);
        let fault = lock(&self.plan).draw();
        if fault.is_some() {
            self.faults.fetch_add(1, Ordering::Relaxed);
        }
        if plan.tokens && !self.token_is_good(&request) {
            return self.challenge(&mut client);
        }
        if let Some(Fault::LoseRequest) = fault {
            return Ok(());
        }
        if plan.small_chunks && length > CHUNK_BYTES_MAX {
            return refuse(&mut client, "413 Request Entity Too Large", "");
        }
        if let Some(Fault::Status(status, headers)) = &fault {
            return refuse(&mut client, status, headers);
        }
        if plan.no_mounts && request.word(1).contains("mount=") {
            request.first = without_query(&request.first);
        }
        let cut = match &fault {
            Some(Fault::CutRequest(part)) => Some(length * u64::from(*part) / 100),
            _ => None,
        };
        self.forward(request, &mut reader, &mut client, fault.as_ref(), cut)
    }

    fn token(&self, client: &mut TcpStream) -> io::Result<()> {
        let number = self.tokens.fetch_add(1, Ordering::Relaxed) + 1;
        self.token_uses.store(0, Ordering::Relaxed);
        let body = format!("{{\"token\":\"token-{number}\",\"expires_in\":300}}");
        let length = body.len();
        write!(
            client,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    }

    /// Tokens die early: each serves so many requests, whatever was promised.
    fn token_is_good(&self, request: &Head) -> bool {
        let newest = format!("Bearer token-{}", self.tokens.load(Ordering::Relaxed));
        let is_newest = request.get("authorization") == Some(&newest);
        is_newest && self.token_uses.fetch_add(1, Ordering::Relaxed) < TOKEN_USES
    }

    fn challenge(&self, client: &mut TcpStream) -> io::Result<()> {
        let port = client.local_addr()?.port();
        let header = format!(
            "www-authenticate: Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"torture\"\r\n"
        );
        refuse(client, "401 Unauthorized", &header)
    }

    fn forward(
        &self,
        mut request: Head,
        reader: &mut BufReader<TcpStream>,
        client: &mut TcpStream,
        fault: Option<&Fault>,
        cut: Option<u64>,
    ) -> io::Result<()> {
        let mut upstream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.upstream))?;
        let (method, target) = (request.word(0).to_owned(), request.word(1).to_owned());
        if request.get("expect").is_some() {
            client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            request.headers.retain(|(name, _)| name != "expect");
        }
        let is_chunked = request.get("transfer-encoding").is_some();
        request.headers.retain(|(name, _)| name != "authorization");
        request.set("connection", "close");
        if matches!(fault, Some(Fault::IgnoreRange)) {
            request.headers.retain(|(name, _)| name != "range");
        }
        upstream.write_all(request.text().as_bytes())?;
        if is_chunked {
            copy_chunked(reader, &mut upstream)?;
        } else {
            let wanted = request.length().unwrap_or(0);
            io::copy(&mut reader.take(cut.unwrap_or(wanted)), &mut upstream)?;
        }
        if cut.is_some() {
            // The registry sees a client that went away, and the client a registry that did.
            return Ok(());
        }
        let mut answers = BufReader::new(upstream);
        let Some(answer) = Head::read(&mut answers)? else { return Ok(()) };
        self.answer(answer, &mut answers, client, &method, &target, fault)
    }

    fn answer(
        &self,
        mut answer: Head,
        body: &mut BufReader<TcpStream>,
        client: &mut TcpStream,
        method: &str,
        target: &str,
        fault: Option<&Fault>,
    ) -> io::Result<()> {
        answer.set("connection", "close");
        let host = format!("127.0.0.1:{}", client.local_addr()?.port());
        // Addresses that the registry names are its own; they have to lead through us.
        if let Some(location) = answer.get("location") {
            let location = location.replace(&format!("127.0.0.1:{}", self.upstream), &host);
            answer.set("location", &location);
        }
        let length = answer.length().unwrap_or(0);
        let is_blob = method == "GET" && target.contains("/blobs/sha256:") && answer.word(1).starts_with('2');
        let mut sent = length;
        match fault {
            Some(Fault::LoseAnswer) => return Ok(()),
            Some(Fault::CutAnswer(part)) => sent = length * u64::from(*part) / 100,
            Some(Fault::WrongLength) => {
                answer.set("content-length", &(length + 1000).to_string());
            }
            Some(Fault::WrongDigest) if answer.get("docker-content-digest").is_some() => {
                answer.set("docker-content-digest", &format!("sha256:{}", "0".repeat(64)));
            }
            Some(Fault::Redirect) if is_blob => {
                let location = format!("location: http://localhost:{}{target}\r\n", self.elsewhere);
                return refuse(client, "307 Temporary Redirect", &location);
            }
            _ => {}
        }
        client.write_all(answer.text().as_bytes())?;
        if method == "HEAD" {
            return Ok(());
        }
        let slow = matches!(fault, Some(Fault::Slow));
        let garble = matches!(fault, Some(Fault::Garble));
        send(&mut body.take(sent), client, slow, garble)
    }

    /// The other host: it serves what the registry has, and nobody may show it a secret.
    fn serve_elsewhere(&self, mut client: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        let Some(request) = Head::read(&mut reader)? else { return Ok(()) };
        if request.get("authorization").is_some() {
            lock(&self.wrong).push(format!("credentials went to another host: {}", request.first));
        }
        self.forward(request, &mut reader, &mut client, None, None)
    }
}

fn refuse(client: &mut TcpStream, status: &str, headers: &str) -> io::Result<()> {
    write!(client, "HTTP/1.1 {status}\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n")?;
    // What the client is still sending is read for a moment, or else the answer would be lost in a reset.
    client.shutdown(std::net::Shutdown::Write)?;
    client.set_read_timeout(Some(Duration::from_millis(200)))?;
    let _ = io::copy(&mut client.take(64 << 20), &mut io::sink());
    Ok(())
}

fn without_query(first: &str) -> String {
    let words: Vec<&str> = first.split(' ').collect();
    let target = words[1].split('?').next().unwrap_or_default();
    format!("{} {target} {}", words[0], words[2])
}

fn send(body: &mut impl Read, client: &mut TcpStream, slow: bool, garble: bool) -> io::Result<()> {
    let mut buffer = vec![0; if slow { SLOW_BYTES } else { 256 << 10 }];
    let mut garble = garble;
    loop {
        let length = body.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        if std::mem::take(&mut garble) {
            buffer[length / 2] ^= 1;
        }
        client.write_all(&buffer[..length])?;
        if slow {
            thread::sleep(SLOW_PAUSE);
        }
    }
}

fn copy_chunked(reader: &mut BufReader<TcpStream>, upstream: &mut TcpStream) -> io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
        upstream.write_all(line.as_bytes())?;
        io::copy(&mut reader.take(length + 2), upstream)?;
        if length == 0 {
            return Ok(());
        }
    }
}
