//! HTTP/1.1 for the fake registry: just enough, blocking, one thread per connection.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::faults::Action;
use super::{Recorded, Shared, routes};

/// Longest request head, bytes.
const HEAD_LEN_MAX: u64 = 64 * 1024;

/// A request, complete.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Values of a query parameter, decoded.
    pub(super) fn query(&self, key: &str) -> Vec<String> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        fields(query, key)
    }

    /// Values of a form field, decoded.
    pub(super) fn form(&self, key: &str) -> Vec<String> {
        fields(&String::from_utf8_lossy(&self.body), key)
    }
}

fn fields(text: &str, key: &str) -> Vec<String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(k, _)| *k == key).map(|(_, value)| decode(value)).collect()
}

fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let hex: Vec<u8> = bytes.by_ref().take(2).collect();
            let hex = String::from_utf8_lossy(&hex).into_owned();
            out.push(u8::from_str_radix(&hex, 16).unwrap_or(b'?'));
        } else {
            out.push(if byte == b'+' { b' ' } else { byte });
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// An answer.
#[derive(Default)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Response {
    pub(super) fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        self.headers.retain(|(k, _)| !k.eq_ignore_ascii_case(name));
        if !value.is_empty() {
            self.headers.push((name.to_owned(), value));
        }
    }

    fn set_all(&mut self, headers: &[(String, String)]) {
        for (name, value) in headers {
            self.set(name, value.as_str());
        }
    }

    pub(super) fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = bytes.into();
        self
    }

    /// An error document of the distribution specification.
    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        let document = serde_json::json!({ "errors": [{ "code": code, "message": message }] });
        Self::new(status).header("Content-Type", "application/json").body(document.to_string())
    }
}

/// Serves one connection until it ends.
pub(super) fn serve(stream: TcpStream, shared: &Shared) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
    let _ = stream.set_nodelay(true);
    let Ok(reading) = stream.try_clone() else { return };
    let mut reader = BufReader::new(reading);
    let mut writer = stream;
    while !shared.stop.load(Ordering::SeqCst) {
        match serve_one(&mut reader, &mut writer, shared) {
            Ok(true) => {}
            _ => return,
        }
    }
}

/// Serves one request; false if the connection is to be closed.
fn serve_one(reader: &mut BufReader<TcpStream>, writer: &mut TcpStream, shared: &Shared) -> io::Result<bool> {
    let Some(mut request) = read_head(reader)? else { return Ok(false) };
    let action = {
        let mut state = shared.state();
        state.faults.iter_mut().find_map(|fault| fault.strike(&request.method, &request.target))
    };
    match &action {
        Some(Action::RespondEarly { status, body }) => {
            record(shared, &request, *status);
            let response = Response::new(*status).body(body.as_bytes());
            write_response(writer, &request, &response, None)?;
            // Like servers that linger for a moment, so that the answer is not lost in a reset.
            writer.shutdown(std::net::Shutdown::Write)?;
            let _ = io::copy(&mut reader.by_ref().take(64 * 1024), &mut io::sink());
            return Ok(false);
        }
        Some(Action::CutRequest { after }) => {
            expect_continue(writer, &request)?;
            let mut body = vec![0; *after];
            reader.read_exact(&mut body)?;
            request.body = body;
            routes::keep_part(&mut shared.state(), &request);
            record(shared, &request, 0);
            return Ok(false);
        }
        _ => {}
    }
    expect_continue(writer, &request)?;
    read_body(reader, &mut request)?;
    answer(writer, &request, action, shared)
}

fn answer(
    writer: &mut TcpStream,
    request: &Request,
    action: Option<Action>,
    shared: &Shared,
) -> io::Result<bool> {
    if let Some(Action::ExpireTokens) = action {
        shared.state().tokens.clear();
    }
    let mut response = match &action {
        Some(Action::Respond { status, headers, body }) => {
            let mut response = Response::new(*status).body(body.as_bytes());
            response.set_all(headers);
            response
        }
        _ => routes::route(&mut shared.state(), &shared.host, request),
    };
    let mut cut = None;
    match action {
        Some(Action::SwallowResponse) => {
            record(shared, request, 0);
            return Ok(false);
        }
        Some(Action::CutResponse { after }) => cut = Some(after),
        Some(Action::Garble) => {
            if let Some(byte) = response.body.last_mut() {
                *byte ^= 1;
            }
        }
        Some(Action::Headers(headers)) => {
            response.set_all(&headers);
        }
        Some(Action::Status(status)) => response.status = status,
        Some(Action::Stall(duration)) => {
            record(shared, request, response.status);
            write_response(writer, request, &response, Some(response.body.len() / 2))?;
            let end = Instant::now() + duration;
            while Instant::now() < end && !shared.stop.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(20));
            }
            return Ok(false);
        }
        _ => {}
    }
    record(shared, request, response.status);
    write_response(writer, request, &response, cut)?;
    Ok(cut.is_none())
}

fn record(shared: &Shared, request: &Request, status: u16) {
    shared.state().requests.push(Recorded {
        method: request.method.clone(),
        target: request.target.clone(),
        headers: request.headers.clone(),
        body_len: request.body.len(),
        status,
    });
}

fn read_head(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut head = reader.by_ref().take(HEAD_LEN_MAX);
    let mut line = String::new();
    if head.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let (method, target) = (method.to_owned(), target.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        if head.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(Some(Request { method, target, headers, body: Vec::new() }));
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
}

fn expect_continue(writer: &mut TcpStream, request: &Request) -> io::Result<()> {
    if request.headers.get("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    Ok(())
}

fn read_body(reader: &mut BufReader<TcpStream>, request: &mut Request) -> io::Result<()> {
    if request.headers.get("transfer-encoding").is_some_and(|value| value == "chunked") {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let len = usize::from_str_radix(line.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
            let mut chunk = vec![0; len + 2];
            reader.read_exact(&mut chunk)?;
            request.body.extend_from_slice(&chunk[..len]);
            if len == 0 {
                return Ok(());
            }
        }
    }
    let len = request.headers.get("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    request.body = vec![0; len];
    reader.read_exact(&mut request.body)
}

fn write_response(
    writer: &mut TcpStream,
    request: &Request,
    response: &Response,
    cut: Option<usize>,
) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} x\r\n", response.status);
    for (name, value) in &response.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    let has_length = response.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    if !has_length && response.status != 204 {
        head.extend(["Content-Length: ", &response.body.len().to_string(), "\r\n"]);
    }
    head.push_str("\r\n");
    writer.write_all(head.as_bytes())?;
    if request.method != "HEAD" && response.status != 204 {
        let body = &response.body[..cut.unwrap_or(response.body.len()).min(response.body.len())];
        writer.write_all(body)?;
    }
    writer.flush()
}
