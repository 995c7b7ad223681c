//! A web server of one page, in less than half a megabyte: whoever asks is answered `Hello world!`.
//!
//! The standard library only, and of that what costs little: the address is a number (a name would bring in the
//! resolver), answer and errors are fixed bytes. Compiles with every Rust since 1.63, with plain `rustc`; the Dockerfile
//! next to this folder has the flags and says what each is worth.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

const PORT: u16 = 8080;

/// Threads that accept connections; a slow client holds up one of them.
const THREADS: usize = 8;

/// Longest request that is read, bytes. Nothing in it matters to us, only where it ends.
const REQUEST_BYTES_MAX: usize = 8192;

/// How long a client may take to send or to read.
const PATIENCE: Duration = Duration::from_secs(5);

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n\
Connection: close\r\n\r\nHello world!\n";

/// Reads one request up to its empty line and answers it. A client that misbehaves loses its connection, no more.
fn answer(mut client: TcpStream) -> Option<()> {
    client.set_read_timeout(Some(PATIENCE)).ok()?;
    client.set_write_timeout(Some(PATIENCE)).ok()?;
    let mut request = [0; REQUEST_BYTES_MAX];
    let mut length = 0;
    while !request[..length].windows(4).any(|window| window == b"\r\n\r\n") {
        match client.read(request.get_mut(length..)?) {
            Ok(0) | Err(_) => return None,
            Ok(read) => length += read,
        }
    }
    client.write_all(ANSWER).ok()
}

fn serve(listener: &TcpListener) {
    loop {
        match listener.accept() {
            Ok((client, _)) => drop(answer(client)),
            // Out of file descriptors, most likely: wait for somebody to hang up.
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn main() -> ExitCode {
    let listener = match TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)) {
        Ok(listener) => listener,
        Err(_) => {
            let _ = std::io::stderr().write_all(b"port 8080 cannot be had\n");
            return ExitCode::FAILURE;
        }
    };
    thread::scope(|scope| {
        for _ in 1..THREADS {
            scope.spawn(|| serve(&listener));
        }
        serve(&listener);
    });
    ExitCode::SUCCESS
}
