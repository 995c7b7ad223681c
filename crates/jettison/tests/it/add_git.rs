//! ADD of Git repositories, against git's own server program behind a server on the loopback interface.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use tempfile::TempDir;

use crate::cache::ran;
use crate::fixture::{Jettison, Ran, folder};
use crate::web::Web;

fn build(jettison: &Jettison, dockerfile: &str, args: &[&str]) -> Ran {
    jettison.try_build(folder(dockerfile, &[]).path(), args)
}

/// The files of `ADD ARGUMENTS /` on nothing.
#[track_caller]
fn added(jettison: &Jettison, arguments: &str, args: &[&str]) -> TempDir {
    let out = tempfile::tempdir().unwrap();
    let output = format!("type=local,dest={}", out.path().display());
    let args = [&["--output", output.as_str()], args].concat();
    build(jettison, &format!("FROM scratch\nADD {arguments} /\n"), &args).ok();
    out
}

fn read(folder: &TempDir, path: &str) -> String {
    fs::read_to_string(folder.path().join(path)).unwrap_or_else(|e| format!("{path}: {e}"))
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn branches_tags_commits_and_folders() {
    let (jettison, web) = (Jettison::new(), Web::start());
    let Some(repository) = web.repository("r") else { return };
    let first = repository.commit(&[("f", "first"), ("sub/dir/g", "g")]);
    repository.git(&["tag", "-a", "v1", "-m", "one"]);
    repository.git(&["branch", "old"]);
    repository.commit(&[("f", "second")]);
    let url = &repository.url;
    let out = added(&jettison, url, &[]);
    assert_eq!((read(&out, "f"), names(out.path())), ("second".into(), vec!["f".into(), "sub".into()]));
    for arguments in [
        format!("{url}#old"),
        format!("{url}#v1"),
        format!("{url}#refs/heads/old"),
        format!("{url}#{first}"),
        format!("{url}?branch=old"),
        format!("{url}?tag=v1"),
        format!("{url}?ref={first}"),
        format!("{url}?commit={first}"),
        format!("--checksum={first} {url}#old"),
        format!("--checksum={} {url}#v1", &first[..7]),
    ] {
        assert_eq!(read(&added(&jettison, &arguments, &[]), "f"), "first", "{arguments}");
    }
    assert_eq!(names(added(&jettison, &format!("{url}#old:sub/dir"), &[]).path()), ["g"]);
    assert_eq!(names(added(&jettison, &format!("{url}?subdir=sub"), &[]).path()), ["dir"]);
    assert_eq!(names(added(&jettison, &format!("--exclude=sub {url}"), &[]).path()), ["f"]);
}

#[test]
fn modes_are_gits_and_times_the_commits() {
    let (jettison, web) = (Jettison::new(), Web::start());
    let Some(repository) = web.repository("r") else { return };
    fs::write(repository.folder.join("x"), "").unwrap();
    fs::set_permissions(repository.folder.join("x"), fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink("x", repository.folder.join("link")).unwrap();
    repository.commit(&[("plain", "")]);
    let out = added(&jettison, &repository.url, &[]);
    let of = |name: &str| fs::symlink_metadata(out.path().join(name)).unwrap();
    assert_eq!((of("x").mode() & 0o7777, of("x").mtime()), (0o755, 1_000_000_000));
    assert_eq!(of("plain").mode() & 0o7777, 0o644);
    assert!(of("link").is_symlink());
    let shut = added(&jettison, &format!("--chmod=700 --chown=0:0 {}", repository.url), &[]);
    assert_eq!(fs::metadata(shut.path().join("plain")).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn a_branch_that_moves_is_noticed_and_one_that_does_not_costs_a_question() {
    let (jettison, web) = (Jettison::with_busybox(), Web::start());
    let Some(repository) = web.repository("r") else { return };
    let first = repository.commit(&[("f", "1")]);
    let dockerfile = format!("FROM busybox\nADD {} /r\nRUN cat /r/f > /o\n", repository.url);
    build(&jettison, &dockerfile, &[]).ok();
    web.seen();
    let again = build(&jettison, &dockerfile, &[]);
    assert!(!ran(&again.stderr, "] ADD") && !ran(&again.stderr, "] RUN"), "{}", again.stderr);
    assert!(web.seen().len() <= 2, "ls-remote is all that is asked");
    repository.commit(&[("f", "2")]);
    build(&jettison, &dockerfile, &["-t", "app"]).ok();
    assert_eq!(jettison.run(&["run", "app", "cat", "/o"]).ok(), "2");
    let pinned = format!("FROM busybox\nADD {}#{first} /r\n", repository.url);
    build(&jettison, &pinned, &[]).ok();
    web.seen();
    let again = build(&jettison, &pinned, &[]);
    assert!(web.seen().is_empty() && !ran(&again.stderr, "] ADD"), "{}", again.stderr);
}

#[test]
fn the_git_folder_is_kept_on_demand_and_is_the_same_everywhere() {
    let web = Web::start();
    let Some(repository) = web.repository("r") else { return };
    repository.commit(&[("f", "1")]);
    repository.commit(&[("f", "2")]);
    let arguments = format!("--keep-git-dir {}", repository.url);
    let jettison = Jettison::new();
    let out = added(&jettison, &arguments, &[]);
    let status = std::process::Command::new("git")
        .args(["-c", "safe.directory=*", "status", "--porcelain"])
        .current_dir(out.path())
        .output()
        .unwrap();
    assert!(status.status.success() && status.stdout.is_empty(), "{status:?}");
    let digest =
        |jettison: &Jettison| build(jettison, &format!("FROM scratch\nADD {arguments} /\n"), &[]).ok();
    assert_eq!(digest(&Jettison::new()), digest(&jettison));
    let by_query = added(&jettison, &format!("{}?keep-git-dir=1", repository.url), &[]);
    assert!(by_query.path().join(".git/HEAD").is_file());
}

#[test]
fn submodules_come_along_unless_told_not_to() {
    let (jettison, web) = (Jettison::new(), Web::start());
    let (Some(outer), Some(inner)) = (web.repository("outer"), web.repository("inner")) else { return };
    inner.commit(&[("in", "1")]);
    outer.git(&["submodule", "--quiet", "add", &inner.url, "mod"]);
    outer.git(&["config", "-f", ".gitmodules", "submodule.mod.url", "../inner.git"]);
    outer.commit(&[("f", "1")]);
    let out = added(&jettison, &outer.url, &[]);
    assert_eq!(names(&out.path().join("mod")), ["in"]);
    let without = added(&jettison, &format!("{}?submodules=false", outer.url), &[]);
    assert_eq!(names(&without.path().join("mod")), [""; 0]);
    // Their own ones as well, and where a path reads like a pattern.
    let around = web.repository("around").unwrap();
    around.git(&["submodule", "--quiet", "add", &outer.url, "d/*[x] y"]);
    around.git(&["submodule", "--quiet", "add", &inner.url, "d/other"]);
    around.commit(&[]);
    let out = added(&jettison, &format!("--keep-git-dir=true {}", around.url), &[]);
    assert_eq!(names(&out.path().join("d/*[x] y/mod")), [".git", "in"]);
    assert_eq!(names(&out.path().join("d/other")), [".git", "in"]);
}

/// Among them what git's CVE-2018-17456 (a submodule's address that is an option) and CVE-2022-39253 (one on this machine) allowed.
#[test]
fn a_hostile_repository_runs_nothing() {
    let (jettison, web) = (Jettison::new(), Web::start());
    let Some(repository) = web.repository("r") else { return };
    let marker = tempfile::tempdir().unwrap();
    let owned = marker.path().join("owned");
    repository.commit(&[(".gitattributes", "* filter=evil\n"), ("f", "1")]);
    let out = added(&jettison, &repository.url, &[]);
    assert_eq!(read(&out, "f"), "1");
    for url in
        [format!("ext::sh -c touch% {}", owned.display()), "file:///etc".to_owned(), "-u./evil".to_owned()]
    {
        fs::write(
            repository.folder.join(".gitmodules"),
            format!("[submodule \"m\"]\n\tpath = m\n\turl = {url}\n\tupdate = !touch {}\n", owned.display()),
        )
        .unwrap();
        let commit = repository.git(&["rev-parse", "HEAD"]);
        repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},m")]);
        repository.git(&["add", ".gitmodules"]);
        repository.git(&["commit", "-q", "-m", "evil"]);
        let ran = build(&jettison, &format!("FROM scratch\nADD {} /\n", repository.url), &[]);
        assert_ne!(ran.code, 0, "{url}");
        assert!(!owned.exists(), "{url} was run");
    }
}

#[test]
fn configuration_and_hooks_of_the_user_play_no_part() {
    let web = Web::start();
    let Some(repository) = web.repository("r") else { return };
    repository.commit(&[("f", "1\r\n")]);
    let jettison = Jettison::new();
    fs::write(
        jettison.home().join(".gitconfig"),
        format!(
            "[core]\n\tautocrlf = true\n[url \"{}\"]\n\tinsteadOf = {}\n",
            web.url("/nowhere/"),
            web.url("/git/")
        ),
    )
    .unwrap();
    assert_eq!(read(&added(&jettison, &repository.url, &[]), "f"), "1\r\n");
}

#[test]
fn tokens_and_passwords() {
    let web = Web::start();
    let Some(repository) = web.repository("r") else { return };
    repository.commit(&[("f", "1")]);
    let jettison = Jettison::new().env("T", "hunter2");
    web.git_wants("Basic eC1hY2Nlc3MtdG9rZW46aHVudGVyMg==");
    let refused = build(&jettison, &format!("FROM scratch\nADD {} /\n", repository.url), &[]).fails(4);
    assert!(refused.contains("Dockerfile:2:5") && refused.contains("GIT_AUTH_TOKEN"), "{refused}");
    for id in ["GIT_AUTH_TOKEN".to_owned(), format!("GIT_AUTH_TOKEN.{}", web.address)] {
        assert_eq!(
            read(&added(&jettison, &repository.url, &["--secret", &format!("id={id},env=T")]), "f"),
            "1"
        );
    }
    web.git_wants("Basic bWU6aHVudGVyMg==");
    let with_user = repository.url.replace("http://", "http://me:hunter2@");
    let kept = added(&Jettison::new(), &format!("--keep-git-dir {with_user}"), &[]);
    assert!(!read(&kept, ".git/config").contains("hunter2"), "{}", read(&kept, ".git/config"));
    let error = build(&Jettison::new(), &format!("FROM scratch\nADD {with_user}#missing /\n"), &[]).fails(4);
    assert!(error.contains("does not contain ref missing") && !error.contains("hunter2"), "{error}");
}

#[test]
fn what_cannot_be_meant_or_had_fails_with_its_line() {
    let (jettison, web) = (Jettison::new(), Web::start());
    let Some(repository) = web.repository("r") else { return };
    let commit = repository.commit(&[("f", "1"), ("d/x", "1")]);
    let url = &repository.url;
    let absent = "0".repeat(40);
    for (arguments, code, want) in [
        (format!("{url}#nope"), 4, "repository does not contain ref nope"),
        (format!("{url}#{}", &commit[..7]), 4, "all of its digits"),
        (format!("{url}#{absent}"), 4, "git fetch"),
        (format!("{url}#main:nope"), 3, "not found"),
        (format!("{url}#main:f"), 3, "is no directory of the repository"),
        (format!("--checksum=0000 {url}"), 3, "checksum mismatch"),
        (format!("--keep-git-dir=false {url}?keep-git-dir=true"), 3, "conflicts"),
        (format!("{url}?depth=1"), 3, "unexpected query"),
        (web.url("/git/missing.git"), 4, "git ls-remote"),
        ("git@localhost:x.git".to_owned(), 4, "--ssh default"),
    ] {
        let error = build(&jettison, &format!("FROM scratch\nADD {arguments} /\n"), &[]).fails(code);
        assert!(error.contains("Dockerfile:2:") && error.contains(want), "{arguments}: {error}");
    }
    let no_git = Jettison::new().env("PATH", "/nonexistent");
    let error = build(&no_git, &format!("FROM scratch\nADD {url} /\n"), &[]).fails(4);
    assert!(error.contains("the program git is not installed") && error.contains("install git"), "{error}");
}

#[test]
fn over_ssh_with_the_agent_that_was_given() {
    let web = Web::start();
    let Some(repository) = web.repository("r") else { return };
    repository.commit(&[("f", "1")]);
    // A stand-in for ssh that runs the command here, and says which agent it was given.
    let bin = tempfile::tempdir().unwrap();
    let ssh = bin.path().join("ssh");
    let said = bin.path().join("said");
    let script = format!(
        "#!/bin/sh\necho \"$SSH_AUTH_SOCK\" > {}\nfor c; do :; done\nexec sh -c \"$c\"\n",
        said.display()
    );
    fs::write(&ssh, script).unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    let socket = bin.path().join("agent");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
    let jettison = Jettison::new().env("PATH", &path);
    let folder = repository.folder.display();
    let agent = format!("default={}", socket.display());
    for url in [format!("git@localhost:{folder}"), format!("ssh://git@localhost{folder}")] {
        assert_eq!(read(&added(&jettison, &url, &["--ssh", &agent]), "f"), "1", "{url}");
        assert_eq!(fs::read_to_string(&said).unwrap().trim(), socket.display().to_string());
    }
}
