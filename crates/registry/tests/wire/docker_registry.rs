//! Against Debian's `docker-registry`: plain, with htpasswd, with tokens.
//!
//! Its token authentication wants signed JWTs: `openssl` makes the key and the certificate and signs, and a small
//! server in this process hands the tokens out.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jettison_oci::{Descriptor, Reference, media_type};
use jettison_registry::{Client, Config, Kind, Pushed};

use super::{Source, client_with, login_file, noise};

/// A running `docker-registry`, ended with its storage when dropped.
struct Registry {
    child: Child,
    host: String,
    _dir: tempfile::TempDir,
}

impl Registry {
    /// Starts one whose `auth` section is made by `auth` from its folder; `None` if the program is missing.
    fn start(auth: impl FnOnce(&Path) -> String) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let storage = dir.path().join("storage");
        let auth = auth(dir.path());
        let config = format!(
            "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:0\n  secret: test\n{auth}",
            storage.display()
        );
        let file = dir.path().join("config.yml");
        std::fs::write(&file, config).unwrap();
        let log = dir.path().join("log");
        let spawned = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn();
        let child = match spawned {
            Ok(child) => child,
            Err(error) => {
                eprintln!("skipped: docker-registry cannot be started: {error}");
                return None;
            }
        };
        let mut registry = Self { child, host: String::new(), _dir: dir };
        let start = Instant::now();
        registry.host = loop {
            // The port is of the kernel's choice: one that was free a moment ago may be another test's registry by now.
            let text = std::fs::read_to_string(&log).unwrap();
            if let Some((_, rest)) = text.split_once("listening on ") {
                break rest.split('"').next().unwrap().to_owned();
            }
            assert!(start.elapsed() < Duration::from_secs(20), "docker-registry does not listen: {text}");
            std::thread::sleep(Duration::from_millis(20));
        };
        Some(registry)
    }

    fn reference(&self, name: &str) -> Reference {
        format!("{}/{name}", self.host).parse().unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Pushes an image, pulls it back, pushes it again, mounts it elsewhere.
fn round_trip(registry: &Registry, client: &Client) {
    let to = registry.reference("team/app:1.0");
    let layer = Source::new(noise(3 * 1024 * 1024));
    let config = Source::new(b"{}".to_vec());
    assert_eq!(layer.push(client, &to).unwrap(), Pushed::Uploaded);
    assert_eq!(config.push(client, &to).unwrap(), Pushed::Uploaded);
    assert_eq!(layer.push(client, &to).unwrap(), Pushed::Exists);
    let describe =
        |kind: &str, source: &Source| Descriptor { media_type: kind.to_owned(), ..source.descriptor.clone() };
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": describe(media_type::OCI_CONFIG, &config),
        "layers": [describe(media_type::OCI_LAYER_GZIP, &layer)],
    });
    let bytes = serde_json::to_vec(&manifest).unwrap();
    let digest = client.push_manifest(&to, media_type::OCI_MANIFEST, &bytes).unwrap();

    let fetched = client.manifest(&to).unwrap();
    assert_eq!((&fetched.bytes, &fetched.descriptor.digest), (&bytes, &digest));
    assert_eq!(client.head_manifest(&to).unwrap(), Some(fetched.descriptor));
    assert_eq!(client.head_manifest(&registry.reference("team/app:none")).unwrap(), None);
    assert_eq!(client.manifest(&registry.reference("no/thing:1")).unwrap_err().kind(), Kind::NotFound);
    let mut out = Vec::new();
    client.blob(&to, &layer.descriptor, &mut out, &|_| {}).unwrap();
    assert!(out == layer.bytes);
    let mut rest = Vec::new();
    client.blob_unverified(&to, &layer.descriptor, 1_000_000, &mut rest, &|_| {}).unwrap();
    assert!(rest == layer.bytes[1_000_000..]);

    let elsewhere = registry.reference("other/app:1.0");
    let from = ["team/app".to_owned()];
    let pushed = client.push_blob(&elsewhere, &layer.descriptor, &|| layer.open(), &from, &|_| {}).unwrap();
    assert_eq!(pushed, Pushed::Mounted);
}

#[test]
fn plain() {
    let Some(registry) = Registry::start(|_| String::new()) else { return };
    let (client, waits) = client_with(Config::default());
    round_trip(&registry, &client);
    assert!(waits.lock().unwrap().is_empty());
}

/// A proxy that cuts the connection after so many bytes of the first request with a large body.
fn cutting_proxy(target: String, after: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let connections = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let target = target.parse::<std::net::SocketAddr>().unwrap();
            let is_first = connections.fetch_add(1, Ordering::SeqCst) == 0;
            std::thread::spawn(move || {
                let mut upstream = TcpStream::connect(target).unwrap();
                let (mut up, mut down) = (upstream.try_clone().unwrap(), stream.try_clone().unwrap());
                std::thread::spawn(move || {
                    let limit = if is_first { after } else { u64::MAX };
                    let _ = std::io::copy(&mut (&stream).take(limit), &mut up);
                    let _ = up.shutdown(std::net::Shutdown::Both);
                    let _ = stream.shutdown(std::net::Shutdown::Both);
                });
                let _ = std::io::copy(&mut upstream, &mut down);
            });
        }
    });
    host
}

#[test]
fn an_upload_that_breaks_is_finished() {
    let Some(registry) = Registry::start(|_| String::new()) else { return };
    let proxy = cutting_proxy(registry.host.clone(), 5_000_000);
    let (client, _) = client_with(Config::default());
    let source = Source::new(noise(20_000_000));
    let to: Reference = format!("{proxy}/team/app:1").parse().unwrap();
    assert_eq!(source.push(&client, &to).unwrap(), Pushed::Uploaded);
    let mut out = Vec::new();
    client.blob(&registry.reference("team/app:1"), &source.descriptor, &mut out, &|_| {}).unwrap();
    assert!(out == source.bytes);
}

#[test]
fn htpasswd() {
    let mut made = true;
    let registry = Registry::start(|dir| {
        let file = dir.join("htpasswd");
        match Command::new("htpasswd").args(["-Bbn", "bob", "se:cret"]).output() {
            Ok(output) => std::fs::write(&file, output.stdout).unwrap(),
            Err(error) => {
                eprintln!("skipped: htpasswd cannot be started: {error}");
                made = false;
            }
        }
        format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", file.display())
    });
    let Some(registry) = registry.filter(|_| made) else { return };
    let (anonymous, _) = client_with(Config::default());
    let error = anonymous.manifest(&registry.reference("team/app:1.0")).unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert!(error.to_string().contains("401 as anonymous"), "{error}");
    assert_eq!(anonymous.check_login(&registry.host, "bob", "x").unwrap_err().kind(), Kind::Unauthorized);
    anonymous.check_login(&registry.host, "bob", "se:cret").unwrap();
    let entry = format!(r#"{{"auth":"{}"}}"#, STANDARD.encode("bob:se:cret"));
    let (_dir, login) = login_file(&registry.host, &entry);
    let (client, _) = client_with(Config::default().docker_config(&login));
    round_trip(&registry, &client);
}

/// Hands out tokens that docker-registry believes.
struct TokenServer {
    dir: tempfile::TempDir,
    host: String,
}

impl TokenServer {
    const USER: &str = "bob";
    const PASSWORD: &str = "pw";

    /// `None` if there is no openssl.
    fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tokens"])
            .args(["-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(dir.path())
            .output();
        if let Err(error) = made {
            eprintln!("skipped: openssl cannot be started: {error}");
            return None;
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let folder = dir.path().to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let folder = folder.clone();
                std::thread::spawn(move || Self::serve(stream.unwrap(), &folder));
            }
        });
        Some(Self { dir, host })
    }

    fn auth_section(&self) -> String {
        format!(
            "auth:\n  token:\n    realm: http://{}/token\n    service: test\n    issuer: tokens\n    rootcertbundle: {}\n",
            self.host,
            self.dir.path().join("cert.pem").display()
        )
    }

    fn serve(mut stream: TcpStream, dir: &Path) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).unwrap_or(0) == 0 {
                    return;
                }
            }
            let wanted = STANDARD.encode(format!("{}:{}", Self::USER, Self::PASSWORD));
            let is_user = head.contains(&format!("Basic {wanted}"));
            let has_login = head.to_ascii_lowercase().contains("authorization:");
            let target =
                head.split(' ').nth(1).unwrap().replace("%3A", ":").replace("%2C", ",").replace("%2F", "/");
            let (status, body) = if has_login && !is_user {
                (401, r#"{"details":"incorrect username or password"}"#.to_owned())
            } else {
                (200, format!(r#"{{"token":"{}"}}"#, Self::token(&target, is_user, dir)))
            };
            write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    }

    /// A JWT for the scopes in the query; anonymous people get none.
    fn token(target: &str, is_user: bool, dir: &Path) -> String {
        let scopes = target.split(['?', '&']).filter_map(|p| p.strip_prefix("scope=repository:"));
        let access: Vec<_> = scopes
            .filter(|_| is_user)
            .filter_map(|s| s.rsplit_once(':'))
            .map(|(name, actions)| {
                let actions: Vec<_> = actions.split(',').collect();
                serde_json::json!({"type": "repository", "name": name, "actions": actions})
            })
            .collect();
        let pem = std::fs::read_to_string(dir.join("cert.pem")).unwrap();
        let der: String = pem.lines().filter(|l| !l.starts_with("-----")).collect();
        let header = serde_json::json!({"typ": "JWT", "alg": "RS256", "x5c": [der]});
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let claims = serde_json::json!({
            "iss": "tokens", "sub": "bob", "aud": "test", "exp": now + 300, "nbf": now - 10, "iat": now,
            "jti": "1", "access": access,
        });
        let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", encode(&header), encode(&claims));
        let mut signer = Command::new("openssl")
            .args(["dgst", "-sha256", "-sign", "key.pem"])
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        signer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let signature = signer.wait_with_output().unwrap().stdout;
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

#[test]
fn tokens() {
    let Some(server) = TokenServer::start() else { return };
    let Some(registry) = Registry::start(|_| server.auth_section()) else { return };
    let (anonymous, _) = client_with(Config::default());
    let error = anonymous.manifest(&registry.reference("team/app:1.0")).unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized, "{error}");
    assert_eq!(anonymous.check_login(&registry.host, "bob", "x").unwrap_err().kind(), Kind::Unauthorized);
    anonymous.check_login(&registry.host, TokenServer::USER, TokenServer::PASSWORD).unwrap();
    let (_dir, login) = login_file(&registry.host, r#"{"username":"bob","password":"pw"}"#);
    let (client, waits) = client_with(Config::default().docker_config(&login));
    round_trip(&registry, &client);
    assert!(waits.lock().unwrap().is_empty());
}
