//! Where a build's files come from: standard input, URLs, Git, and named contexts of every form.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::cache::ran;
use crate::fixture::{Jettison, Ran, folder, have, program, root, skip};
use crate::web::{Page, Web};

const COPY_ALL: &str = "FROM scratch\nCOPY . /\n";

/// Runs `build ARGS` with a file as standard input; the result goes into a folder.
fn build(jettison: &Jettison, args: &[&str], stdin: Option<&Path>) -> (Ran, TempDir) {
    let out = tempfile::tempdir().unwrap();
    let output = format!("type=local,dest={}", out.path().display());
    let mut command = jettison.command();
    command.args(["build", "--progress=plain", "--output", &output]).args(args);
    command.stdin(stdin.map_or(Stdio::null(), |path| fs::File::open(path).unwrap().into()));
    (command.output().unwrap().into(), out)
}

#[track_caller]
fn built(jettison: &Jettison, args: &[&str], stdin: Option<&Path>) -> TempDir {
    let (ran, out) = build(jettison, args, stdin);
    ran.ok();
    out
}

fn names(folder: &TempDir) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// `folder` as an archive beside it.
fn archive(folder: &Path, flags: &[&str]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("context.tar");
    let mut args = vec!["-C", folder.to_str().unwrap(), "-cf", path.to_str().unwrap()];
    args.extend(flags);
    args.push(".");
    program("tar", &args).ok();
    (dir, path)
}

#[test]
fn a_tar_on_standard_input_is_the_context_however_it_is_compressed() {
    let jettison = Jettison::new();
    let context = folder(
        COPY_ALL,
        &[("f", "1"), (".dockerignore", "f\n"), ("docker/other", "FROM scratch\nCOPY f /only\n")],
    );
    for (flag, tool) in [("", "tar"), ("-z", "gzip"), ("-j", "bzip2"), ("-J", "xz"), ("--zstd", "zstd")] {
        if !have(tool) {
            continue;
        }
        let flags: Vec<&str> = [flag].into_iter().filter(|f| !f.is_empty()).collect();
        let (_dir, tar) = archive(context.path(), &flags);
        let out = built(&jettison, &["-"], Some(&tar));
        assert_eq!(names(&out), [".dockerignore", "Dockerfile", "docker", "f"], "{tool}");
        assert_eq!(names(&built(&jettison, &["-f", "docker/other", "-"], Some(&tar))), ["only"]);
    }
    let (_dir, tar) = archive(context.path(), &[]);
    let (missing, _) = build(&jettison, &["-f", "nope", "-"], Some(&tar));
    assert!(missing.fails(3).contains("there is no nope in the context"));
    let (both, _) = build(&jettison, &["-f", "-", "-"], Some(&tar));
    assert!(both.fails(2).contains("both the context and the Dockerfile"));
}

#[test]
fn owners_of_an_archive_count_and_those_of_a_folder_do_not() {
    let jettison = Jettison::with_busybox();
    let context = folder("FROM busybox\nCOPY f /f\nRUN stat -c %u:%g /f > /o\n", &[("f", "1")]);
    let digest = |flags: &[&str]| {
        let (_dir, tar) = archive(context.path(), flags);
        let out = jettison
            .command()
            .args(["build", "-q", "-t", "app", "-"])
            .stdin(fs::File::open(tar).unwrap())
            .output()
            .unwrap();
        Ran::from(out).ok();
        jettison.run(&["run", "app", "cat", "/o"]).ok()
    };
    assert_eq!(digest(&["--owner=7", "--group=8"]), "7:8");
    assert_eq!(digest(&["--owner=9", "--group=8"]), "9:8");
    jettison.build(context.path(), &["-t", "app"]);
    assert_eq!(jettison.run(&["run", "app", "cat", "/o"]).ok(), "0:0");
}

#[test]
fn a_dockerfile_on_standard_input() {
    let jettison = Jettison::new();
    let context = folder("FROM nothing\n", &[("f", "1")]);
    let file = context.path().join("D");
    fs::write(&file, "FROM scratch\nCOPY f /g\n").unwrap();
    assert_eq!(names(&built(&jettison, &["-f", "-", context.path().to_str().unwrap()], Some(&file))), ["g"]);
    let (alone, _) = build(&jettison, &["-"], Some(&file));
    assert!(alone.fails(3).contains("there is no build context"));
    let (twice, _) = build(&jettison, &["-f", "Dockerfile", "-"], Some(&file));
    assert!(twice.fails(2).contains("standard input is no archive"));
    let (nothing, _) = build(&jettison, &["-"], None);
    assert!(nothing.fails(3).contains("the Dockerfile cannot be empty"));
}

#[test]
fn urls_of_archives_and_of_dockerfiles() {
    let (jettison, web) = (Jettison::new(), Web::start());
    let context = folder(COPY_ALL, &[("f", "1"), ("sub/D", "FROM scratch\nCOPY f /only\n")]);
    let (_dir, tar) = archive(context.path(), &["-z"]);
    web.put("/c.tgz", Page::new(fs::read(&tar).unwrap()).header("ETag", "\"1\""));
    web.put("/D", Page::new("FROM scratch\nCOPY context /c\n"));
    web.put("/E", Page::new("FROM scratch\nCOPY f /e\n"));
    let url = web.url("/c.tgz");
    assert_eq!(names(&built(&jettison, &[&url], None)), ["Dockerfile", "f", "sub"]);
    assert_eq!(names(&built(&jettison, &["-f", "sub/D", &url], None)), ["only"]);
    assert_eq!(web.seen().iter().map(|s| s.status).collect::<Vec<_>>(), [200, 304]);
    assert_eq!(names(&built(&jettison, &["-f", &web.url("/E"), &url], None)), ["e"]);
    assert_eq!(names(&built(&jettison, &[&web.url("/D")], None)), ["c"]);
    let here = context.path().to_str().unwrap();
    assert_eq!(names(&built(&jettison, &["-f", &web.url("/E"), here], None)), ["e"]);
    let (missing, _) = build(&jettison, &[&web.url("/nope")], None);
    let error = missing.fails(4);
    assert!(error.contains("/nope") && error.contains("404"), "{error}");
}

#[test]
fn git_repositories_with_reference_and_folder() {
    let (jettison, web) = (Jettison::new(), Web::start());
    let Some(repository) = web.repository("r") else { return };
    repository.commit(&[("Dockerfile", COPY_ALL), ("f", "1"), ("sub/Dockerfile", COPY_ALL), ("sub/g", "1")]);
    repository.git(&["branch", "old"]);
    repository.commit(&[("new", "1")]);
    let url = &repository.url;
    assert_eq!(names(&built(&jettison, &[url], None)), ["Dockerfile", "f", "new", "sub"]);
    assert_eq!(names(&built(&jettison, &[&format!("{url}#old")], None)), ["Dockerfile", "f", "sub"]);
    assert_eq!(names(&built(&jettison, &[&format!("{url}#old:sub")], None)), ["Dockerfile", "g"]);
    assert_eq!(
        names(&built(&jettison, &[&format!("{url}?branch=old&subdir=sub")], None)),
        ["Dockerfile", "g"]
    );
    let kept = built(&jettison, &["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", url], None);
    assert!(names(&kept).contains(&".git".to_owned()));
    let (missing, _) = build(&jettison, &[&format!("{url}#main:nope")], None);
    assert!(missing.fails(1).contains("nope"));
    let (query, _) = build(&jettison, &[&format!("{url}?depth=1")], None);
    assert!(query.fails(2).contains("unexpected query"));
}

#[test]
fn the_time_of_a_context_as_epoch() {
    let (jettison, web) = (Jettison::new(), Web::start());
    let context = folder(COPY_ALL, &[("f", "1")]);
    let here = context.path().to_str().unwrap();
    let (_dir, tar) = archive(context.path(), &["--mtime=@900000000"]);
    web.put("/plain.tar", Page::new(fs::read(&tar).unwrap()));
    web.put("/dated", Page::new("x").header("Last-Modified", "Sun, 09 Sep 2001 01:46:40 GMT"));
    let created = |epoch: &str, args: &[&str]| {
        let epoch = format!("SOURCE_DATE_EPOCH={epoch}");
        jettison.run(&[&["build", "-q", "-t", "app", "--build-arg", &epoch], args].concat()).ok();
        jettison.inspect("app")["config"]["created"].as_str().unwrap().to_owned()
    };
    assert_eq!(created("context", &[here]), "1980-01-01T00:00:00Z");
    assert_eq!(created("context", &[&web.url("/plain.tar")]), "1998-07-09T16:00:00Z");
    let dated = format!("d={}", web.url("/dated"));
    assert_eq!(created("d", &["--build-context", &dated, here]), "2001-09-09T01:46:40Z");
    let staged = format!("FROM scratch AS t\nADD {} /\nFROM scratch\nCOPY f /\n", web.url("/plain.tar"));
    let staged = folder(&staged, &[("f", "1")]);
    assert_eq!(created("t", &[staged.path().to_str().unwrap()]), "1998-07-09T16:00:00Z");
    let Some(repository) = web.repository("r") else { return };
    repository.commit(&[("Dockerfile", COPY_ALL)]);
    assert_eq!(created("context", &[&repository.url]), "2001-09-09T01:46:40Z");
}

#[test]
fn named_contexts_from_git_and_urls() {
    let (jettison, web) = (Jettison::new(), Web::start());
    web.put("/file", Page::new("x"));
    let context = folder("FROM scratch\nCOPY --from=u context /u\nCOPY --from=g d/in /g\n", &[]);
    let here = context.path().to_str().unwrap();
    let Some(repository) = web.repository("r") else { return };
    repository.commit(&[("d/in", "1"), (".dockerignore", "*\n")]);
    let named = [format!("u={}", web.url("/file")), format!("g={}", repository.url)];
    let args = ["--build-context", &named[0], "--build-context", &named[1], here];
    assert_eq!(names(&built(&jettison, &args, None)), ["g", "u"]);
    for (spec, want) in [
        ("u=ftp://x", "this kind of context is not known"),
        ("u=/does/not/exist", "is not a folder"),
        ("u=https://x/y.git?depth=1", "unexpected query"),
        ("u", "expected NAME=VALUE"),
    ] {
        let (ran, _) = build(&jettison, &["--build-context", spec, here], None);
        let error = ran.fails(2);
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn oci_layouts_take_the_place_of_images_and_stages() {
    let jettison = Jettison::with_busybox();
    let out = tempfile::tempdir().unwrap();
    let layout = out.path().join("layout");
    let output = format!("type=oci,tar=false,dest={}", layout.display());
    let base = folder("FROM scratch\nCOPY f /from-layout\nLABEL a=b\n", &[("f", "1")]);
    let digest = jettison.build(base.path(), &["-t", "thing:v1", "--output", &output]);
    let other = Jettison::new();
    let context = folder("FROM app:1 AS base\nFROM base\nCOPY --from=base /from-layout /copied\n", &[]);
    let context = context.path().to_str().unwrap();
    let path = layout.display();
    for spec in [
        format!("app:1=oci-layout://{path}"),
        format!("app:1=oci-layout://{path}:v1"),
        format!("app:1=oci-layout://{path}@{digest}"),
        format!("base=oci-layout://{path}:v1"),
    ] {
        let (_, files) = build(&other, &["--build-context", &spec, context], None);
        assert!(names(&files).contains(&"from-layout".to_owned()), "{spec}");
    }
    other.build(Path::new(context), &["--build-context", &format!("app:1=oci-layout://{path}"), "-t", "r"]);
    assert_eq!(other.inspect("r")["config"]["config"]["Labels"]["a"], "b");
    let wrong = format!("app:1=oci-layout://{path}:v2");
    let (ran, _) = build(&other, &["--build-context", &wrong, context], None);
    assert!(ran.fails(4).contains("it has no image with the tag v2"));
}

#[test]
fn a_stage_as_context_and_images_and_folders_over_stages() {
    let jettison = Jettison::with_busybox();
    let context = folder(
        "FROM busybox AS real\nRUN echo real > /who\nFROM busybox AS fake\nRUN echo fake > /who\nFROM scratch\nCOPY --from=fake /who /\nCOPY --from=alpine /who /too\n",
        &[],
    );
    let here = context.path().to_str().unwrap();
    let args = ["--build-context", "alpine=target:real", "--build-context", "fake=target:real", here];
    let out = built(&jettison, &args, None);
    assert_eq!(fs::read_to_string(out.path().join("who")).unwrap(), "real\n");
    assert_eq!(fs::read_to_string(out.path().join("too")).unwrap(), "real\n");
    let (late, _) =
        build(&jettison, &["--build-context", "real=target:fake", "--target", "real", here], None);
    assert!(late.fails(3).contains("does not stand before this"));
    let files = folder("", &[("who", "folder\n")]);
    let spec = [format!("fake={}", files.path().display()), format!("alpine={}", files.path().display())];
    let out = built(&jettison, &["--build-context", &spec[0], "--build-context", &spec[1], here], None);
    assert_eq!(fs::read_to_string(out.path().join("who")).unwrap(), "folder\n");
}

#[test]
fn equal_content_from_elsewhere_is_a_hit() {
    let (jettison, web) = (Jettison::with_busybox(), Web::start());
    let context = folder("FROM busybox\nCOPY f /f\nRUN cat /f > /g\n", &[("f", "1")]);
    let Some(repository) = web.repository("r") else { return };
    repository.commit(&[
        ("f", "1"),
        ("Dockerfile", &fs::read_to_string(context.path().join("Dockerfile")).unwrap()),
    ]);
    let first = jettison.build(context.path(), &[]);
    let again = jettison.run(&["build", "--progress=plain", &repository.url]);
    assert!(!ran(&again.stderr, "] RUN"), "{}", again.stderr);
    assert_eq!(again.ok(), first);
}

/// Builds `folder` as a plain user who may not read all of it; `None` if the machine cannot.
fn build_as_plain_user(folder: &TempDir, dockerfile: &str, ignore: &str) -> Option<Ran> {
    if !root() || !have("setpriv") {
        skip("a plain user needs root and setpriv");
        return None;
    }
    fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    fs::write(folder.path().join(".dockerignore"), ignore).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let jettison = Jettison::new();
    // Where cargo puts the program, the user may have no way to it.
    let program = jettison.home().join("jettison");
    fs::copy(jettison.command().get_program(), &program).unwrap();
    for place in [jettison.store.path(), jettison.home()] {
        std::os::unix::fs::chown(place, Some(65534), Some(65534)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", jettison.home()).env("JETTISON_ROOT", jettison.store.path());
    command.args(["build", "--progress=plain"]).arg(folder.path()).stdin(Stdio::null());
    Some(command.output().unwrap().into())
}

#[test]
fn what_may_not_be_read_is_named_and_does_not_matter_where_it_is_not_wanted() {
    let context = folder("", &[("a", "1"), ("locked/l", "1"), ("secret/s", "1")]);
    for path in ["locked", "secret/s"] {
        fs::set_permissions(context.path().join(path), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let refused = [
        ("COPY . /", "", "2:6", "locked"),
        ("COPY . /", "locked\n", "2:6", "secret/s"),
        ("COPY a secret/s /to/", "", "2:8", "secret/s"),
        ("ADD --exclude=a . /", "secret\n", "2:17", "locked"),
        ("COPY lock* /", "", "2:6", "locked"),
        ("COPY locked/* /", "", "2:6", "locked"),
        ("COPY */l /to/", "", "2:6", "locked"),
    ];
    for (copy, ignore, place, culprit) in refused {
        let dockerfile = format!("FROM scratch\n{copy}\n");
        let Some(ran) = build_as_plain_user(&context, &dockerfile, ignore) else { return };
        let stderr = ran.fails(3);
        let line = stderr.lines().find(|line| line.starts_with("error")).unwrap_or(&stderr);
        let expected =
            format!("Dockerfile:{place}: cannot open {culprit:?}: Permission denied (os error 13)");
        assert!(line.ends_with(&expected), "{copy} with {ignore:?}: no {expected} in\n{stderr}");
        assert!(stderr.contains("make it readable, or keep it out with .dockerignore"), "{stderr}");
    }
    let built = [
        ("COPY a /", ""),
        ("COPY . /", "locked\nsecret/s\n"),
        ("COPY --exclude=locked --exclude=secret . /", ""),
        ("COPY */s /to/", "locked\nsecret/s\n"),
    ];
    for (copy, ignore) in built {
        let dockerfile = format!("FROM scratch\n{copy}\n");
        if let Some(ran) = build_as_plain_user(&context, &dockerfile, ignore) {
            ran.ok();
        }
    }
}

#[test]
fn pipes_where_a_build_reads_its_own_files_are_not_waited_for() {
    for name in ["Dockerfile", ".dockerignore"] {
        let context = folder(COPY_ALL, &[]);
        let path = context.path().join(name);
        let _ = fs::remove_file(&path);
        program("mkfifo", &[path.to_str().unwrap()]).ok();
        let ran = Jettison::new().try_build(context.path(), &[]);
        let refused = ran.code != 0 && ran.stderr.contains("is no regular file");
        assert!(refused && ran.stderr.contains(name), "{}", ran.stderr);
    }
}
