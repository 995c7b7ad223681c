//! Manifests and blobs on their way in.

use std::cell::RefCell;
use std::time::Duration;

use jettison_oci::{Digest, media_type};
use jettison_registry::fake::{Action, FakeRegistry, Fault};
use jettison_registry::{Error, Kind, Seen};

use super::{client, noise, reference};

#[test]
fn an_image_by_tag_and_by_digest() {
    let registry = FakeRegistry::start();
    let layer = noise(300_000);
    let image = registry.put_image("team/app", "1.0", b"{}", &[&layer]);
    let (client, _) = client();
    let tagged = reference(&registry, "team/app:1.0");
    let fetched = client.manifest(&tagged).unwrap();
    assert_eq!(fetched.descriptor, image);
    assert_eq!(fetched.source, registry.host());
    let by_digest = client.manifest(&tagged.with_digest(image.digest.clone())).unwrap();
    assert_eq!(by_digest.bytes, fetched.bytes);
    assert_eq!(client.head_manifest(&tagged).unwrap(), Some(image));
    assert_eq!(client.head_manifest(&reference(&registry, "team/app:2.0")).unwrap(), None);

    let jettison_oci::AnyManifest::Image(manifest) =
        jettison_oci::AnyManifest::parse(&fetched.descriptor.media_type, &fetched.bytes).unwrap()
    else {
        panic!("not an image")
    };
    assert_eq!(client.blob_bytes(&tagged, &manifest.config, 100).unwrap(), b"{}");
    assert!(matches!(client.blob_bytes(&tagged, &manifest.layers[0], 100), Err(Error::TooLarge { .. })));
    let positions = RefCell::new(Vec::new());
    let mut out = Vec::new();
    client.blob(&tagged, &manifest.layers[0], &mut out, &|at| positions.borrow_mut().push(at)).unwrap();
    assert_eq!(out, layer);
    let positions = positions.into_inner();
    assert!(positions.is_sorted() && positions.last() == Some(&300_000));
    // The scheme of a registry on this machine is found out once.
    assert_eq!(registry.log("/v2/").iter().filter(|l| *l == "GET 200").count(), 1 + 2 + 2);
}

#[test]
fn what_is_not_there_is_said_in_the_registrys_words() {
    let registry = FakeRegistry::start();
    let (client, _) = client();
    let error = client.manifest(&reference(&registry, "team/app:1.0")).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(
        error.to_string(),
        format!(
            "{} refused to give the manifest 1.0 of team/app (404 as anonymous): MANIFEST_UNKNOWN: manifest unknown",
            registry.host()
        )
        .replace(" as anonymous", "")
    );
}

#[test]
fn a_wrong_digest_is_noticed() {
    let registry = FakeRegistry::start();
    let image = registry.put_image("app", "1", b"{}", &[]);
    let blob = registry.put_blob("app", &noise(1000));
    let (client, _) = client();
    let name = reference(&registry, "app:1");
    registry.fault(Fault::on("GET", "/manifests/").act(Action::Garble));
    let error = client.manifest(&name.with_digest(image.digest)).unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");

    registry.fault(Fault::on("GET", "/blobs/").act(Action::Garble));
    let error = client.blob(&name, &blob, &mut Vec::new(), &|_| {}).unwrap_err();
    assert_eq!(error.kind(), Kind::DigestMismatch);
    assert!(error.to_string().contains(&registry.host()));
}

#[test]
fn a_lying_digest_header_is_not_believed() {
    let registry = FakeRegistry::start();
    let image = registry.put_image("app", "1", b"{}", &[]);
    let lie = Digest::sha256(b"lie").to_string();
    registry.fault(Fault::on("GET", "/manifests/").headers(&[("Docker-Content-Digest", &lie)]));
    let (client, _) = client();
    assert_eq!(client.manifest(&reference(&registry, "app:1")).unwrap().descriptor.digest, image.digest);
}

#[test]
fn the_media_type_is_the_documents_own() {
    let registry = FakeRegistry::start();
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, media_type::OCI_INDEX);
    registry.put_manifest("app", "1", "application/json; charset=utf-8", index.as_bytes());
    registry.put_manifest(
        "app",
        "2",
        "application/vnd.oci.image.index.v1+json; x=y",
        br#"{"schemaVersion":2}"#,
    );
    let (client, _) = client();
    for tag in ["app:1", "app:2"] {
        let fetched = client.manifest(&reference(&registry, tag)).unwrap();
        assert_eq!(fetched.descriptor.media_type, media_type::OCI_INDEX);
    }
}

#[test]
fn without_head_the_manifest_itself_is_asked_for() {
    let registry = FakeRegistry::start();
    let image = registry.put_image("app", "1", b"{}", &[]);
    registry.without_head();
    let (client, _) = client();
    assert_eq!(client.head_manifest(&reference(&registry, "app:1")).unwrap(), Some(image));
    assert_eq!(client.head_manifest(&reference(&registry, "app:2")).unwrap(), None);
}

#[test]
fn a_broken_body_is_continued_where_it_broke() {
    let registry = FakeRegistry::start();
    let bytes = noise(500_000);
    let blob = registry.put_blob("app", &bytes);
    registry.fault(Fault::on("GET", "/blobs/").act(Action::CutResponse { after: 100_000 }));
    registry.fault(Fault::on("GET", "/blobs/").act(Action::CutResponse { after: 0 }));
    registry.fault(Fault::on("GET", "/blobs/").act(Action::CutResponse { after: 200_000 }));
    let (client, waits) = client();
    let mut out = Vec::new();
    client.blob(&reference(&registry, "app:1"), &blob, &mut out, &|_| {}).unwrap();
    assert!(out == bytes);
    let ranges: Vec<_> =
        registry.requests().iter().filter_map(|r| r.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, ["bytes=100000-", "bytes=100000-", "bytes=300000-"]);
    assert_eq!(waits.lock().unwrap().len(), 3);
}

#[test]
fn a_server_without_ranges_starts_again_and_the_bytes_fit_all_the_same() {
    let registry = FakeRegistry::start();
    let bytes = noise(500_000);
    let blob = registry.put_blob("app", &bytes);
    registry.without_ranges();
    registry.fault(Fault::on("GET", "/blobs/").act(Action::CutResponse { after: 300_000 }));
    let (client, _) = client();
    let mut out = Vec::new();
    client.blob(&reference(&registry, "app:1"), &blob, &mut out, &|_| {}).unwrap();
    assert!(out == bytes);
}

#[test]
fn an_earlier_download_is_continued() {
    let registry = FakeRegistry::start();
    let bytes = noise(10_000);
    let blob = registry.put_blob("app", &bytes);
    let name = reference(&registry, "app:1");
    let (client, _) = client();
    let mut hasher = blob.digest.hasher();
    hasher.update(&bytes[..4000]);
    let mut out = Vec::new();
    client.blob_after(&name, &blob, Seen { offset: 4000, hasher }, &mut out, &|_| {}).unwrap();
    assert_eq!(out, &bytes[4000..]);
    let mut out = Vec::new();
    client.blob_unverified(&name, &blob, 9000, &mut out, &|_| {}).unwrap();
    assert_eq!(out, &bytes[9000..]);
    // What is complete needs no request, only its hash.
    let before = registry.requests().len();
    let mut wrong = blob.digest.hasher();
    wrong.update(b"something else");
    let error = client
        .blob_after(&name, &blob, Seen { offset: 10_000, hasher: wrong }, &mut Vec::new(), &|_| {})
        .unwrap_err();
    assert_eq!(error.kind(), Kind::DigestMismatch);
    assert_eq!(registry.requests().len(), before);
}

#[test]
fn a_body_that_never_comes_is_given_up() {
    let registry = FakeRegistry::start();
    let blob = registry.put_blob("app", &noise(10_000));
    registry.fault(Fault::on("GET", "/blobs/").times(99).act(Action::CutResponse { after: 10 }));
    let (client, _) = client();
    let error = client.blob(&reference(&registry, "app:1"), &blob, &mut Vec::new(), &|_| {}).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.to_string().contains("too early"), "{error}");
}

#[test]
fn another_size_than_promised_is_refused_before_it_is_written() {
    let registry = FakeRegistry::start();
    let mut blob = registry.put_blob("app", &noise(1000));
    blob.size = 900;
    let (client, _) = client();
    let name = reference(&registry, "app:1");
    let mut out = Vec::new();
    assert!(matches!(client.blob(&name, &blob, &mut out, &|_| {}), Err(Error::SizeMismatch { .. })));
    blob.size = 1100;
    assert!(matches!(client.blob(&name, &blob, &mut out, &|_| {}), Err(Error::SizeMismatch { .. })));
    assert!(out.is_empty());
}

#[test]
fn a_part_that_is_refused_or_is_another_is_no_obstacle() {
    let registry = FakeRegistry::start();
    let bytes = noise(1000);
    let blob = registry.put_blob("app", &bytes);
    let name = reference(&registry, "app:1");
    let refused = || Fault::on("GET", "/blobs/").respond(416, "");
    let other = || Fault::on("GET", "/blobs/").headers(&[("Content-Range", "bytes 400-999/1000")]);
    for fault in [refused(), other()] {
        let (client, _) = client();
        registry.fault(fault);
        let mut out = Vec::new();
        client.blob_unverified(&name, &blob, 500, &mut out, &|_| {}).unwrap();
        assert_eq!(out, &bytes[500..]);
    }
    // Nor is it where a body breaks that has just begun.
    registry.fault(Fault::on("GET", "/blobs/").act(Action::CutResponse { after: 300 }));
    registry.fault(refused());
    registry.fault(Fault::on("GET", "/blobs/").act(Action::CutResponse { after: 600 }));
    let (client, _) = client();
    let mut out = Vec::new();
    client.blob(&name, &blob, &mut out, &|_| {}).unwrap();
    assert_eq!(out, bytes);
}

#[test]
fn a_whole_that_is_refused_as_a_part_is_an_error() {
    let registry = FakeRegistry::start();
    let blob = registry.put_blob("app", &noise(1000));
    let (client, _) = client();
    for fault in
        [Fault::on("GET", "/blobs/").respond(416, ""), Fault::on("GET", "/blobs/").act(Action::Status(206))]
    {
        registry.fault(fault);
        client.blob(&reference(&registry, "app:1"), &blob, &mut Vec::new(), &|_| {}).unwrap_err();
    }
}

#[test]
fn errors_that_pass_are_waited_for() {
    let registry = FakeRegistry::start();
    registry.put_image("app", "1", b"{}", &[]);
    let name = reference(&registry, "app:1");
    let (client, waits) = client();
    registry.fault(Fault::on("GET", "/manifests/").respond(503, ""));
    registry.fault(Fault::on("GET", "/manifests/").act(Action::SwallowResponse));
    client.manifest(&name).unwrap();
    let seconds: Vec<_> = waits.lock().unwrap().drain(..).map(|w| w.as_secs()).collect();
    assert_eq!(seconds, [1, 3]);

    registry.fault(Fault::on("GET", "/manifests/").times(3).respond(502, "<html>bad gateway</html>"));
    let error = client.manifest(&name).unwrap_err();
    assert_eq!((error.kind(), error.status()), (Kind::Unavailable, Some(502)));
}

#[test]
fn rate_limits_are_obeyed_in_both_forms() {
    let registry = FakeRegistry::start();
    registry.put_image("app", "1", b"{}", &[]);
    let name = reference(&registry, "app:1");
    let (client, waits) = client();
    registry.fault(Fault::on("GET", "/manifests/").respond_with(429, &[("Retry-After", "7")]));
    let soon = std::time::SystemTime::now() + Duration::from_secs(20);
    let soon = soon.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let date = http_date(soon);
    registry.fault(Fault::on("GET", "/manifests/").respond_with(429, &[("Retry-After", &date)]));
    client.manifest(&name).unwrap();
    let waited = std::mem::take(&mut *waits.lock().unwrap());
    assert_eq!(waited[0], Duration::from_secs(7));
    assert!((15..=20).contains(&waited[1].as_secs()), "{waited:?}");

    // Nobody waits for an hour: the error says so instead.
    registry.fault(Fault::on("GET", "/manifests/").respond_with(429, &[("Retry-After", "3600")]));
    let error = client.manifest(&name).unwrap_err();
    assert_eq!(error.kind(), Kind::RateLimited);
    let Error::Refused(refusal) = error else { panic!("{error}") };
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(3600)));
    assert!(waits.lock().unwrap().is_empty());
}

fn http_date(seconds: u64) -> String {
    let date = jiff::Timestamp::from_second(seconds.cast_signed()).unwrap();
    date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[test]
fn nobody_there_is_said_at_once() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (client, waits) = client();
    let error = client.manifest(&format!("{closed}/app:1").parse().unwrap()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert_eq!(error.to_string(), format!("cannot reach {closed}: connection refused"));
    assert!(waits.lock().unwrap().is_empty());
}

#[test]
fn a_huge_manifest_is_not_read() {
    let registry = FakeRegistry::start();
    registry.put_manifest("app", "1", media_type::OCI_MANIFEST, &vec![b' '; 17 * 1024 * 1024]);
    let (client, _) = client();
    assert!(matches!(client.manifest(&reference(&registry, "app:1")), Err(Error::TooLarge { .. })));
}

#[test]
fn redirects_are_followed_without_credentials_and_not_everywhere() {
    let registry = FakeRegistry::start();
    let store = FakeRegistry::start();
    let bytes = noise(5000);
    let blob = registry.put_blob("app", &bytes);
    store.put_blob("bucket", &bytes);
    let elsewhere = format!("http://{}/v2/bucket/blobs/{}", store.host(), blob.digest);
    let redirect = |to: &str| Fault::on("GET", "/v2/app/blobs/").respond_with(307, &[("Location", to)]);
    registry.require(jettison_registry::fake::Auth::Basic { user: "u".into(), password: "p".into() });
    let (_dir, login) = super::login_file(&registry.host(), r#"{"auth":"dTpw"}"#);
    let (client, _) = super::client_with(jettison_registry::Config::default().docker_config(&login));
    let name = reference(&registry, "app:1");
    registry.fault(redirect(&elsewhere));
    let mut out = Vec::new();
    client.blob_unverified(&name, &blob, 1000, &mut out, &|_| {}).unwrap();
    assert_eq!(out, &bytes[1000..]);
    let seen = store.requests();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("authorization"), None);
    assert_eq!(seen[0].header("range"), Some("bytes=1000-"));

    registry.fault(redirect("http://169.254.169.254/latest/meta-data"));
    let error = client.blob(&name, &blob, &mut Vec::new(), &|_| {}).unwrap_err();
    assert!(matches!(error, Error::UnsafeAddress { .. }), "{error}");
    registry.fault(redirect("/v2/app/blobs/around").times(99));
    let error = client.blob(&name, &blob, &mut Vec::new(), &|_| {}).unwrap_err();
    assert!(error.to_string().contains("in circles"), "{error}");
}

#[test]
fn many_threads_share_one_client() {
    let registry = FakeRegistry::start();
    let blobs: Vec<_> = (0..8).map(|i| noise(100_000 + i)).collect();
    let (client, _) = client();
    std::thread::scope(|scope| {
        for bytes in &blobs {
            let descriptor = registry.put_blob("app", bytes);
            let (client, registry) = (&client, &registry);
            scope.spawn(move || {
                let mut out = Vec::new();
                client.blob(&reference(registry, "app:1"), &descriptor, &mut out, &|_| {}).unwrap();
                assert!(out == *bytes);
            });
        }
    });
    assert_eq!(registry.log("/v2/").iter().filter(|l| *l == "GET 200").count(), 9);
}
