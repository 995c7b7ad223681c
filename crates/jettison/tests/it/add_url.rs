//! ADD of URLs, against a server on the loopback interface.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::cache::ran;
use crate::fixture::{Jettison, Ran, folder, program};
use crate::web::{Page, Web};

/// Builds into a folder and returns it.
fn files(jettison: &Jettison, dockerfile: &str, args: &[&str]) -> tempfile::TempDir {
    let (out, context) = (tempfile::tempdir().unwrap(), folder(dockerfile, &[("local", "l")]));
    let output = format!("type=local,dest={}", out.path().display());
    jettison.try_build(context.path(), &[&["--output", output.as_str()], args].concat()).ok();
    out
}

fn build(jettison: &Jettison, dockerfile: &str, args: &[&str]) -> Ran {
    jettison.try_build(folder(dockerfile, &[]).path(), args)
}

#[test]
fn a_file_has_the_name_mode_and_time_that_buildkit_gives() {
    let (jettison, web) = (Jettison::new(), Web::start());
    let dated = Page::new("data").header("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    web.put("/dir/a%20file", dated);
    web.put("/", Page::new("root"));
    let url = web.url("/dir/a%20file?q=1");
    let root = web.url("/");
    let dockerfile = format!("FROM scratch\nADD {url} /d/\nADD --chmod=755 {url} /exact\nADD {root} /r/\n");
    let out = files(&jettison, &dockerfile, &[]);
    let named = fs::metadata(out.path().join("d/a file")).unwrap();
    assert_eq!((named.mode() & 0o7777, named.mtime()), (0o600, 784_111_777));
    assert_eq!(fs::metadata(out.path().join("exact")).unwrap().mode() & 0o7777, 0o755);
    let root = fs::metadata(out.path().join("r/__unnamed__")).unwrap();
    assert_eq!(root.mtime(), 0);
    assert_eq!(fs::read_to_string(out.path().join("exact")).unwrap(), "data");
}

#[test]
fn a_rebuild_asks_whether_it_has_changed_and_downloads_only_then() {
    let (jettison, web) = (Jettison::with_busybox(), Web::start());
    web.put("/f", Page::new("one").header("ETag", "\"1\""));
    let dockerfile = format!("FROM busybox\nADD {} /f\nRUN cat /f > /g\n", web.url("/f"));
    let first = build(&jettison, &dockerfile, &[]).ok();
    let again = build(&jettison, &dockerfile, &[]);
    assert!(!ran(&again.stderr, "] ADD") && !ran(&again.stderr, "] RUN"), "{}", again.stderr);
    assert_eq!(again.ok(), first);
    let statuses: Vec<u16> = web.seen().iter().map(|seen| seen.status).collect();
    assert_eq!(statuses, [200, 304]);
    web.put("/f", Page::new("two").header("ETag", "\"2\""));
    assert_ne!(build(&jettison, &dockerfile, &["-t", "app"]).ok(), first);
    assert_eq!(jettison.run(&["run", "app", "cat", "/g"]).ok(), "two");
}

#[test]
fn a_weak_tag_or_none_does_not_stand_for_content() {
    let (jettison, web) = (Jettison::with_busybox(), Web::start());
    let dockerfile = format!("FROM busybox\nADD {} /f\n", web.url("/f"));
    for tag in ["W/\"1\"", ""] {
        let page = |body: &str| {
            let page = Page::new(body).header("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");
            if tag.is_empty() { page } else { page.header("ETag", tag) }
        };
        web.put("/f", page("one"));
        let first = build(&jettison, &dockerfile, &[]).ok();
        let again = build(&jettison, &dockerfile, &[]);
        assert!(!ran(&again.stderr, "] ADD"), "equal content is a hit: {}", again.stderr);
        web.put("/f", page("two"));
        assert_ne!(build(&jettison, &dockerfile, &[]).ok(), first, "{tag}");
    }
}

#[test]
fn equal_content_is_one_key_wherever_it_comes_from_but_name_and_time_count() {
    let (jettison, web) = (Jettison::with_busybox(), Web::start());
    web.put("/a/f", Page::new("x"));
    web.put("/b/f", Page::new("x"));
    web.put("/b/g", Page::new("x"));
    let of = |path: &str| build(&jettison, &format!("FROM busybox\nADD {} /d/\n", web.url(path)), &[]);
    of("/a/f").ok();
    assert!(!ran(&of("/b/f").stderr, "] ADD"));
    assert!(ran(&of("/b/g").stderr, "] ADD"));
    web.put("/b/f", Page::new("x").header("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"));
    assert!(ran(&of("/b/f").stderr, "] ADD"));
}

#[test]
fn a_checksum_is_verified_and_a_wrong_one_names_its_place() {
    let (jettison, web) = (Jettison::new(), Web::start());
    web.put("/f", Page::new("abc"));
    let right = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let wrong = right.replace('b', "0");
    let dockerfile = |sum: &str| format!("FROM scratch\nADD --checksum={sum} {} /\n", web.url("/f"));
    let first = build(&jettison, &dockerfile(right), &[]).ok();
    web.seen();
    assert_eq!(build(&jettison, &dockerfile(right), &[]).ok(), first);
    assert!(web.seen().is_empty(), "a file with a checksum that is here needs no network");
    let error = build(&jettison, &dockerfile(&wrong), &["-t", "never"]).fails(3);
    assert!(error.contains("Dockerfile:2:16") && error.contains("checksum mismatch"), "{error}");
    assert!(error.contains(right), "{error}");
    jettison.run(&["inspect", "never"]).fails(4);
    for (line, want) in [
        ("ADD --checksum=md5:900150983cd24fb0d6963f7d28e17f72 http://x/f /", "checksum"),
        ("ADD --checksum=sha256:ab Dockerfile /", "checksum requires HTTP(S) or Git sources"),
        ("ADD --checksum=sha256:ab http://x/f Dockerfile /", "can't be specified for multiple sources"),
        ("COPY http://x/f /", "source can't be a URL for COPY"),
    ] {
        let error = build(&jettison, &format!("FROM scratch\n{line}\n"), &[]).fails(3);
        assert!(error.contains(want), "{line}: {error}");
    }
}

#[test]
fn a_checksum_is_not_disappointed_by_what_came_wrong_before() {
    let (jettison, web) = (Jettison::new(), Web::start());
    web.put("/f", Page::new("ab").header("ETag", "\"1\""));
    let add = |flag: &str| format!("FROM scratch\nADD {flag} {} /\n", web.url("/f"));
    build(&jettison, &add(""), &[]).ok();
    web.put("/f", Page::new("abc").header("ETag", "\"1\""));
    let sum = "--checksum=sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    build(&jettison, &add(sum), &[]).ok();
}

#[test]
fn archives_stay_as_they_are_unless_unpacked() {
    let (jettison, web) = (Jettison::new(), Web::start());
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in"), "inside").unwrap();
    let tar = dir.path().join("x.tar.gz");
    program("tar", &["-C", dir.path().to_str().unwrap(), "-czf", tar.to_str().unwrap(), "in"]).ok();
    web.put("/x.tar.gz", Page::new(fs::read(&tar).unwrap()));
    let url = web.url("/x.tar.gz");
    let dockerfile = format!("FROM scratch\nADD {url} /kept/\nADD --unpack=true {url} local /unpacked/\n");
    let out = files(&jettison, &dockerfile, &[]);
    assert!(out.path().join("kept/x.tar.gz").is_file());
    assert_eq!(fs::read_to_string(out.path().join("unpacked/in")).unwrap(), "inside");
    assert!(out.path().join("unpacked/local").is_file());
}

#[test]
fn sources_are_copied_in_the_order_in_which_they_stand() {
    let (jettison, web) = (Jettison::new(), Web::start());
    web.put("/f", Page::new("remote"));
    let url = web.url("/f");
    let last =
        |dockerfile: String| fs::read_to_string(files(&jettison, &dockerfile, &[]).path().join("x")).unwrap();
    assert_eq!(last(format!("FROM scratch\nADD local {url} /x\n")), "remote");
    assert_eq!(last(format!("FROM scratch\nADD {url} local /x\n")), "l");
}

#[test]
fn credentials_go_to_their_host_alone_and_are_never_shown() {
    let (web, other) = (Web::start(), Web::start());
    let jettison = Jettison::with_busybox().env("T", "hunter2");
    web.put("/f", Page::redirect(&other.url("/f")).wants("Bearer hunter2"));
    other.put("/f", Page::new("x"));
    let secret = format!("id=HTTP_AUTH_TOKEN_{},env=T", web.address);
    let dockerfile = format!("FROM busybox\nADD {} /f\n", web.url("/f"));
    build(&jettison, &dockerfile, &["--secret", &secret, "-t", "app"]).ok();
    assert!(other.seen().iter().all(|seen| !seen.headers.contains_key("authorization")));
    let refused = build(&jettison, &dockerfile, &[]).fails(4);
    assert!(refused.contains("401"), "{refused}");

    let user = web.url("/g").replace("http://", "http://me:hunter2@");
    web.put("/g", Page::new("x").wants("Basic bWU6aHVudGVyMg=="));
    let dockerfile = format!("FROM busybox\nADD {user} /f\n");
    let built = build(&jettison, &dockerfile, &["-t", "app"]);
    assert!(!built.stderr.contains("hunter2"), "{}", built.stderr);
    built.ok();
    assert!(!jettison.inspect("app").to_string().contains("hunter2"));
    web.put("/g", Page { status: 404, ..Page::default() });
    let error = build(&jettison, &dockerfile, &[]).fails(4);
    assert!(error.contains("404") && !error.contains("hunter2"), "{error}");
}

#[test]
fn what_cannot_be_had_fails_with_its_line() {
    let (jettison, web) = (Jettison::new(), Web::start());
    web.put("/short", Page::new("abc").header("Content-Length", "10"));
    web.put("/loop", Page::redirect("/loop"));
    for (path, code, want) in [
        ("/missing", 4, "(404): no such page"),
        ("/short", 4, "it closed the connection too early"),
        ("/loop", 4, "it redirects in circles"),
    ] {
        let error = build(&jettison, &format!("FROM scratch\nADD {} /\n", web.url(path)), &[]).fails(code);
        assert!(error.contains("Dockerfile:2:5") && error.contains(want), "{error}");
    }
}
