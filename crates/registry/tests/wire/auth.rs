//! Challenges, tokens, passwords, and who gets to see them.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use jettison_registry::fake::{Action, Auth, FakeRegistry, Fault, TokenAuth};
use jettison_registry::{Client, Config, Error, Kind};

use super::{Source, client, client_with, login_file, noise, reference};

fn tokens(registry: &FakeRegistry) -> usize {
    registry.log("/token").len()
}

fn logged_in(registry: &FakeRegistry, entry: &str) -> (Client, tempfile::TempDir) {
    let (dir, path) = login_file(&registry.host(), entry);
    (client_with(Config::default().docker_config(&path)).0, dir)
}

#[test]
fn anonymous_tokens_are_fetched_once_per_repository() {
    let registry = FakeRegistry::start();
    registry.require(Auth::Token(TokenAuth { expires_in: Some(300), ..TokenAuth::default() }));
    registry.put_image("a", "1", b"{}", &[]);
    registry.put_image("b", "1", b"{}", &[]);
    let (client, _) = client();
    for name in ["a:1", "a:1", "b:1", "a:1"] {
        client.manifest(&reference(&registry, name)).unwrap();
    }
    assert_eq!(tokens(&registry), 2);
    // The ping finds the challenge; no request goes out without a token after it.
    assert!(!registry.log("/manifests/").contains(&"GET 401".to_owned()));
}

#[test]
fn a_password_goes_to_the_token_server_and_nowhere_else() {
    let registry = FakeRegistry::start();
    let login = Some(("bob".to_owned(), "secret".to_owned()));
    registry.require(Auth::Token(TokenAuth { login, ..TokenAuth::default() }));
    registry.put_image("a", "1", b"{}", &[]);
    let (client, _dir) = logged_in(&registry, r#"{"auth":"Ym9iOnNlY3JldA=="}"#);
    client.manifest(&reference(&registry, "a:1")).unwrap();
    let basic: Vec<_> = registry
        .requests()
        .into_iter()
        .filter(|r| r.header("authorization").is_some_and(|v| v.starts_with("Basic")))
        .map(|r| r.target)
        .collect();
    assert_eq!(basic.len(), 1);
    assert!(basic[0].starts_with("/token?service=fake&scope=repository%3Aa%3Apull"), "{basic:?}");
}

#[test]
fn a_wrong_password_is_refused_once_and_named() {
    let registry = FakeRegistry::start();
    let login = Some(("bob".to_owned(), "other".to_owned()));
    registry.require(Auth::Token(TokenAuth { login, ..TokenAuth::default() }));
    let (client, _dir) = logged_in(&registry, r#"{"auth":"Ym9iOnNlY3JldA=="}"#);
    let error = client.manifest(&reference(&registry, "a:1")).unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    let text = error.to_string();
    assert!(text.contains("user bob, from /") && text.contains("incorrect username or password"), "{text}");
    assert!(!text.contains("secret") && !format!("{error:?}").contains("secret"));
    assert_eq!(tokens(&registry), 1);

    registry.require(Auth::Basic { user: "bob".into(), password: "other".into() });
    let (client, _dir) = logged_in(&registry, r#"{"auth":"Ym9iOnNlY3JldA=="}"#);
    assert_eq!(client.manifest(&reference(&registry, "a:1")).unwrap_err().kind(), Kind::Unauthorized);
    assert_eq!(registry.log("/manifests/"), ["GET 401"]);
}

#[test]
fn identity_tokens_use_oauth_and_fall_back() {
    let registry = FakeRegistry::start();
    let identity_token = Some("refresh".to_owned());
    registry.require(Auth::Token(TokenAuth { identity_token, ..TokenAuth::default() }));
    registry.put_image("a", "1", b"{}", &[]);
    let (client, _dir) = logged_in(&registry, r#"{"identitytoken":"refresh"}"#);
    client.manifest(&reference(&registry, "a:1")).unwrap();
    assert_eq!(registry.log("/token"), ["POST 200"]);

    let login = Some(("<token>".to_owned(), "refresh".to_owned()));
    registry.require(Auth::Token(TokenAuth { login, ..TokenAuth::default() }));
    let (client, _dir) = logged_in(&registry, r#"{"identitytoken":"refresh"}"#);
    client.manifest(&reference(&registry, "a:1")).unwrap();
    assert_eq!(registry.log("/token"), ["POST 200", "POST 404", "GET 200"]);
}

#[test]
fn registry_tokens_are_sent_as_they_are() {
    let registry = FakeRegistry::start();
    registry.put_image("a", "1", b"{}", &[]);
    let (client, _dir) = logged_in(&registry, r#"{"registrytoken":"abc"}"#);
    client.manifest(&reference(&registry, "a:1")).unwrap();
    let request = registry.requests().into_iter().find(|r| r.target.contains("/manifests/")).unwrap();
    assert_eq!(request.header("authorization"), Some("Bearer abc"));
}

#[test]
fn the_challenge_is_found_among_others() {
    for challenges in ["Negotiate, {}", "Basic realm=\"x, y\", {}", "NTLM abc==, Digest qop=\"a\", {}"] {
        let registry = FakeRegistry::start();
        let challenges = Some(challenges.to_owned());
        registry.require(Auth::Token(TokenAuth { challenges, ..TokenAuth::default() }));
        registry.put_image("a", "1", b"{}", &[]);
        client().0.manifest(&reference(&registry, "a:1")).unwrap();
    }
}

#[test]
fn tokens_that_die_early_are_replaced() {
    let registry = FakeRegistry::start();
    let lives = Some(Duration::from_millis(100));
    // It promises an hour.
    registry.require(Auth::Token(TokenAuth { lives, expires_in: Some(3600), ..TokenAuth::default() }));
    registry.put_image("a", "1", b"{}", &[]);
    let (client, _) = client();
    let name = reference(&registry, "a:1");
    client.manifest(&name).unwrap();
    std::thread::sleep(Duration::from_millis(150));
    client.manifest(&name).unwrap();
    assert_eq!(registry.log("/manifests/"), ["GET 200", "GET 401", "GET 200"]);
    assert_eq!(tokens(&registry), 2);
}

#[test]
fn a_pull_token_is_widened_for_a_push() {
    let registry = FakeRegistry::start();
    registry.require(Auth::Token(TokenAuth::default()));
    registry.put_image("a", "1", b"{}", &[]);
    let (client, _) = client();
    client.manifest(&reference(&registry, "a:1")).unwrap();
    Source::new(noise(100)).push(&client, &reference(&registry, "a:2")).unwrap();
    assert_eq!(tokens(&registry), 2);
    // A registry that wants more than the specification says.
    let scope = r#"Bearer realm="http://HOST/token",service="fake",scope="registry:catalog:*",error="insufficient_scope""#;
    let scope = scope.replace("HOST", &registry.host());
    registry.fault(Fault::on("GET", "/manifests/").respond_with(403, &[("WWW-Authenticate", &scope)]));
    client.manifest(&reference(&registry, "a:1")).unwrap();
    let last = registry.requests().into_iter().rfind(|r| r.target.starts_with("/token")).unwrap();
    assert!(
        last.target.contains("scope=registry%3Acatalog%3A%2A&scope=repository%3Aa%3Apull"),
        "{}",
        last.target
    );
}

#[test]
fn token_servers_that_fail_or_lie() {
    let registry = FakeRegistry::start();
    registry.require(Auth::Token(TokenAuth::default()));
    registry.put_image("a", "1", b"{}", &[]);
    let name = reference(&registry, "a:1");
    registry.fault(Fault::on("GET", "/token").respond(503, ""));
    client().0.manifest(&name).unwrap();
    for body in ["{}", r#"{"token":"a\nb"}"#, "no json"] {
        registry.fault(Fault::on("GET", "/token").respond(200, body));
        assert_eq!(client().0.manifest(&name).unwrap_err().kind(), Kind::InvalidResponse, "{body}");
    }
    registry.fault(Fault::on("GET", "/token").respond(200, &"x".repeat(70_000)));
    assert!(matches!(client().0.manifest(&name), Err(Error::TooLarge { .. })));
    // Nothing is ever sent to a token server inside of somebody's network.
    let realm = Some("http://169.254.169.254/token".to_owned());
    registry.require(Auth::Token(TokenAuth { realm, ..TokenAuth::default() }));
    assert!(matches!(client().0.manifest(&name), Err(Error::UnsafeAddress { .. })));
}

#[test]
fn registries_that_hide_instead_of_challenging_are_pinged() {
    // A public host name would be asked without a ping first; here the ping comes first anyway, so what is tested is
    // that a challenge in the middle of things is taken up.
    let registry = FakeRegistry::start();
    registry.put_image("a", "1", b"{}", &[]);
    let (client, _) = client();
    let name = reference(&registry, "a:1");
    client.manifest(&name).unwrap();
    registry.require(Auth::Token(TokenAuth::default()));
    client.manifest(&name).unwrap();
    assert_eq!(registry.log("/manifests/"), ["GET 200", "GET 401", "GET 200"]);
}

#[test]
fn login_is_checked_stored_used_and_forgotten() {
    for auth in [
        Auth::Basic { user: "bob".into(), password: "pw".into() },
        Auth::Token(TokenAuth { login: Some(("bob".into(), "pw".into())), ..TokenAuth::default() }),
    ] {
        let registry = FakeRegistry::start();
        registry.require(auth);
        registry.put_image("a", "1", b"{}", &[]);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.json");
        let (client, _) = client_with(Config::default().docker_config(&file));
        let host = registry.host();
        assert_eq!(client.check_login(&host, "bob", "wrong").unwrap_err().kind(), Kind::Unauthorized);
        client.check_login(&host, "bob", "pw").unwrap();
        assert_eq!(client.save_login(&host, "bob", "pw").unwrap(), file.display().to_string());
        let (fresh, _) = client_with(Config::default().docker_config(&file));
        fresh.manifest(&reference(&registry, "a:1")).unwrap();
        assert!(fresh.erase_login(&host).unwrap() && !fresh.erase_login(&host).unwrap());
    }
}

#[test]
fn credential_programs_are_asked() {
    let registry = FakeRegistry::start();
    registry.require(Auth::Basic { user: "bob".into(), password: "pw".into() });
    registry.put_image("a", "1", b"{}", &[]);
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("docker-credential-jettison-test");
    let script = format!(
        "#!/bin/sh\nread -r server\ncase \"$1 $server\" in\n'get {}') echo '{{\"Username\":\"bob\",\"Secret\":\"pw\"}}';;\n\
         *) echo 'credentials not found in native keychain'; exit 1;;\nesac\n",
        registry.host()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    // Programs are found on PATH, which is the process's own: so this test runs itself again with another one.
    let config = dir.path().join("config.json");
    std::fs::write(&config, r#"{"credsStore":"jettison-test"}"#).unwrap();
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap_or_default());
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "auth::inner_client_with_a_program", "--ignored", "--nocapture"])
        .env("PATH", path)
        .env("JETTISON_TEST_CONFIG", &config)
        .env("JETTISON_TEST_IMAGE", format!("{}/a:1", registry.host()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(registry.log("/manifests/").contains(&"GET 200".to_owned()));
}

#[test]
#[ignore = "started by credential_programs_are_asked with its own PATH"]
fn inner_client_with_a_program() {
    let Ok(config) = std::env::var("JETTISON_TEST_CONFIG") else { return };
    let (client, _) = client_with(Config::default().docker_config(config.as_ref()));
    client.manifest(&std::env::var("JETTISON_TEST_IMAGE").unwrap().parse().unwrap()).unwrap();
}

#[test]
fn a_cut_token_answer_is_tried_again() {
    let registry = FakeRegistry::start();
    registry.require(Auth::Token(TokenAuth::default()));
    registry.put_image("a", "1", b"{}", &[]);
    registry.fault(Fault::on("GET", "/token").act(Action::SwallowResponse));
    client().0.manifest(&reference(&registry, "a:1")).unwrap();
}
