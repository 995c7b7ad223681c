//! Public advisories, each by its number, about what a builder reads beside layers: contexts, Git repositories, archives of
//! images, accounts of an image, the environment. `advisories.rs` has those about steps and their mounts.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::fixture::{Jettison, Ran, folder, have, program};
use crate::web::Web;

/// Whatever is asked of it, an answer comes within this time.
const SOON: Duration = Duration::from_secs(60);

/// A file of this machine that no build may see.
fn canary() -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("canary"), "alive").unwrap();
    let path = dir.path().to_str().unwrap().to_owned();
    (dir, path)
}

#[track_caller]
fn says_nothing_of_it(ran: &Ran) {
    assert!(!ran.stdout.contains("alive") && !ran.stderr.contains("alive"), "{ran:?}");
}

fn try_build(jettison: &Jettison, dockerfile: &str, args: &[&str]) -> Ran {
    jettison.try_build(folder(dockerfile, &[]).path(), args)
}

/// What the image's `/seen` holds after a build on busybox.
#[track_caller]
fn seen(jettison: &Jettison, dockerfile: &str) -> String {
    try_build(jettison, dockerfile, &["-t", "seen"]).ok();
    jettison.run(&["run", "seen", "cat", "/seen"]).ok()
}

/// BuildKit: the folder of a Git URL could lead out of the repository, by `..` or through links of the repository.
/// buildah (GHSA-49p4-px3h-rq49, CVE-2026-44517): links of a repository brought files of the machine into the context.
#[test]
fn cve_2026_33748_and_ghsa_49p4_px3h_rq49_git_repositories_stay_inside() {
    let (jettison, web) = (Jettison::new(), Web::start());
    let Some(repository) = web.repository("r") else { return };
    let (_dir, path) = canary();
    symlink(&path, repository.folder.join("out")).unwrap();
    symlink(format!("../../../../../../../../..{path}"), repository.folder.join("dots")).unwrap();
    symlink(format!("{path}/canary"), repository.folder.join("file")).unwrap();
    repository
        .commit(&[("Dockerfile", "FROM scratch\nCOPY file out/canary dots/canary /to/\n"), ("d/x", "1")]);
    let url = &repository.url;
    for subdir in ["../..", "d/../../..", "out", "dots", "out/..", &path[1..], &path] {
        for arguments in [format!("{url}#main:{subdir}"), format!("{url}?subdir={subdir}")] {
            let out = tempfile::tempdir().unwrap();
            let output = format!("type=local,dest={}", out.path().display());
            let ran =
                try_build(&jettison, &format!("FROM scratch\nADD {arguments} /\n"), &["--output", &output]);
            assert!(!out.path().join("canary").exists(), "{arguments}");
            says_nothing_of_it(&ran);
        }
    }
    for source in ["file", "out/canary", "dots/canary"] {
        let dockerfile = format!("FROM scratch\nCOPY --from=r {source} /x\n");
        let named = format!("r={url}");
        assert_eq!(try_build(&jettison, &dockerfile, &["--build-context", &named]).code, 3, "{source}");
    }
    let whole = jettison.run(&["build", "--progress=plain", url]);
    assert_eq!(whole.code, 3, "{}", whole.stderr);
}

/// Docker: what stands behind `#` in a Git URL became an option of git. git (CVE-2017-1000117): a host became one of ssh.
/// BuildKit (GHSA-hw3h-2gp9-cxpv): a name in a repository became a command.
#[test]
fn cve_2019_13139_and_2017_1000117_a_git_url_is_no_command() {
    let (jettison, web) = (Jettison::new(), Web::start());
    let Some(repository) = web.repository("r") else { return };
    let commit = repository.commit(&[("f", "1")]);
    let made = tempfile::tempdir().unwrap();
    let touch = format!("touch${{IFS}}{}/made", made.path().display());
    repository.git(&["update-ref", "refs/heads/--upload-pack=x", &commit]);
    let url = &repository.url;
    for arguments in [
        format!("{url}#--upload-pack={touch}"),
        format!("{url}#-u{touch}"),
        format!("{url}?ref=--upload-pack={touch}"),
        format!("{url}#--upload-pack=x:d"),
        format!("ssh://-oProxyCommand={touch}/x.git"),
        format!("git@-oProxyCommand={touch}:x.git"),
        format!("ext::sh${{IFS}}-c${{IFS}}{touch}.git"),
    ] {
        for dockerfile in
            [format!("FROM scratch\nADD {arguments} /\n"), "FROM scratch\nCOPY --from=x / /\n".to_owned()]
        {
            let named = format!("x={arguments}");
            try_build(&jettison, &dockerfile, &["--ssh=default", "--build-context", &named]);
        }
        jettison.run(&["build", "--progress=plain", &arguments]);
        assert_eq!(fs::read_dir(made.path()).unwrap().count(), 0, "{arguments}");
    }
}

/// BuildKit: the password of a Git URL stood in the provenance that everybody can read.
#[test]
fn cve_2023_26054_provenance_holds_no_password() {
    let web = Web::start();
    let Some(repository) = web.repository("r") else { return };
    repository.commit(&[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
    web.git_wants("Basic bWU6aHVudGVyMg==");
    let url = repository.url.replace("http://", "http://me:hunter2@");
    let out = tempfile::tempdir().unwrap();
    let output = format!("type=oci,tar=false,dest={}", out.path().join("layout").display());
    let ran = Jettison::new().run(&[
        "build",
        "--progress=plain",
        "--provenance=mode=max",
        "--output",
        &output,
        &url,
    ]);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    ran.ok();
    let blobs = out.path().join("layout/blobs/sha256");
    let texts: Vec<String> = fs::read_dir(blobs)
        .unwrap()
        .map(|blob| String::from_utf8_lossy(&fs::read(blob.unwrap().path()).unwrap()).into_owned())
        .collect();
    assert!(texts.iter().any(|text| text.contains("slsa.dev/provenance")), "there is provenance");
    assert!(texts.iter().all(|text| !text.contains("hunter2")));
}

/// podman and buildah: an ignore file that is a link showed a file of the machine.
#[test]
fn cve_2022_4122_and_2022_4123_ignore_files_stay_in_a_fetched_context() {
    let (dir, path) = canary();
    fs::write(dir.path().join("patterns"), "[alive\n").unwrap();
    let context = folder("FROM scratch\nCOPY . /\n", &[("f", "1")]);
    symlink(format!("{path}/patterns"), context.path().join(".dockerignore")).unwrap();
    let tar = dir.path().join("context.tar");
    program("tar", &["-cf", tar.to_str().unwrap(), "-C", context.path().to_str().unwrap(), "."]).ok();
    let mut command = Jettison::new().command();
    command.args(["build", "--progress=plain", "-"]).stdin(fs::File::open(&tar).unwrap());
    says_nothing_of_it(&command.output().unwrap().into());
}

/// containers/storage: a user data base that is a link or a pipe was read outside, or for ever.
#[test]
fn cve_2024_9676_accounts_are_read_inside_and_without_waiting() {
    let jettison = Jettison::with_busybox();
    let (_dir, path) = canary();
    let start = Instant::now();
    for passwd in [
        "mkfifo /etc/passwd /etc/group".to_owned(),
        format!("ln -s {path}/canary /etc/passwd; ln -s {path}/canary /etc/group"),
        "ln -s /dev/zero /etc/passwd; ln -s /dev/zero /etc/group".to_owned(),
        "ln -s /proc/self/environ /etc/passwd; ln -s passwd /etc/group".to_owned(),
    ] {
        for then in ["USER nobody-here\nRUN true", "COPY --chown=nobody-here:there Dockerfile /x"] {
            let dockerfile = format!("FROM busybox\nRUN rm -f /etc/passwd /etc/group; {passwd}\n{then}\n");
            let ran = try_build(&jettison, &dockerfile, &[]);
            assert_ne!(ran.code, 0, "{passwd}: there is no such user");
            says_nothing_of_it(&ran);
        }
    }
    assert!(start.elapsed() < SOON, "it waited: {:?}", start.elapsed());
}

/// containerd: a user id above what fits became root. runc: a number was looked up as a name and became root.
#[test]
fn cve_2024_40635_and_2016_3697_a_number_is_that_user() {
    let jettison = Jettison::with_busybox();
    for user in
        ["4294967296", "2147483648", "4294967295", "4294967295:0", "18446744073709551616", "-1", "0x0:0x0"]
    {
        let ran = try_build(&jettison, &format!("FROM busybox\nUSER {user}\nRUN id -u > /tmp/id\n"), &[]);
        assert_ne!(ran.code, 0, "{user}: {}", ran.stderr);
        // What is no id is a name to BuildKit, and a name that nobody has is root there; here that is said at least.
        let copy = format!("FROM busybox\nCOPY --chown={user} Dockerfile /x\nRUN stat -c %u /x > /seen\n");
        let ran = try_build(&jettison, &copy, &["-t", "copied"]);
        let said = ran.code != 0 || ran.stderr.contains("root is used");
        let is_it = || user.starts_with(&jettison.run(&["run", "copied", "cat", "/seen"]).ok());
        assert!(said || is_it(), "{user}: {}", ran.stderr);
    }
    let dockerfile = "FROM busybox\nRUN echo '1234:x:0:0::/:/bin/sh' >> /etc/passwd; touch /seen; chmod 666 /seen\n\
                      USER 1234\nRUN id -u > /seen\n";
    assert_eq!(seen(&jettison, dockerfile), "1234");
}

/// Docker, buildah and containerd: a process had groups that its user does not have, or lacked the ones that keep it out.
#[test]
fn cve_2022_36109_2022_2990_and_2023_25173_groups_are_the_users_own() {
    let jettison = Jettison::with_busybox();
    let accounts = "RUN echo 'user:x:1500:1500::/:/bin/sh' >> /etc/passwd; \
                    printf 'user:x:1500:\\nextra:x:2000:user\\nother:x:3000:x\\n' >> /etc/group; touch /seen; chmod 666 /seen";
    for (user, groups) in [("user", "1500 2000"), ("1500", "1500 2000"), ("1500:3000", "3000"), ("5000", "0")]
    {
        let dockerfile = format!("FROM busybox\n{accounts}\nUSER {user}\nRUN id -G > /seen\n");
        assert_eq!(seen(&jettison, &dockerfile), groups, "{user}");
    }
}

/// Docker, runc, buildah, podman: inheritable capabilities were not empty. Docker (CVE-2016-8867) and podman (CVE-2018-10856):
/// a plain user had capabilities.
#[test]
fn cve_2022_24769_29162_27651_and_27649_nothing_is_inheritable() {
    let jettison = Jettison::with_busybox();
    let dockerfile = "FROM busybox\nRUN touch /seen; chmod 666 /seen; grep -E '^Cap(Inh|Amb)' /proc/self/status >> /seen\n\
                      USER 1000\nRUN grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/self/status >> /seen\n";
    let text = seen(&jettison, dockerfile);
    assert_eq!(text.lines().count(), 6, "{text}");
    assert!(text.lines().all(|line| line.ends_with("\t0000000000000000")), "{text}");
}

/// buildah: variables of the builder were seen by steps.
#[test]
fn cve_2021_3602_the_environment_of_the_builder_is_not_the_steps() {
    let jettison = Jettison::with_busybox().env("CANARY", "alive").env("AWS_SECRET_ACCESS_KEY", "alive");
    let dockerfile =
        "FROM busybox\nARG CANARY\nRUN { env; cat /proc/1/environ /proc/self/environ; } > /seen\n";
    let text = seen(&jettison, dockerfile);
    assert!(text.contains("PATH=") && !text.contains("alive"), "{text}");
}

/// runc and Docker: mount points and volumes were made where a link of the image leads, on the machine.
#[test]
fn cve_2024_45310_2021_30465_and_2022_23648_mount_points_and_volumes_stay_inside() {
    let jettison = Jettison::with_busybox();
    let (dir, path) = canary();
    let up = "../".repeat(20);
    let dockerfile = format!(
        "FROM busybox\nRUN ln -s {path} /l; ln -s {up}{path} /u; ln -s {path}/new /dangling\n\
         VOLUME {up}{path} /l/volume\nWORKDIR /u/work\n\
         RUN --mount=type=cache,target=/l/c --mount=type=tmpfs,target=/u/t --mount=type=bind,target=/dangling/b \
         --mount=type=secret,id=s,target=/l/secret ls {path} > /seen\n"
    );
    let text = seen(&jettison, &dockerfile);
    assert!(!text.contains("canary"), "{text}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "something was made on the machine");
}

/// containerd: an archive with documents that are too large took all memory. Docker: one that is none ended the daemon.
#[test]
fn cve_2023_25153_and_2021_21285_archives_of_images_may_hold_anything() {
    if !have("truncate") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let tar = |members: &[&str]| {
        let mut args = vec!["-S".to_owned(), "-cf".to_owned(), at("image.tar"), "-C".to_owned(), at("")];
        args.extend(members.iter().map(|&member| member.to_owned()));
        program("tar", &args.iter().map(String::as_str).collect::<Vec<_>>()).ok();
        let start = Instant::now();
        let ran = Jettison::new().run(&["load", "-i", &at("image.tar")]);
        let nothing = ran.code == 0 && ran.stdout.is_empty();
        assert!(nothing || (ran.code < 100 && ran.stderr.contains("error")), "{members:?}: {ran:?}");
        assert!(start.elapsed() < SOON);
    };
    for name in ["index.json", "manifest.json"] {
        program("truncate", &["-s", "3G", &at(name)]).ok();
        tar(&["oci-layout", name]);
        for text in [
            "",
            "null",
            "[]",
            "[null]",
            "{\"manifests\":[null]}",
            "[{\"Config\":null,\"Layers\":[null]}]",
            "\"x\"",
        ] {
            fs::write(at(name), text).unwrap();
            tar(&["oci-layout", name]);
        }
        fs::remove_file(at(name)).unwrap();
    }
    tar(&["oci-layout"]);
}

/// moby: an image whose configuration says that it was made by the wanted step was taken for that step's result.
#[test]
fn cve_2024_24557_an_image_is_no_cache_whatever_its_history_says() {
    let jettison = Jettison::with_busybox();
    let evil = folder("FROM busybox\nCOPY f /f\nRUN cp /f /seen\n", &[("f", "evil")]);
    jettison.build(evil.path(), &["-t", "evil"]);
    let good = folder("FROM busybox\nCOPY f /f\nRUN cp /f /seen\n", &[("f", "good")]);
    jettison.build(good.path(), &["-t", "good"]);
    assert_eq!(jettison.run(&["run", "good", "cat", "/seen"]).ok(), "good");
    let archive = evil.path().join("evil.tar");
    jettison.run(&["save", "-o", archive.to_str().unwrap(), "evil"]).ok();
    let fresh = Jettison::with_busybox();
    fresh.run(&["load", "-i", archive.to_str().unwrap()]).ok();
    fresh.build(good.path(), &["-t", "good"]);
    assert_eq!(fresh.run(&["run", "good", "cat", "/seen"]).ok(), "good");
}
