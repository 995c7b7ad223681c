//! A registry that keeps of blobs no more than their digests, for a push of several gigabytes that breaks once. What came of
//! an upload before it broke counts, as the distribution specification has it; Debian's docker-registry cannot show that:
//! it refuses a session that holds more than its last answer said, and forgets it.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use sha2::{Digest, Sha256};

use super::proxy::Head;

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;

/// The registry. It ends with the process.
pub struct Sink {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Digest and size of each upload so far.
    uploads: HashMap<String, (Sha256, u64)>,
    blobs: Vec<String>,
    /// Bytes of request bodies that came.
    sent: u64,
    /// The upload breaks when so much of it is here.
    cut_at: Option<u64>,
    manifests: u64,
}

impl Sink {
    /// Listens; the first upload that comes so far is cut there.
    pub fn start(cut_at: u64) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(Mutex::new(State { cut_at: Some(cut_at), ..State::default() }));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                // Whoever breaks off is served again when it comes back.
                std::thread::spawn(move || serve(&state, stream));
            }
        });
        Ok(Self { port, state })
    }

    /// Bytes that were sent, whether the upload broke, and manifests that came.
    pub fn seen(&self) -> (u64, bool, u64) {
        let state = lock(&self.state);
        (state.sent, state.cut_at.is_none(), state.manifests)
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(state: &Mutex<State>, mut client: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(READ_BYTES, client.try_clone()?);
    let Some(request) = Head::read(&mut reader)? else { return Ok(()) };
    if request.get("expect").is_some() {
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let (path, query) = request.word(1).split_once('?').unwrap_or((request.word(1), ""));
    let digest =
        query.split('&').find_map(|pair| pair.strip_prefix("digest=")).map(|d| d.replace("%3A", ":"));
    let answer = match request.word(0) {
        "POST" => {
            let mut state = lock(state);
            let id = format!("/v2/large/blobs/uploads/{}", state.uploads.len());
            state.uploads.insert(id.clone(), (Sha256::new(), 0));
            format!("202 Accepted\r\nlocation: {id}\r\n")
        }
        "HEAD" if path.contains("/blobs/") => {
            let known = lock(state).blobs.iter().any(|blob| path.ends_with(blob));
            if known { "200 OK\r\n".to_owned() } else { "404 Not Found\r\n".to_owned() }
        }
        "PUT" if path.contains("/manifests/") => {
            io::copy(&mut reader.by_ref().take(request.length().unwrap_or(0)), &mut io::sink())?;
            lock(state).manifests += 1;
            "201 Created\r\n".to_owned()
        }
        "PUT" | "PATCH" => {
            let Some(at) = receive(state, path, &request, &mut reader)? else { return Ok(()) };
            match digest {
                None => format!("202 Accepted\r\nlocation: {path}\r\nrange: 0-{}\r\n", at.saturating_sub(1)),
                Some(digest) => finish(&mut lock(state), path, digest),
            }
        }
        "GET" if path.contains("/uploads/") => {
            let at = lock(state).uploads.get(path).map_or(0, |(_, size)| *size);
            format!("204 No Content\r\nlocation: {path}\r\nrange: 0-{}\r\n", at.saturating_sub(1))
        }
        "GET" if path == "/v2/" => "200 OK\r\n".to_owned(),
        _ => "404 Not Found\r\n".to_owned(),
    };
    write!(client, "HTTP/1.1 {answer}content-length: 0\r\nconnection: close\r\n\r\n")
}

/// Takes a body; how much of the upload is here then, or nothing if the connection breaks now.
fn receive(
    state: &Mutex<State>,
    path: &str,
    request: &Head,
    reader: &mut impl Read,
) -> io::Result<Option<u64>> {
    let mut left = request.length().unwrap_or(0);
    let mut buffer = vec![0; READ_BYTES];
    while left > 0 {
        let wanted = left.min(READ_BYTES as u64) as usize;
        let count = reader.read(&mut buffer[..wanted])?;
        if count == 0 {
            return Ok(None);
        }
        left -= count as u64;
        let mut state = lock(state);
        state.sent += count as u64;
        let cut_at = state.cut_at;
        let Some((hash, size)) = state.uploads.get_mut(path) else { return Ok(None) };
        hash.update(&buffer[..count]);
        *size += count as u64;
        if cut_at.is_some_and(|at| *size >= at) {
            state.cut_at = None;
            return Ok(None);
        }
    }
    Ok(lock(state).uploads.get(path).map(|(_, size)| *size))
}

fn finish(state: &mut State, path: &str, digest: String) -> String {
    let Some((hash, _)) = state.uploads.remove(path) else { return "404 Not Found\r\n".to_owned() };
    let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if digest != format!("sha256:{found}") {
        return "400 Bad Request\r\n".to_owned();
    }
    state.blobs.push(digest);
    "201 Created\r\n".to_owned()
}
