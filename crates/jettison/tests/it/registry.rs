//! Pull and push against Debian's docker-registry, plain and with passwords. Tokens and faults: crate `registry`.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::fixture::{Jettison, Registry, folder, have, program};

#[test]
fn push_and_pull_give_the_same_image() {
    let Some(registry) = Registry::start("") else { return };
    let jettison = Jettison::with_busybox();
    let name = registry.name("team/app:1");
    let folder = folder("FROM busybox\nRUN echo hi > /x\n", &[]);
    let digest = jettison.build(folder.path(), &["-t", &name, "--push"]);
    let other = Jettison::new();
    assert_eq!(other.run(&["pull", "-q", &name]).ok(), digest);
    assert_eq!(other.run(&["run", &name, "cat", "/x"]).ok(), "hi");
    let by_digest = registry.name(&format!("team/app@{digest}"));
    assert_eq!(Jettison::new().run(&["pull", "-q", &by_digest]).ok(), digest);
}

#[test]
fn a_digest_may_be_pushed_without_a_name() {
    let Some(registry) = Registry::start("") else { return };
    let jettison = Jettison::with_busybox();
    let folder = folder("FROM busybox\nRUN echo hi > /x\n", &[]);
    let output =
        format!("type=image,push-by-digest=true,name-canonical=true,push=true,name={}", registry.name("app"));
    let digest = jettison.build(folder.path(), &["--output", &output]);
    let there = registry.name(&format!("app@{digest}"));
    assert_eq!(Jettison::new().run(&["pull", "-q", &there]).ok(), digest);
    Jettison::new().run(&["pull", "-q", &registry.name("app:latest")]).fails(4);
    jettison.run(&["inspect", &registry.name("app:latest")]).fails(4);
}

#[test]
fn what_the_registry_has_is_not_sent_again_and_may_be_mounted() {
    let Some(registry) = Registry::start("") else { return };
    let jettison = Jettison::with_busybox();
    jettison.run(&["tag", "busybox", &registry.name("a:1")]).ok();
    jettison.run(&["push", &registry.name("a:1")]).ok();
    let size = || program("du", &["-sb", registry.data.path().to_str().unwrap()]).ok();
    let before: u64 = size().split_whitespace().next().unwrap().parse().unwrap();
    jettison.run(&["push", &registry.name("a:1"), &registry.name("b:1")]).ok();
    let after: u64 = size().split_whitespace().next().unwrap().parse().unwrap();
    assert!(after - before < 100_000, "the blobs were stored twice: {before} {after}");
    assert_eq!(Jettison::new().run(&["pull", "-q", &registry.name("b:1")]).code, 0);
}

#[test]
fn passwords() {
    if !have("htpasswd") {
        return;
    }
    let files = tempfile::tempdir().unwrap();
    let htpasswd = files.path().join("htpasswd");
    fs::write(&htpasswd, program("htpasswd", &["-Bbn", "user", "secret"]).ok()).unwrap();
    let auth = format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", htpasswd.display());
    let Some(registry) = Registry::start(&auth) else { return };
    let jettison = Jettison::with_busybox();
    let name = registry.name("app:1");
    jettison.run(&["tag", "busybox", &name]).ok();
    let stderr = jettison.run(&["push", &name]).fails(4);
    assert!(stderr.contains("hint:") && stderr.contains("login"), "{stderr}");
    let host = registry.name("");
    let host = host.trim_end_matches('/');
    let login = |password: &str| {
        let mut child = jettison
            .command()
            .args(["login", "-u", "user", "--password-stdin", host])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        crate::fixture::Ran::from(child.wait_with_output().unwrap())
    };
    let stderr = login("wrong").fails(4);
    assert!(!stderr.contains("wrong\n"), "{stderr}");
    login("secret\n").ok();
    let config = jettison.home().join(".docker/config.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&config).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    jettison.run(&["push", &name]).ok();
    jettison.run(&["logout", host]).ok();
    jettison.run(&["push", &name, &registry.name("other:1")]).fails(4);
}

#[test]
fn mirrors_of_registries_conf() {
    let Some(registry) = Registry::start("") else { return };
    let publisher = Jettison::with_busybox();
    publisher.run(&["push", "busybox", &registry.name("library/thing:1")]).ok();
    let jettison = Jettison::new();
    let folder = jettison.home().join(".config/containers");
    fs::create_dir_all(&folder).unwrap();
    fs::write(
        folder.join("registries.conf"),
        format!(
            "[[registry]]\nprefix = \"registry.invalid\"\nlocation = \"registry.invalid\"\n[[registry.mirror]]\nlocation = \"127.0.0.1:{}\"\ninsecure = true\n",
            registry.port
        ),
    )
    .unwrap();
    jettison.run(&["pull", "-q", "registry.invalid/library/thing:1"]).ok();
}

#[test]
fn a_base_that_is_only_lent_is_not_unpacked() {
    let Some(registry) = Registry::start("") else { return };
    Jettison::with_busybox().run(&["push", "busybox", &registry.name("base:1")]).ok();
    let jettison = Jettison::new();
    let folder = folder(&format!("FROM {}\nENV A=1\n", registry.name("base:1")), &[]);
    jettison.build(folder.path(), &["-t", &registry.name("app:1"), "--push"]);
    let snapshots = fs::read_dir(jettison.store.path().join("snapshots")).unwrap().count();
    assert_eq!(snapshots, 0);
}

#[test]
fn a_damaged_layer_is_refused_and_nothing_is_built() {
    let Some(registry) = Registry::start("") else { return };
    let publisher = Jettison::with_busybox();
    publisher.run(&["push", "busybox", &registry.name("base:1")]).ok();
    let found = Command::new("find")
        .arg(registry.data.path())
        .args(["-name", "data", "-size", "+200k"])
        .output()
        .unwrap();
    let path = String::from_utf8(found.stdout).unwrap().trim().to_owned();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let jettison = Jettison::new();
    let folder = folder(&format!("FROM {}\nRUN true\n", registry.name("base:1")), &[]);
    let stderr = jettison.try_build(folder.path(), &["-t", "app"]).fails(4);
    assert!(stderr.contains("digest") || stderr.contains("content is"), "{stderr}");
    assert_eq!(jettison.run(&["images", "-q"]).ok(), "");
}

#[test]
fn what_a_wrong_download_left_does_not_stop_the_next_pull() {
    let Some(registry) = Registry::start("") else { return };
    let publisher = Jettison::with_busybox();
    let name = registry.name("base:1");
    publisher.run(&["push", "busybox", &name]).ok();
    let image: serde_json::Value =
        serde_json::from_str(&publisher.run(&["inspect", "busybox"]).ok()).unwrap();
    let layer = &image[0]["manifest"]["layers"][0];
    let digest = layer["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let size = usize::try_from(layer["size"].as_u64().unwrap()).unwrap();
    for (left, unpack) in
        [(size / 2, false), (size, false), (size + 1, false), (size / 2, true), (size, true)]
    {
        let jettison = Jettison::new();
        let partial = jettison.store.path().join("partial");
        fs::create_dir_all(&partial).unwrap();
        fs::write(partial.join(digest), vec![7; left]).unwrap();
        let flags: &[&str] = if unpack { &["--unpack"] } else { &[] };
        jettison.run(&[&["pull", "-q", name.as_str()], flags].concat()).ok();
        assert_eq!(fs::read_dir(&partial).unwrap().count(), 0, "{left}");
        jettison.run(&["run", &name, "true"]).ok();
    }
}

#[test]
fn a_registry_without_a_certificate_is_trusted_when_the_output_says_so() {
    let Some(registry) = Registry::start("") else { return };
    // The same registry under an address that nobody takes for this machine's own.
    let name = registry.name("app:1").replace("127.0.0.1", "0.0.0.0").replace("localhost", "0.0.0.0");
    let jettison = Jettison::new();
    let context = folder("FROM scratch\nCOPY a /a\n", &[("a", "a\n")]);
    let output = format!("type=image,name={name},push=true");
    jettison.try_build(context.path(), &["-o", &output]).fails(4);
    jettison.build(context.path(), &["-o", &format!("{output},registry.insecure=true")]);
    jettison.run(&["pull", &registry.name("app:1")]).ok();
}
