//! What changed and had to be noticed: ways in which builders have served wrong results, as a user meets them. Those that a
//! key alone can show are in `crates/plan/tests/plan/keys.rs`; `cache.rs` has the common ones.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::cache::ran;
use crate::fixture::{Jettison, folder, root};

fn cat(jettison: &Jettison, image: &str, path: &str) -> String {
    jettison.run(&["run", image, "cat", path]).ok()
}

#[test]
fn two_contexts_whose_files_have_equal_names_sizes_and_times() {
    let jettison = Jettison::with_busybox();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for content in ["one", "two"] {
        let folder = folder("FROM busybox\nCOPY f /f\nRUN cp /f /seen\n", &[("f", content)]);
        for name in ["f", "Dockerfile"] {
            let file = fs::File::options().write(true).open(folder.path().join(name)).unwrap();
            file.set_modified(time).unwrap();
        }
        jettison.build(folder.path(), &["-t", "app"]);
        assert_eq!(cat(&jettison, "app", "/seen"), content);
    }
}

#[test]
fn arguments_in_the_words_of_copy_add_and_workdir() {
    let jettison = Jettison::with_busybox();
    let text = "FROM busybox\nARG V\nENV E=$V\nCOPY $V /copied\nADD ${E}.txt /added\nWORKDIR /w/$V\nRUN pwd > /pwd\n";
    let files = [("a", "a"), ("b", "b"), ("a.txt", "a+"), ("b.txt", "b+")];
    let folder = folder(text, &files);
    for value in ["a", "b", "a"] {
        jettison.build(folder.path(), &["-t", "app", "--build-arg", &format!("V={value}")]);
        let seen = ["/copied", "/added", "/pwd"].map(|path| cat(&jettison, "app", path));
        assert_eq!(seen, [value.to_owned(), format!("{value}+"), format!("/w/{value}")]);
    }
}

/// A file with the name of a whiteout removed another one from the image, at the latest when somebody pulled it.
#[test]
fn a_file_with_the_name_of_a_whiteout_removes_nothing() {
    let jettison = Jettison::with_busybox();
    for name in [".wh.a", ".wh..wh..opq"] {
        for line in ["COPY d /d/".to_owned(), format!("RUN cp /m/{name} /d/{name}")] {
            let mount = if line.starts_with("RUN") {
                line.replacen("RUN", "RUN --mount=target=/m,source=d", 1)
            } else {
                line
            };
            let text = format!("FROM busybox\nCOPY d/b /d/a\n{mount}\n");
            let context = folder(&text, &[("d/b", "kept")]);
            fs::write(context.path().join("d").join(name), "").unwrap();
            let error = jettison.try_build(context.path(), &["-t", "never"]).fails(3);
            assert!(error.contains("Dockerfile:3:1: ") && error.contains("removes another"), "{error}");
            assert!(error.contains(name) && error.contains("rename it"), "{error}");
            jettison.run(&["inspect", "never"]).fails(4);
        }
    }
    // A stage may have one, and so may an output that is no layer.
    let text = "FROM busybox AS s\nCOPY d /d/\nFROM busybox\nCOPY --from=s /d/b /d/\n";
    let context = folder(text, &[("d/b", "kept"), ("d/.wh.b", "")]);
    jettison.build(context.path(), &["-t", "app"]);
    assert_eq!(cat(&jettison, "app", "/d/b"), "kept");
    let out = tempfile::tempdir().unwrap();
    let output = format!("type=local,dest={}", out.path().display());
    jettison.build(context.path(), &["--target", "s", "--output", &output]);
    assert!(out.path().join("d/.wh.b").exists() && out.path().join("d/b").exists());
}

#[test]
fn accounts_behind_a_name_of_chown_and_user() {
    let jettison = Jettison::with_busybox();
    let text =
        "FROM busybox\nCOPY passwd /etc/passwd\nCOPY --chown=app f /f\nUSER app\nRUN id -u > /tmp/id\n";
    for id in ["100", "200"] {
        let passwd = format!("root:x:0:0::/:/bin/sh\napp:x:{id}:{id}::/:/bin/sh\n");
        let folder = folder(text, &[("passwd", &passwd), ("f", "f")]);
        jettison.build(folder.path(), &["-t", "app"]);
        assert_eq!(jettison.run(&["run", "app", "stat", "-c", "%u", "/f"]).ok(), id);
        assert_eq!(cat(&jettison, "app", "/tmp/id"), id);
    }
}

#[test]
fn what_is_found_first_and_what_is_listed() {
    let jettison = Jettison::with_busybox();
    let text =
        "FROM busybox\nCOPY path /path\nRUN PATH=/path/1:/path/2:$PATH tool > /seen; ls /path/1 >> /seen\n";
    let folder = folder(text, &[("path/1/.keep", ""), ("path/2/tool", "#!/bin/sh\necho second\n")]);
    let tool = |at: &str| folder.path().join("path").join(at).join("tool");
    let executable = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    executable(&tool("2"));
    let seen = || {
        jettison.build(folder.path(), &["-t", "app"]);
        cat(&jettison, "app", "/seen")
    };
    assert_eq!(seen(), "second");
    fs::write(tool("1"), "#!/bin/sh\necho first\n").unwrap();
    executable(&tool("1"));
    assert_eq!(seen(), "first\ntool");
    fs::remove_file(tool("1")).unwrap();
    assert_eq!(seen(), "second");
}

#[test]
fn a_secret_counts_by_its_id_and_not_by_its_value() {
    let jettison = Jettison::with_busybox();
    let text = |id: &str| format!("FROM busybox\nRUN --mount=type=secret,id={id},target=/s cat /s > /seen\n");
    let build = |id: &str, value: &str| {
        let folder = folder(&text(id), &[("value", value)]);
        let secret = format!("id={id},src={}", folder.path().join("value").display());
        jettison.try_build(folder.path(), &["-t", "app", "--secret", &secret]).stderr
    };
    assert!(ran(&build("a", "one"), "cat /s"));
    assert!(!ran(&build("a", "two"), "cat /s"));
    assert!(ran(&build("b", "two"), "cat /s"));
    assert_eq!(cat(&jettison, "app", "/seen"), "two");
}

/// What CI systems do to keep a cache: snapshots of a copy without attributes had again what their steps had removed.
#[test]
fn a_copy_of_the_store_that_lost_attributes_is_no_cache() {
    if !root() {
        return;
    }
    let jettison = Jettison::with_busybox();
    let text = "FROM busybox\nRUN mkdir /d && touch /d/removed\nRUN rm -r /d && mkdir /d && touch /d/new\nARG N\nRUN ls /d > /seen-$N\n";
    let context = folder(text, &[]);
    jettison.build(context.path(), &["--build-arg", "N=0", "-t", "app"]);
    let copies = tempfile::tempdir().unwrap();
    let from = jettison.store.path().to_str().unwrap();
    for (number, (copy, is_whole)) in [
        ("cp -a $0/. $1", true),
        ("tar -C $0 -cf - . | tar -C $1 -xf -", false),
        ("cp -r $0/. $1", false),
        ("cp -a $0/. $1; rm -r $1/specimen/*", false),
    ]
    .into_iter()
    .enumerate()
    {
        let to = copies.path().join(number.to_string());
        fs::create_dir(&to).unwrap();
        crate::fixture::program("sh", &["-ec", copy, from, to.to_str().unwrap()]).ok();
        let copied = Jettison::new().env("JETTISON_ROOT", to.to_str().unwrap());
        for round in 1..3 {
            let argument = format!("N={round}");
            let built = copied.try_build(context.path(), &["--build-arg", &argument, "-t", "app"]);
            let is_first_look = round == 1 && !is_whole;
            assert_eq!(
                built.stderr.contains("is a copy that lost"),
                is_first_look,
                "{copy}: {}",
                built.stderr
            );
            assert_eq!(ran(&built.stderr, "] RUN mkdir /d"), is_first_look, "{copy}: {}", built.stderr);
            built.ok();
            assert_eq!(cat(&copied, "app", &format!("/seen-{round}")), "new", "{copy}");
        }
        copied.run(&["fsck"]).ok();
    }
}
