//! Ctrl-C: every call ends within a second, whatever it waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jettison_registry::fake::{Action, FakeRegistry, Fault};
use jettison_registry::{Client, Config, Error};

use super::{Source, noise, reference};

/// Runs `work` and says stop after a while; it must end soon, and as canceled.
fn canceled(work: impl FnOnce(&Client) -> Result<(), Error> + Send) {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let client = Client::new(Config::default().cancel(move || flag.load(Ordering::SeqCst)));
    std::thread::scope(|scope| {
        let running = scope.spawn(|| work(&client));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!running.is_finished());
        stop.store(true, Ordering::SeqCst);
        let start = Instant::now();
        let result = running.join().unwrap();
        assert!(matches!(result, Err(Error::Canceled)), "{result:?}");
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    });
}

#[test]
fn while_a_body_does_not_come() {
    let registry = FakeRegistry::start();
    let blob = registry.put_blob("app", &noise(100_000));
    registry.fault(Fault::on("GET", "/blobs/").act(Action::Stall(Duration::from_secs(20))));
    canceled(|client| client.blob(&reference(&registry, "app:1"), &blob, &mut Vec::new(), &|_| {}));
}

#[test]
fn while_an_answer_does_not_come() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("{}/app:1", silent.local_addr().unwrap()).parse().unwrap();
    canceled(|client| client.manifest(&name).map(drop));
}

#[test]
fn while_waiting_for_the_next_try() {
    let registry = FakeRegistry::start();
    registry.fault(Fault::on("GET", "/manifests/").respond_with(429, &[("Retry-After", "50")]));
    canceled(|client| client.manifest(&reference(&registry, "app:1")).map(drop));
}

#[test]
fn while_sending_to_somebody_who_does_not_read() {
    // Answers the ping and the POST, and never reads the body.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            let mut requests = 0;
            while requests < 4 && stream.read(&mut byte).unwrap_or(0) == 1 {
                head.push(byte[0]);
                if !head.ends_with(b"\r\n\r\n") {
                    continue;
                }
                requests += 1;
                let text = String::from_utf8_lossy(&head).into_owned();
                head.clear();
                let answer: &[u8] = match text.split(' ').next() {
                    Some("GET") => b"HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n",
                    Some("HEAD") => b"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n",
                    Some("POST") => {
                        b"HTTP/1.1 202 x\r\nLocation: /v2/app/blobs/uploads/1\r\nContent-Length: 0\r\n\r\n"
                    }
                    _ => break,
                };
                stream.write_all(answer).unwrap();
            }
            kept.push(stream);
        }
    });
    let source = Source::new(noise(64 * 1024 * 1024));
    canceled(|client| source.push(client, &format!("{host}/app:1").parse().unwrap()).map(drop));
}
