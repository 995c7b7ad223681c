//! Same input, same digest: cold or cached, one thread or many, another folder, another user.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::fixture::{Jettison, busybox_archive, folder, have, root, skip};

const DOCKERFILE: &str = "FROM busybox AS build
COPY . /src
RUN date > /dev/null; mkdir /out && cp -r /src /out/src && chown -R app:staff /out && touch /out/now
FROM busybox
COPY --from=build /out /out
RUN rm /out/src/Dockerfile && chmod 4755 /out/now
WORKDIR /w/x
CMD [\"sh\"]
";

fn context() -> tempfile::TempDir {
    let folder = folder(DOCKERFILE, &[("a/b/c", "1"), ("z", "2")]);
    for i in 0..40 {
        std::fs::write(folder.path().join(format!("f{i}")), vec![i; 40_000]).unwrap();
    }
    folder
}

#[test]
fn in_other_folders_and_stores_and_without_cache() {
    let (one, two) = (Jettison::with_busybox(), Jettison::with_busybox());
    let digest = one.build(context().path(), &[]);
    assert_eq!(two.build(context().path(), &["--jobs", "1"]), digest);
    assert_eq!(one.build(context().path(), &["--no-cache"]), digest);
}

#[test]
fn an_edit_of_a_large_layer_gives_what_a_new_store_gives() {
    let folder = crate::fixture::folder("FROM scratch\nCOPY d /d\n", &[]);
    std::fs::create_dir(folder.path().join("d")).unwrap();
    let write = |name: u32, seed: u32| {
        let bytes: Vec<u8> =
            (0..200_000_u32).flat_map(|n| (n ^ seed).wrapping_mul(n | 1).to_le_bytes()).collect();
        std::fs::write(folder.path().join(format!("d/{name}")), bytes).unwrap();
    };
    (0..4).for_each(|name| write(name, name));
    let jettison = Jettison::new();
    let first = jettison.build(folder.path(), &["-t", "app"]);
    write(2, 77);
    // The layer takes what did not change from the old one; see crate `layer`, `encode/memory.rs`.
    let edited = jettison.build(folder.path(), &["-t", "app"]);
    assert_ne!(edited, first);
    assert_eq!(Jettison::new().build(folder.path(), &[]), edited);
}

#[test]
fn with_one_processor_or_all() {
    if !have("taskset") {
        return;
    }
    let digest = Jettison::with_busybox().build(context().path(), &[]);
    let jettison = Jettison::with_busybox();
    let context = context();
    let plain = jettison.command();
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(plain.get_program()).args(["build", "-q"]).arg(context.path());
    command.env_clear();
    for (name, value) in plain.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), digest, "{output:?}");
}

#[test]
fn as_a_plain_user() {
    if !root() || !have("setpriv") || !have("newuidmap") {
        return;
    }
    let Some(user) = plain_user() else { return };
    let digest = Jettison::with_busybox().build(context().path(), &[]);
    let home = tempfile::tempdir().unwrap();
    let chown = |path: &std::path::Path| {
        let path = path.to_str().unwrap();
        assert!(Command::new("chown").args(["-R", &user, path]).status().unwrap().success());
    };
    let context = context();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(context.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = home.path().join("jettison");
    std::fs::copy(env!("CARGO_BIN_EXE_jettison"), &program).unwrap();
    let archive = home.path().join("busybox.tar");
    std::fs::copy(busybox_archive(), &archive).unwrap();
    chown(home.path());
    chown(context.path());
    let run = |args: &[&str]| {
        Command::new("setpriv")
            .args(["--reuid", &user, "--regid", &user, "--clear-groups", program.to_str().unwrap()])
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", home.path())
            .env("JETTISON_ROOT", home.path().join("store"))
            .output()
            .unwrap()
    };
    let loaded = run(&["load", "-i", archive.to_str().unwrap()]);
    assert!(loaded.status.success(), "{loaded:?}");
    let built = run(&["build", "-q", context.path().to_str().unwrap()]);
    assert_eq!(String::from_utf8_lossy(&built.stdout).trim(), digest, "{built:?}");
}

/// A user with subordinate ids, made if it is not there.
fn plain_user() -> Option<String> {
    const NAME: &str = "jettison-test";
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    if !passwd.lines().any(|l| l.starts_with("jettison-test:")) {
        let made = Command::new("useradd").args(["--create-home", NAME]).status();
        if !made.is_ok_and(|s| s.success()) {
            skip("cannot make a user");
            return None;
        }
    }
    let subuid = std::fs::read_to_string("/etc/subuid").unwrap_or_default();
    if !subuid.lines().any(|l| l.starts_with("jettison-test:")) {
        let added = Command::new("usermod")
            .args(["--add-subuids", "700000-765535", "--add-subgids", "700000-765535", NAME])
            .status();
        assert!(added.unwrap().success());
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|l| l.starts_with("jettison-test:"))?;
    Some(line.split(':').nth(2)?.to_owned())
}
