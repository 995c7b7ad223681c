//! Blobs and manifests on their way out.

use std::cell::RefCell;

use jettison_oci::{Digest, media_type};
use jettison_registry::fake::{Action, Auth, FakeRegistry, Fault, TokenAuth};
use jettison_registry::{Config, Error, Kind, Pushed};

use super::{Source, client, client_with, login_file, noise, reference};

const MIB: usize = 1024 * 1024;

/// The log of uploads without the parts that differ from run to run.
fn uploads(registry: &FakeRegistry) -> Vec<String> {
    registry.log("/blobs/uploads/")
}

#[test]
fn a_blob_goes_in_one_request_and_is_not_sent_again() {
    let registry = FakeRegistry::start();
    let source = Source::new(noise(2 * MIB));
    let (client, _) = client();
    let to = reference(&registry, "team/app:1");
    let positions = RefCell::new(Vec::new());
    let pushed = client
        .push_blob(&to, &source.descriptor, &|| source.open(), &[], &|at| positions.borrow_mut().push(at))
        .unwrap();
    assert_eq!(pushed, Pushed::Uploaded);
    assert_eq!(registry.blob("team/app", &source.descriptor.digest).as_ref(), Some(&source.bytes));
    assert_eq!(uploads(&registry), ["POST 202", "PUT 201"]);
    assert_eq!(positions.into_inner().last(), Some(&(2 * MIB as u64)));
    assert_eq!(source.push(&client, &to).unwrap(), Pushed::Exists);
    assert_eq!(uploads(&registry).len(), 2);
}

#[test]
fn an_empty_blob() {
    let registry = FakeRegistry::start();
    let source = Source::new(Vec::new());
    let (client, _) = client();
    assert_eq!(source.push(&client, &reference(&registry, "app:1")).unwrap(), Pushed::Uploaded);
    assert_eq!(registry.blob("app", &source.descriptor.digest), Some(Vec::new()));
}

#[test]
fn a_blob_of_another_repository_is_mounted() {
    let registry = FakeRegistry::start();
    registry.require(Auth::Token(TokenAuth::default()));
    let source = Source::new(noise(1000));
    registry.put_blob("base/golang", &source.bytes);
    let (client, _) = client();
    let to = reference(&registry, "team/app:1");
    let from = ["not/there".to_owned(), "base/golang".to_owned()];
    let pushed = client.push_blob(&to, &source.descriptor, &|| source.open(), &from, &|_| {}).unwrap();
    assert_eq!(pushed, Pushed::Mounted);
    assert!(registry.blob("team/app", &source.descriptor.digest).is_some());
    assert_eq!(registry.open_uploads(), 0);
}

#[test]
fn a_refused_mount_becomes_an_upload() {
    let registry = FakeRegistry::start();
    let source = Source::new(noise(1000));
    registry.put_blob("base", &source.bytes);
    let (client, _) = client();
    let from = ["base".to_owned()];
    // A registry that opens a session instead.
    let session = registry.open_upload("one");
    registry.fault(Fault::on("POST", "mount=").respond_with(202, &[("Location", &session)]));
    let to = reference(&registry, "one:1");
    let pushed = client.push_blob(&to, &source.descriptor, &|| source.open(), &from, &|_| {}).unwrap();
    assert_eq!((pushed, registry.open_uploads()), (Pushed::Uploaded, 0));
    // One that does not know mounts.
    registry.fault(Fault::on("POST", "mount=").respond(400, ""));
    let to = reference(&registry, "two:1");
    let pushed = client.push_blob(&to, &source.descriptor, &|| source.open(), &from, &|_| {}).unwrap();
    assert_eq!((pushed, registry.open_uploads()), (Pushed::Uploaded, 0));
}

#[test]
fn too_large_for_a_proxy_goes_in_chunks() {
    let registry = FakeRegistry::start();
    let source = Source::new(noise(20 * MIB));
    registry
        .fault(Fault::on("PUT", "/uploads/").act(Action::RespondEarly { status: 413, body: String::new() }));
    let (client, _) = client();
    source.push(&client, &reference(&registry, "app:1")).unwrap();
    assert!(registry.blob("app", &source.descriptor.digest).as_ref() == Some(&source.bytes));
    assert_eq!(uploads(&registry), ["POST 202", "PUT 413", "GET 204", "PATCH 202", "PATCH 202", "PUT 201"]);
    assert_eq!(registry.open_uploads(), 0);
}

#[test]
fn chunks_that_are_too_large_shrink_and_minimum_lengths_are_obeyed() {
    let registry = FakeRegistry::start();
    let source = Source::new(noise(12 * MIB));
    for (method, times) in [("PUT", 1), ("PATCH", 2)] {
        let action = Action::RespondEarly { status: 413, body: String::new() };
        registry.fault(Fault::on(method, "/uploads/").times(times).act(action));
    }
    let (client, _) = client();
    source.push(&client, &reference(&registry, "app:1")).unwrap();
    let sent: Vec<_> =
        registry.requests().iter().filter(|r| r.method == "PATCH").map(|r| r.body_len).collect();
    assert_eq!(sent, [0, 0, 4 * MIB, 4 * MIB, 4 * MIB]);

    registry.chunk_len_min(5 * MIB as u64);
    let action = Action::RespondEarly { status: 413, body: String::new() };
    registry.fault(Fault::on("PUT", "/uploads/").act(action.clone()));
    registry.fault(Fault::on("PATCH", "/uploads/").times(2).act(action));
    source.push(&client, &reference(&registry, "other:1")).unwrap();
    let requests = registry.requests();
    let sent =
        requests.iter().filter(|r| r.method == "PATCH" && r.target.contains("other") && r.status == 202);
    assert_eq!(sent.map(|r| r.body_len).collect::<Vec<_>>(), [5 * MIB, 5 * MIB, 2 * MIB]);
}

#[test]
fn a_broken_upload_continues_where_it_broke() {
    let registry = FakeRegistry::start();
    let source = Source::new(noise(6 * MIB));
    registry.fault(Fault::on("PUT", "/uploads/").act(Action::CutRequest { after: 4 * MIB }));
    let (client, _) = client();
    source.push(&client, &reference(&registry, "app:1")).unwrap();
    assert!(registry.blob("app", &source.descriptor.digest).as_ref() == Some(&source.bytes));
    assert_eq!(uploads(&registry), ["POST 202", "PUT 0", "GET 204", "PATCH 202", "PUT 201"]);
    let patch = registry.requests().into_iter().find(|r| r.method == "PATCH").unwrap();
    assert_eq!(patch.header("content-range"), Some("4194304-6291455"));
}

#[test]
fn a_lost_session_is_begun_anew() {
    let registry = FakeRegistry::start();
    let source = Source::new(noise(MIB));
    registry
        .fault(Fault::on("PUT", "/uploads/").respond(404, r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#));
    registry.fault(Fault::on("GET", "/uploads/").respond(404, ""));
    let (client, _) = client();
    source.push(&client, &reference(&registry, "app:1")).unwrap();
    assert_eq!(uploads(&registry)[..3], ["POST 202", "PUT 404", "GET 404"]);
    assert_eq!(registry.open_uploads(), 0);
}

#[test]
fn a_lost_answer_is_not_a_lost_blob() {
    let registry = FakeRegistry::start();
    let source = Source::new(noise(1000));
    registry.fault(Fault::on("PUT", "/uploads/").act(Action::SwallowResponse));
    let (client, _) = client();
    source.push(&client, &reference(&registry, "app:1")).unwrap();
    assert_eq!(uploads(&registry), ["POST 202", "PUT 0"]);
}

#[test]
fn out_of_step_416_tells_where_to_go_on() {
    let registry = FakeRegistry::start();
    let source = Source::new(noise(20 * MIB));
    registry.fault(Fault::on("PUT", "/uploads/").act(Action::CutRequest { after: MIB }));
    // The second chunk arrives and its answer is lost.
    registry.fault(Fault::on("PATCH", "/uploads/").act(Action::SwallowResponse));
    let (client, _) = client();
    source.push(&client, &reference(&registry, "app:1")).unwrap();
    assert!(registry.blob("app", &source.descriptor.digest).as_ref() == Some(&source.bytes));

    registry.fault(Fault::on("PUT", "/uploads/").respond(413, ""));
    registry.fault(Fault::on("PATCH", "/uploads/").respond(416, ""));
    source.push(&client, &reference(&registry, "other:1")).unwrap();
    assert!(registry.blob("other", &source.descriptor.digest).as_ref() == Some(&source.bytes));
}

#[test]
fn the_statuses_of_ecr_are_fine() {
    let registry = FakeRegistry::start();
    let source = Source::new(noise(MIB));
    registry.fault(Fault::on("PUT", "/uploads/").respond(413, ""));
    registry.fault(Fault::on("PATCH", "/uploads/").act(Action::Status(201)));
    let (client, _) = client();
    source.push(&client, &reference(&registry, "app:1")).unwrap();
    assert!(registry.blob("app", &source.descriptor.digest).is_some());
}

#[test]
fn sessions_may_be_named_in_any_form() {
    let registry = FakeRegistry::start();
    let source = Source::new(noise(1000));
    let (client, _) = client();
    let absolute = format!("http://{}{}", registry.host(), registry.open_upload("b"));
    let relative = registry.open_upload("c").rsplit_once('/').unwrap().1.to_owned();
    for (repository, location) in [("b", absolute), ("c", relative)] {
        registry.fault(Fault::on("POST", "/uploads/").headers(&[("Location", &location)]));
        source.push(&client, &reference(&registry, &format!("{repository}:1"))).unwrap();
        assert!(registry.blob(repository, &source.descriptor.digest).is_some());
    }
    registry.fault(Fault::on("POST", "/uploads/").headers(&[("Location", "")]));
    let error = source.push(&client, &reference(&registry, "d:1")).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidResponse);
}

#[test]
fn another_host_gets_the_blob_and_not_the_credentials() {
    let registry = FakeRegistry::start();
    let store = FakeRegistry::start();
    registry.require(Auth::Basic { user: "u".into(), password: "p".into() });
    let (_dir, login) = login_file(&registry.host(), r#"{"auth":"dTpw"}"#);
    let (client, _) = client_with(Config::default().docker_config(&login));
    let source = Source::new(noise(1000));
    let elsewhere = format!("http://{}{}", store.host(), store.open_upload("bucket"));
    registry.fault(Fault::on("POST", "/uploads/").headers(&[("Location", &elsewhere)]));
    source.push(&client, &reference(&registry, "app:1")).unwrap();
    assert!(store.blob("bucket", &source.descriptor.digest).is_some());
    assert!(store.requests().iter().all(|r| r.header("authorization").is_none()));

    registry.fault(Fault::on("POST", "/uploads/").headers(&[("Location", "http://169.254.169.254/x")]));
    let error = source.push(&client, &reference(&registry, "app:1")).unwrap_err();
    assert!(matches!(error, Error::UnsafeAddress { .. }), "{error}");
}

#[test]
fn a_token_that_dies_during_an_upload_is_replaced() {
    let registry = FakeRegistry::start();
    registry.require(Auth::Token(TokenAuth::default()));
    let source = Source::new(noise(20 * MIB));
    registry.fault(Fault::on("PUT", "/uploads/").respond(413, ""));
    registry.fault(Fault::on("PATCH", "/uploads/").skip(1).act(Action::ExpireTokens));
    let (client, waits) = client();
    source.push(&client, &reference(&registry, "app:1")).unwrap();
    assert_eq!(
        uploads(&registry),
        ["POST 202", "PUT 413", "GET 204", "PATCH 202", "PATCH 401", "PATCH 202", "PUT 201"]
    );
    assert!(waits.lock().unwrap().is_empty());
}

#[test]
fn a_wrong_digest_and_a_short_file_end_the_upload() {
    let registry = FakeRegistry::start();
    let mut source = Source::new(noise(1000));
    let (client, _) = client();
    let right = source.descriptor.digest.clone();
    source.descriptor.digest = Digest::sha256(b"other");
    let error = source.push(&client, &reference(&registry, "app:1")).unwrap_err();
    assert!(error.to_string().contains("DIGEST_INVALID"), "{error}");
    assert_eq!(registry.open_uploads(), 0);

    source.descriptor.digest = right;
    source.descriptor.size = 2000;
    let error = source.push(&client, &reference(&registry, "app:1")).unwrap_err();
    assert!(matches!(error, Error::Input(_)), "{error}");
    let missing = client.push_blob(
        &reference(&registry, "app:1"),
        &source.descriptor,
        &|| Err(std::io::ErrorKind::NotFound.into()),
        &[],
        &|_| {},
    );
    assert_eq!(missing.unwrap_err().kind(), Kind::Local);
    assert_eq!(registry.open_uploads(), 0);
}

#[test]
fn a_registry_that_keeps_failing_is_given_up() {
    let registry = FakeRegistry::start();
    let source = Source::new(noise(1000));
    registry.fault(Fault::on("PUT", "/uploads/").times(99).respond(503, "no space left"));
    registry.fault(Fault::on("PATCH", "/uploads/").times(99).respond(503, "no space left"));
    let (client, _) = client();
    let error = source.push(&client, &reference(&registry, "app:1")).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("no space left"));
    assert_eq!(registry.open_uploads(), 0);
}

#[test]
fn manifests_by_tag_and_by_digest() {
    let registry = FakeRegistry::start();
    let (client, _) = client();
    let bytes = br#"{"schemaVersion":2}"#;
    let to = reference(&registry, "app:1");
    let digest = client.push_manifest(&to, media_type::OCI_MANIFEST, bytes).unwrap();
    assert_eq!(registry.manifest("app", "1"), Some((media_type::OCI_MANIFEST.to_owned(), bytes.to_vec())));
    client.push_manifest(&to.with_digest(digest.clone()), media_type::OCI_MANIFEST, bytes).unwrap();
    let wrong = to.with_digest(Digest::sha256(b"x"));
    let error = client.push_manifest(&wrong, media_type::OCI_MANIFEST, bytes).unwrap_err();
    assert_eq!(error.kind(), Kind::DigestMismatch);
    registry.fault(
        Fault::on("PUT", "/manifests/")
            .respond(400, r#"{"errors":[{"code":"TAG_INVALID","message":"the tag is immutable"}]}"#),
    );
    let error = client.push_manifest(&to, media_type::OCI_MANIFEST, bytes).unwrap_err();
    assert_eq!(error.kind(), Kind::TagImmutable);
}
