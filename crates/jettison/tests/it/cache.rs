//! What must run again and what must not. A wrong hit is the worst defect; each known kind has its test here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use crate::fixture::{Jettison, Registry, folder};

/// Whether a step whose name contains `step` ran in this build: `#3 [2/4] RUN x`, later `#3 DONE 0.1s`.
pub(crate) fn ran(stderr: &str, step: &str) -> bool {
    let numbers = stderr.lines().filter(|l| l.contains(step)).filter_map(|l| l.split(' ').next());
    let done: Vec<String> = numbers.map(|number| format!("{number} DONE")).collect();
    stderr.lines().any(|line| done.iter().any(|d| line.starts_with(d.as_str())))
}

#[test]
fn a_rebuild_runs_nothing_and_gives_the_same_digest() {
    let jettison = Jettison::with_busybox();
    let folder = folder("FROM busybox\nCOPY a /a\nRUN cat /a > /b\n", &[("a", "1")]);
    let first = jettison.build(folder.path(), &[]);
    let again = jettison.try_build(folder.path(), &[]);
    assert!(!ran(&again.stderr, "RUN") && again.stderr.contains("CACHED"), "{}", again.stderr);
    assert_eq!(again.ok(), first);
}

/// Each directory below makes every look-up of a step slower. The base has no `/etc/resolv.conf`, so each step gets a mount
/// point there, and `/etc` is copied up for it.
#[test]
fn steps_that_change_nothing_do_not_pile_up_below_the_next() {
    let jettison = Jettison::with_busybox();
    let root = "RUN grep ' / overlay' /proc/self/mounts | sed 's/,upperdir=.*//' > /root.txt";
    let lowers = |steps: &str| {
        let folder = folder(&format!("FROM busybox\n{steps}{root}\n"), &[]);
        jettison.build(folder.path(), &["-t", "app"]);
        jettison.run(&["run", "app", "cat", "/root.txt"]).ok()
    };
    let first = lowers("");
    assert!(first.contains("lowerdir"), "{first}");
    assert_eq!(lowers("RUN true 1\nRUN true 2\nRUN ls /etc\n"), first);
    assert_ne!(lowers("RUN touch /file\n"), first);
    assert_ne!(lowers("RUN touch -d 2001-01-01 /etc\n"), first, "the time is what the next step sees");
}

#[test]
fn content_with_the_same_size_and_time_is_noticed() {
    let jettison = Jettison::with_busybox();
    let folder = folder("FROM busybox\nCOPY a /a\n", &[("a", "one")]);
    let path = folder.path().join("a");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let set_time = || fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    set_time();
    let first = jettison.build(folder.path(), &["-t", "app"]);
    fs::write(&path, "two").unwrap();
    set_time();
    let second = jettison.build(folder.path(), &["-t", "app"]);
    assert_ne!(first, second);
    assert_eq!(jettison.run(&["run", "app", "cat", "/a"]).ok(), "two");
}

#[test]
fn every_kind_of_edit_changes_the_result() {
    let jettison = Jettison::with_busybox();
    let folder = folder("FROM busybox\nCOPY d /d\nRUN find /d | sort\n", &[("d/a", "1"), ("d/b", "1")]);
    let d = folder.path().join("d");
    let mut seen = vec![jettison.build(folder.path(), &[])];
    let mut edit = |what: &str, change: &dyn Fn()| {
        change();
        let digest = jettison.build(folder.path(), &[]);
        assert!(!seen.contains(&digest), "{what} was not noticed");
        seen.push(digest);
    };
    edit("content", &|| fs::write(d.join("a"), "2").unwrap());
    edit("mode", &|| fs::set_permissions(d.join("a"), fs::Permissions::from_mode(0o755)).unwrap());
    edit("rename", &|| fs::rename(d.join("a"), d.join("c")).unwrap());
    edit("new file", &|| fs::write(d.join("n"), "").unwrap());
    edit("file to directory", &|| {
        fs::remove_file(d.join("n")).unwrap();
        fs::create_dir(d.join("n")).unwrap();
    });
    edit("directory to link", &|| {
        fs::remove_dir(d.join("n")).unwrap();
        std::os::unix::fs::symlink("b", d.join("n")).unwrap();
    });
    edit("target of the link", &|| {
        fs::remove_file(d.join("n")).unwrap();
        std::os::unix::fs::symlink("c", d.join("n")).unwrap();
    });
    edit("removal", &|| fs::remove_file(d.join("b")).unwrap());
}

#[test]
fn arguments_count_where_they_are_declared_and_proxies_never() {
    let jettison = Jettison::with_busybox();
    let folder = folder("FROM busybox\nRUN echo first\nARG V\nRUN echo \"$V\" > /v\n", &[]);
    jettison.build(folder.path(), &["--build-arg", "V=1"]);
    let other = jettison.try_build(folder.path(), &["--build-arg", "V=2"]).stderr;
    assert!(!ran(&other, "RUN echo first") && ran(&other, "/v"), "{other}");
    let proxy =
        jettison.try_build(folder.path(), &["--build-arg", "V=2", "--build-arg", "http_proxy=http://p"]);
    assert!(!ran(&proxy.stderr, "RUN"), "{}", proxy.stderr);
}

#[test]
fn heredoc_bodies_shells_and_users_count() {
    let jettison = Jettison::with_busybox();
    let mut seen = Vec::new();
    for dockerfile in [
        "FROM busybox\nRUN <<EOF\nid -u > /o\nEOF\n",
        "FROM busybox\nRUN <<EOF\nid -g > /o\nEOF\n",
        "FROM busybox\nUSER 5:6\nRUN <<EOF\nid -u > /tmp/o\nEOF\n",
        "FROM busybox\nWORKDIR /tmp\nRUN pwd > o\n",
        "FROM busybox\nWORKDIR /root\nRUN pwd > o\n",
        "FROM busybox\nCOPY <<EOF /x\n1\nEOF\n",
        "FROM busybox\nCOPY <<EOF /x\n2\nEOF\n",
    ] {
        let folder = folder(dockerfile, &[]);
        let digest = jettison.build(folder.path(), &[]);
        assert!(!seen.contains(&digest), "{dockerfile}");
        seen.push(digest);
    }
}

#[test]
fn a_rebuilt_stage_with_the_same_result_does_not_rebuild_what_follows() {
    let jettison = Jettison::with_busybox();
    let dockerfile = "FROM busybox AS build\nCOPY src /src\nRUN head -n1 /src > /out\nFROM busybox\nCOPY --from=build /out /out\nRUN cat /out > /copy\n";
    let folder = folder(dockerfile, &[("src", "one\ncomment\n")]);
    let first = jettison.build(folder.path(), &[]);
    fs::write(folder.path().join("src"), "one\nanother comment\n").unwrap();
    let again = jettison.try_build(folder.path(), &[]);
    assert!(ran(&again.stderr, "RUN head") && !ran(&again.stderr, "RUN cat"), "{}", again.stderr);
    assert_eq!(again.ok(), first);
    fs::write(folder.path().join("src"), "two\n").unwrap();
    assert_ne!(jettison.build(folder.path(), &[]), first, "the stage behind COPY --from is part of the key");
}

#[test]
fn no_cache_runs_everything_and_what_follows_stands_on_the_new_result() {
    let jettison = Jettison::with_busybox();
    let folder = folder(
        "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /id\nWORKDIR /w\nRUN cp /id /id2\n",
        &[],
    );
    jettison.build(folder.path(), &["-t", "a"]);
    jettison.build(folder.path(), &["-t", "b", "--no-cache"]);
    let id = |image: &str, path: &str| jettison.run(&["run", image, "cat", path]).ok();
    assert_ne!(id("a", "/id"), id("b", "/id"));
    assert_eq!(id("b", "/id"), id("b", "/id2"));
    jettison.build(folder.path(), &["-t", "c"]);
    assert_eq!(id("c", "/id"), id("b", "/id"), "the newest result is what the cache gives");
    assert_eq!(id("c", "/id2"), id("b", "/id"));
}

#[test]
fn bind_mounts_count_by_content_and_leave_no_trace() {
    let jettison = Jettison::with_busybox();
    let folder = folder("FROM busybox\nRUN --mount=type=bind,target=/m/x cat /m/x/a > /o\n", &[("a", "1")]);
    jettison.build(folder.path(), &["-t", "app"]);
    assert_eq!(jettison.run(&["run", "app", "ls", "/"]).ok().contains('m'), "home tmp".contains('m'));
    assert!(!jettison.run(&["run", "app", "ls", "/"]).ok().lines().any(|l| l == "m"));
    fs::write(folder.path().join("a"), "2").unwrap();
    jettison.build(folder.path(), &["-t", "app"]);
    assert_eq!(jettison.run(&["run", "app", "cat", "/o"]).ok(), "2");
}

#[test]
fn ignored_files_do_not_count_and_are_not_copied() {
    let jettison = Jettison::with_busybox();
    let folder = folder(
        "FROM busybox\nCOPY . /c\nRUN ls /c > /l\n",
        &[(".dockerignore", "*\n!keep\n"), ("keep", "1"), ("drop", "1")],
    );
    let first = jettison.build(folder.path(), &["-t", "app"]);
    assert_eq!(jettison.run(&["run", "app", "cat", "/l"]).ok(), "keep");
    fs::write(folder.path().join("drop"), "2").unwrap();
    assert_eq!(jettison.build(folder.path(), &[]), first);
    fs::write(folder.path().join("keep"), "2").unwrap();
    assert_ne!(jettison.build(folder.path(), &[]), first);
}

#[test]
fn a_base_that_moved_under_its_tag_is_noticed_with_pull() {
    let Some(registry) = Registry::start("") else { return };
    let jettison = Jettison::with_busybox();
    let name = registry.name("base:latest");
    let push = |version: &str| {
        let base = folder(&format!("FROM busybox\nRUN echo {version} > /version\n"), &[]);
        Jettison::with_busybox().build(base.path(), &["-t", &name, "--push"]);
    };
    push("1");
    let app = folder(&format!("FROM {name}\nRUN cat /version > /seen\n"), &[]);
    jettison.build(app.path(), &["-t", "app"]);
    push("2");
    jettison.build(app.path(), &["-t", "app"]);
    assert_eq!(
        jettison.run(&["run", "app", "cat", "/seen"]).ok(),
        "1",
        "no registry is asked without --pull"
    );
    jettison.build(app.path(), &["-t", "app", "--pull"]);
    assert_eq!(jettison.run(&["run", "app", "cat", "/seen"]).ok(), "2");
}

#[test]
fn secrets_reach_no_layer_and_no_history() {
    let jettison = Jettison::with_busybox();
    let folder = folder(
        "FROM busybox\nRUN --mount=type=secret,id=s --mount=type=secret,id=s,env=S test \"$S\" = \"$(cat /run/secrets/s)\"; test ${#S} = 13\n",
        &[("secret.txt", "hunter2-value")],
    );
    let secret = format!("id=s,src={}", folder.path().join("secret.txt").display());
    let out = folder.path().join("out.tar");
    let stderr = jettison
        .try_build(
            folder.path(),
            &[
                "--secret",
                &secret,
                "-o",
                &format!("type=oci,dest={},compression=uncompressed", out.display()),
            ],
        )
        .stderr;
    assert!(!stderr.contains("hunter2-value"), "{stderr}");
    let bytes = fs::read(out).unwrap();
    assert!(!bytes.windows(13).any(|w| w == b"hunter2-value"));
    let files = folder.path().join("files.tar");
    jettison
        .build(folder.path(), &["--secret", &secret, "-o", &format!("type=tar,dest={}", files.display())]);
    let listed = crate::fixture::tar_list(&files);
    assert!(!listed.iter().any(|l| l.ends_with(" run/")), "the mount point is in the layer");
}

#[test]
fn a_mode_that_a_symbolic_chmod_builds_on_counts() {
    let jettison = Jettison::with_busybox();
    let folder = folder("FROM busybox\nCOPY --chmod=u+x f /f\n", &[("f", "1")]);
    let set = |mode| fs::set_permissions(folder.path().join("f"), fs::Permissions::from_mode(mode)).unwrap();
    set(0o644);
    let first = jettison.build(folder.path(), &[]);
    set(0o600);
    assert_ne!(jettison.build(folder.path(), &[]), first);
}

#[test]
fn times_that_the_image_shows_count_in_what_comes_from_a_stage() {
    let jettison = Jettison::with_busybox();
    let of = |year: u32| {
        let dockerfile = format!(
            "FROM busybox AS one\nRUN touch -d '{year}-01-01 00:00:00' /f /tmp\nFROM busybox\nCOPY --from=one /f /f\n\
             COPY --from=one /tmp /t\n"
        );
        (jettison.build(folder(&dockerfile, &[]).path(), &[]), dockerfile)
    };
    let (first, _) = of(1975);
    let (second, dockerfile) = of(1976);
    assert_ne!(first, second);
    let clean = Jettison::with_busybox().build(folder(&dockerfile, &[]).path(), &[]);
    assert_eq!(second, clean, "a store that saw another time gives what an empty one gives");
}

#[test]
fn the_mode_of_a_mounted_directory_of_a_stage_counts() {
    let jettison = Jettison::with_busybox();
    let seen = |mode: &str| {
        let dockerfile = format!(
            "FROM busybox AS one\nRUN mkdir -m {mode} /d\nFROM busybox\n\
             RUN --mount=type=bind,from=one,source=/d,target=/m stat -c %a /m > /mode\n"
        );
        jettison.build(folder(&dockerfile, &[]).path(), &["-t", "app"]);
        jettison.run(&["run", "app", "cat", "/mode"]).ok()
    };
    assert_eq!((seen("700"), seen("750")), ("700".to_owned(), "750".to_owned()));
}

/// Somebody writes to the context while it is built: such builds may fail or give one state or the other, but what they
/// leave in the cache must not come back under another state's key.
#[test]
fn files_that_change_while_they_are_copied_spoil_no_later_build() {
    let dockerfile = "FROM busybox\nCOPY d /d\nRUN --mount=type=bind,target=/c cat /c/d/* > /all\n";
    let files: Vec<(String, String)> = (0..40).map(|n| (format!("d/{n}"), "a".repeat(4000))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&path[..], &text[..])).collect();
    let folder = folder(dockerfile, &files);
    let write = |letter: &str| {
        for (path, text) in &files {
            fs::write(folder.path().join(path), letter.repeat(text.len())).unwrap();
        }
    };
    let jettison = Jettison::with_busybox();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                for letter in ["b", "a"] {
                    write(letter);
                    std::thread::sleep(Duration::from_millis(15));
                }
            }
        });
        for _ in 0..6 {
            let ran = jettison.try_build(folder.path(), &["-q"]);
            assert!(ran.code == 0 || ran.stderr.contains("changed while they were copied"), "{}", ran.stderr);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    for letter in ["a", "b"] {
        write(letter);
        let clean = Jettison::with_busybox().build(folder.path(), &[]);
        assert_eq!(jettison.build(folder.path(), &[]), clean, "{letter}");
    }
}

/// A folder may be renamed, another stand in for it, and the first come back: no time of a file tells.
#[test]
fn folders_that_are_swapped_while_they_are_copied_spoil_no_later_build() {
    let dockerfile = "FROM busybox\nCOPY d /d\nRUN --mount=type=bind,target=/c cat /d/* /c/d/* > /all\n";
    let context = |letter: &str| {
        let files: Vec<(String, &str)> = (0..200).map(|n| (format!("d/{n}"), letter)).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&path[..], *text)).collect();
        folder(dockerfile, &files)
    };
    let (one, other) = (context("a"), context("b"));
    let jettison = Jettison::with_busybox();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let away = one.path().join("away");
            let (here, there) = (one.path().join("d"), other.path().join("d"));
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                for (from, to) in [(&here, &away), (&there, &here), (&away, &there)] {
                    fs::rename(from, to).unwrap();
                }
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        for _ in 0..12 {
            let ran = jettison.try_build(one.path(), &["-q"]);
            assert!(matches!(ran.code, 0 | 3 | 1), "{}", ran.stderr);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    for letter in ["a", "b"] {
        let calm = context(letter);
        let clean = Jettison::with_busybox().build(calm.path(), &[]);
        assert_eq!(jettison.build(calm.path(), &[]), clean, "{letter}");
    }
}
