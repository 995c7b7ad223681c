//! The little HTTP that the commands need: a GET to this machine, the answer in memory; and a server of a few pages.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Longest answer that is read, bytes: manifests and greetings.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// Longest head of a request that is read, bytes.
const REQUEST_BYTES_MAX: u64 = 64 << 10;

/// How long a single connection may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The body of `http://127.0.0.1:PORT/PATH`; any status but 200 is an error.
pub fn get(port: u16, path: &str, accept: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // Version 1.0: the body ends where the connection does, never in chunks. One write: whoever answers after the first
    // of several and closes would reset the connection, and the answer would be lost with it.
    let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nAccept: {accept}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").context("the answer is not HTTP")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("GET http://127.0.0.1:{port}{path}: {status}");
    }
    Ok(answer.split_off(end + 4))
}

/// Asks again and again until there is an answer, for something that is just starting. `alive` may give up early.
pub fn get_when_up(
    port: u16,
    path: &str,
    limit: Duration,
    mut alive: impl FnMut() -> Result<()>,
) -> Result<Vec<u8>> {
    let start = Instant::now();
    loop {
        match get(port, path, "*/*") {
            Ok(body) => return Ok(body),
            Err(error) if start.elapsed() > limit => {
                return Err(error.context(format!("no answer within {} s", limit.as_secs())));
            }
            Err(_) => {}
        }
        alive()?;
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Serves `pages`, by path, on a port of the loopback interface for as long as this process lives.
pub fn serve(pages: BTreeMap<String, Vec<u8>>) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever goes away before the end does not want the answer.
            let _ = answer(stream, &pages);
        }
    });
    Ok(port)
}

/// One request, one answer.
fn answer(stream: TcpStream, pages: &BTreeMap<String, Vec<u8>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.take(REQUEST_BYTES_MAX));
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, body) = match pages.get(path) {
        Some(body) => ("200 OK", body.as_slice()),
        None => ("404 Not Found", &b""[..]),
    };
    let length = body.len();
    let mut answer =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").into_bytes();
    if method != "HEAD" {
        answer.extend_from_slice(body);
    }
    reader.into_inner().into_inner().write_all(&answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_served_by_path() {
        let port = serve(BTreeMap::from([("/a".to_owned(), b"text".to_vec())])).unwrap();
        assert_eq!(get(port, "/a", "*/*").unwrap(), b"text");
        assert!(get(port, "/b", "*/*").is_err());
    }

    fn answer_once(answer: &'static str) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut bytes = [0; 1024];
                let length = client.read(&mut bytes).unwrap();
                assert_ne!(length, 0, "the request ends too early");
                request.extend_from_slice(&bytes[..length]);
            }
            client.write_all(answer.as_bytes()).unwrap();
        });
        port
    }

    #[test]
    fn the_body_of_an_answer_is_returned() {
        let port = answer_once("HTTP/1.1 200 OK\r\nX: y\r\n\r\nHello world!\n");
        assert_eq!(get(port, "/", "*/*").unwrap(), b"Hello world!\n");
    }

    #[test]
    fn another_status_is_an_error_that_names_it() {
        let port = answer_once("HTTP/1.1 404 Not Found\r\n\r\n");
        assert!(get(port, "/x", "*/*").unwrap_err().to_string().contains("404 Not Found"));
    }
}
