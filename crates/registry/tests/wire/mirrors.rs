//! `registries.conf` at work.

use jettison_registry::fake::{Action, FakeRegistry, Fault};
use jettison_registry::{Config, Error, Kind};

use super::{Source, client_with, noise, reference};

fn config(text: &str) -> (Config, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("registries.conf");
    std::fs::write(&file, text).unwrap();
    (Config::default().registries_conf(&file).unwrap(), dir)
}

fn with_mirror(registry: &FakeRegistry, mirror: &str) -> (Config, tempfile::TempDir) {
    config(&format!(
        "[[registry]]\nlocation = \"{}\"\n[[registry.mirror]]\nlocation = \"{mirror}/copies\"\n",
        registry.host()
    ))
}

#[test]
fn a_mirror_serves_pulls_and_not_pushes() {
    let (registry, mirror) = (FakeRegistry::start(), FakeRegistry::start());
    let bytes = noise(1000);
    mirror.put_image("copies/app", "1", b"{}", &[&bytes]);
    let blob = mirror.put_blob("copies/app", &bytes);
    let (config, _dir) = with_mirror(&registry, &mirror.host());
    let (client, _) = client_with(config);
    let name = reference(&registry, "app:1");
    assert_eq!(client.manifest(&name).unwrap().source, mirror.host());
    client.blob(&name, &blob, &mut Vec::new(), &|_| {}).unwrap();
    assert!(registry.requests().is_empty());
    Source::new(noise(10)).push(&client, &name).unwrap();
    assert!(!registry.requests().is_empty());
}

#[test]
fn a_mirror_without_the_image_or_without_life_falls_through() {
    let (registry, mirror) = (FakeRegistry::start(), FakeRegistry::start());
    let bytes = noise(1000);
    registry.put_image("app", "1", b"{}", &[&bytes]);
    let blob = registry.put_blob("app", &bytes);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for mirror_host in [mirror.host(), closed.to_string()] {
        let (config, _dir) = with_mirror(&registry, &mirror_host);
        let (client, _) = client_with(config);
        let name = reference(&registry, "app:1");
        assert_eq!(client.manifest(&name).unwrap().source, registry.host());
        client.blob(&name, &blob, &mut Vec::new(), &|_| {}).unwrap();
        // The error that counts is the registry's own.
        let error = client.manifest(&reference(&registry, "other:1")).unwrap_err();
        assert_eq!((error.kind(), error.host()), (Kind::NotFound, Some(registry.host().as_str())));
        assert_eq!(client.head_manifest(&reference(&registry, "other:1")).unwrap(), None);
    }
    // What the mirror has not got is not asked for again.
    assert_eq!(mirror.log("copies/app"), ["GET 404"]);
}

#[test]
fn a_mirror_that_breaks_off_is_continued_elsewhere() {
    let (registry, mirror) = (FakeRegistry::start(), FakeRegistry::start());
    let bytes = noise(100_000);
    let blob = registry.put_blob("app", &bytes);
    mirror.put_blob("copies/app", &bytes);
    mirror.fault(Fault::on("GET", "/blobs/").act(Action::CutResponse { after: 40_000 }));
    mirror.fault(Fault::on("GET", "/blobs/").times(99).respond(500, ""));
    let (config, _dir) = with_mirror(&registry, &mirror.host());
    let (client, _) = client_with(config);
    let mut out = Vec::new();
    client.blob(&reference(&registry, "app:1"), &blob, &mut out, &|_| {}).unwrap();
    assert!(out == bytes);
    let asked = registry.requests().into_iter().find(|r| r.target.contains("/blobs/")).unwrap();
    assert_eq!(asked.header("range"), Some("bytes=40000-"));
}

#[test]
fn blocked_means_blocked() {
    let (config, _dir) = config("[[registry]]\nlocation = \"bad.example\"\nblocked = true\n");
    let (client, _) = client_with(config);
    let error = client.manifest(&"bad.example/app:1".parse().unwrap()).unwrap_err();
    assert!(matches!(error, Error::Blocked { .. }));
    assert_eq!(error.to_string(), "bad.example/app is blocked by registries.conf");
}
