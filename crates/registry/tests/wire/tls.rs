//! TLS: who is trusted. Certificates are made by the `openssl` program.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use jettison_registry::fake::{Auth, FakeRegistry, Fault, TokenAuth};
use jettison_registry::{Config, Kind};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::client_with;

/// A self-signed certificate for 127.0.0.1 and `registry.test`; false if there is no openssl.
fn make_certificate(dir: &Path) -> bool {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=registry.test", "-addext", "subjectAltName=IP:127.0.0.1,DNS:registry.test"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(dir)
        .output();
    match made {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            true
        }
        Err(error) => {
            eprintln!("skipped: openssl cannot be started: {error}");
            false
        }
    }
}

/// Ends TLS and asks the registry at `target`.
fn serve(dir: &Path, target: String) -> String {
    let certificate = CertificateDer::from_pem_file(dir.join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let target = target.clone();
            let mut stream = BufReader::new(rustls::StreamOwned::new(connection, stream.unwrap()));
            std::thread::spawn(move || {
                let mut head = String::new();
                let upstream =
                    std::net::TcpStream::connect(target.parse::<std::net::SocketAddr>().unwrap()).unwrap();
                let mut upstream = BufReader::new(upstream);
                while stream.read_line(&mut head).is_ok_and(|n| n > 0) {
                    if head.ends_with("\r\n\r\n") {
                        upstream.get_mut().write_all(head.as_bytes()).unwrap();
                        stream.get_mut().write_all(&read_answer(&mut upstream)).unwrap();
                        head.clear();
                    }
                }
            });
        }
    });
    host
}

/// Head and body of an answer to a GET.
fn read_answer(upstream: &mut impl BufRead) -> Vec<u8> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(upstream.read_line(&mut head).unwrap() > 0);
    }
    let len =
        head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).map_or(0, |n| n.parse().unwrap());
    let mut answer = head.into_bytes();
    upstream.take(len).read_to_end(&mut answer).unwrap();
    answer
}

fn registry() -> FakeRegistry {
    let registry = FakeRegistry::start();
    registry.put_image("app", "1", b"{}", &[]);
    registry
}

#[test]
fn on_this_machine_tls_is_found_and_accepted() {
    let dir = tempfile::tempdir().unwrap();
    if !make_certificate(dir.path()) {
        return;
    }
    let registry = registry();
    let host = serve(dir.path(), registry.host());
    let (client, _) = client_with(Config::default());
    client.manifest(&format!("{host}/app:1").parse().unwrap()).unwrap();
}

/// The rest needs a host name that is not local, which only a proxy can lead to this machine.
#[test]
fn certificates_are_verified_through_a_proxy() {
    let dir = tempfile::tempdir().unwrap();
    if !make_certificate(dir.path()) {
        return;
    }
    let registry = registry();
    let host = serve(dir.path(), registry.host());
    let proxy = serve_proxy(host);
    let config = || {
        let variables = |name: &str| (name == "HTTPS_PROXY").then(|| format!("http://user:pw@{proxy}"));
        Config::from_variables(&variables).unwrap()
    };
    let image = "registry.test/app:1".parse().unwrap();
    let (client, _) = client_with(config());
    let error = client.manifest(&image).unwrap_err();
    assert_eq!(error.kind(), Kind::Certificate);
    assert_eq!(
        error.to_string(),
        "cannot trust registry.test: its certificate is signed by nobody that this machine trusts"
    );
    // As a root for this host alone.
    let certs = dir.path().join("certs.d");
    std::fs::create_dir_all(certs.join("registry.test")).unwrap();
    std::fs::copy(dir.path().join("cert.pem"), certs.join("registry.test/ca.crt")).unwrap();
    std::fs::copy(dir.path().join("cert.pem"), certs.join("registry.test/me.cert")).unwrap();
    std::fs::copy(dir.path().join("key.pem"), certs.join("registry.test/me.key")).unwrap();
    let (client, _) = client_with(config().certs_dir(&certs));
    client.manifest(&image).unwrap();
    let other = "other.test/app:1".parse().unwrap();
    assert_eq!(client.manifest(&other).unwrap_err().kind(), Kind::Certificate);
    // Not verified at all.
    let (client, _) = client_with(config().insecure("registry.test"));
    client.manifest(&image).unwrap();
}

#[test]
fn public_registries_are_not_pinged_unless_they_hide() {
    let dir = tempfile::tempdir().unwrap();
    if !make_certificate(dir.path()) {
        return;
    }
    let registry = registry();
    let realm = Some("https://registry.test/token".to_owned());
    registry.require(Auth::Token(TokenAuth { realm, ..TokenAuth::default() }));
    let proxy = serve_proxy(serve(dir.path(), registry.host()));
    let variables = |name: &str| (name == "HTTPS_PROXY").then(|| format!("http://user:pw@{proxy}"));
    let certs = dir.path().join("certs.d");
    std::fs::create_dir_all(certs.join("registry.test")).unwrap();
    std::fs::copy(dir.path().join("cert.pem"), certs.join("registry.test/ca.crt")).unwrap();
    let config = || Config::from_variables(&variables).unwrap().certs_dir(&certs);
    let image = "registry.test/app:1".parse().unwrap();
    client_with(config()).0.manifest(&image).unwrap();
    assert_eq!(registry.log("/"), ["GET 401", "GET 200", "GET 200"]);
    // A 404 for what anonymous people may not see.
    registry.fault(Fault::on("GET", "/manifests/").respond(404, ""));
    client_with(config()).0.manifest(&image).unwrap();
    assert_eq!(registry.log("/")[3..], ["GET 404", "GET 401", "GET 200", "GET 200"]);
    // A token server that is not https would see passwords in plain text (as in CVE-2019-10214 of containers/image).
    let realm = Some("http://elsewhere.test/token".to_owned());
    registry.require(Auth::Token(TokenAuth { realm, ..TokenAuth::default() }));
    let error = client_with(config()).0.manifest(&image).unwrap_err();
    assert_eq!(
        error.to_string(),
        "registry.test points to http://elsewhere.test:80, which is not followed: it would leave https"
    );
}

/// A CONNECT proxy that leads everywhere to `target`.
fn serve_proxy(target: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let target = target.clone();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if reader.read_line(&mut head).unwrap() == 0 {
                        return;
                    }
                }
                assert!(
                    head.starts_with("CONNECT ") && head.contains("Proxy-Authorization: Basic dXNlcjpwdw==")
                );
                let mut stream = stream;
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                let mut upstream =
                    std::net::TcpStream::connect(target.parse::<std::net::SocketAddr>().unwrap()).unwrap();
                let (mut up, mut down) = (upstream.try_clone().unwrap(), stream.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut reader, &mut up);
                    let _ = up.shutdown(std::net::Shutdown::Write);
                });
                let _ = std::io::copy(&mut upstream, &mut down);
                let _ = down.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    host
}
