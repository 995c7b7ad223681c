//! COPY whose files nobody needs goes straight into a layer: the same image, and what needs the files later gets them.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::fixture::{Jettison, folder, program, tar_list};

const FILES: [(&str, &str); 5] =
    [("d/a", "1"), ("d/s/b", "22"), ("d/s/c.txt", "333"), ("e/f", "4444"), ("top", "55555")];

/// How many snapshots have files.
fn snapshots(jettison: &Jettison) -> usize {
    fs::read_dir(jettison.store.path().join("snapshots")).unwrap().count()
}

/// The image by way of a snapshot: an output of plain files needs one.
fn through_a_snapshot(jettison: &Jettison, context: &Path) -> String {
    let outputs = tempfile::tempdir().unwrap();
    let tar = format!("type=tar,dest={}/files.tar", outputs.path().display());
    let archive = format!("type=docker,dest={}/image.tar", outputs.path().display());
    jettison.build(context, &["--verify=off", "--output", &archive, "--output", &tar])
}

fn context(dockerfile: &str) -> TempDir {
    let context = folder(dockerfile, &FILES);
    std::os::unix::fs::symlink("../top", context.path().join("d/link")).unwrap();
    fs::hard_link(context.path().join("d/a"), context.path().join("d/s/again")).unwrap();
    context
}

#[test]
fn the_image_is_the_same_with_every_option() {
    let copies = [
        "COPY d /d",
        "COPY . /",
        "COPY d e top /x/y/",
        "COPY --chown=app:staff d /home/app/",
        "COPY --chown=12:34 --chmod=0750 d/s /etc",
        "COPY --chmod=u=rwX,go= d /bin/../usr/share/d",
        "COPY --parents d/./s/* top /p/",
        "COPY --exclude=*.txt d /d/",
        "COPY --link d /etc",
        "COPY top /etc/passwd",
        "COPY <<one <<two /etc/\n1\none\n2\ntwo",
        "ADD top e /sbin/",
        "COPY --from=other /d /d",
    ];
    let (direct, through) = (Jettison::with_busybox(), Jettison::with_busybox());
    let before = snapshots(&direct);
    for copy in copies {
        let text = format!(
            "FROM busybox AS other\nCOPY d /d\nRUN ln /d/a /d/linked\nFROM busybox\nRUN ln -s etc /x && ln -s /bin /tools\n{copy}\n"
        );
        let context = context(&text);
        let image = direct.build(context.path(), &["--verify=off"]);
        assert_eq!(image, through_a_snapshot(&through, context.path()), "{copy}");
        assert_eq!(direct.build(context.path(), &["--verify=off"]), image, "cached: {copy}");
        assert_eq!(through_a_snapshot(&direct, context.path()), image, "files later: {copy}");
    }
    assert!(snapshots(&direct) > before);
}

#[test]
fn no_files_are_made_and_a_rebuild_needs_none() {
    let context = context("FROM scratch\nCOPY d /d\n");
    let jettison = Jettison::new();
    let image = jettison.build(context.path(), &[]);
    let again = jettison.try_build(context.path(), &[]);
    assert!(again.stderr.contains("CACHED"), "{}", again.stderr);
    assert_eq!(again.ok(), image);
    assert_eq!(snapshots(&jettison), 0);
    fs::write(context.path().join("d/a"), "other").unwrap();
    let edited = jettison.build(context.path(), &[]);
    assert_ne!(edited, image);
    assert_eq!(Jettison::new().build(context.path(), &[]), edited);
    assert_eq!(snapshots(&jettison), 0);
}

#[test]
fn what_needs_the_files_later_gets_them() {
    let first = "FROM busybox AS one\nCOPY d /d\n";
    let jettison = Jettison::with_busybox();
    let image = jettison.build(context(first).path(), &["--verify=off"]);
    let later = [
        "RUN cat /d/s/b > /seen && test $(stat -c %h /d/a) = 2\n",
        "WORKDIR /d/s/new\n",
        "COPY top /d/\n",
        "FROM scratch\nCOPY --from=one /d/s /s\n",
        "FROM busybox\nRUN --mount=from=one,source=/d,target=/m cat /m/a > /seen\n",
    ];
    for more in later {
        let context = context(&format!("{first}{more}"));
        let fresh = Jettison::with_busybox().build(context.path(), &["--verify=off"]);
        // One store for all of them, and one that knows the first image only.
        assert_eq!(jettison.build(context.path(), &["--verify=off"]), fresh, "{more}");
        let other = Jettison::with_busybox();
        assert_eq!(other.build(self::context(first).path(), &["--verify=off"]), image);
        assert_eq!(other.build(context.path(), &["--verify=off"]), fresh, "{more}");
    }
    assert_eq!(jettison.build(context(first).path(), &["--verify=off"]), image);
}

#[test]
fn another_form_of_the_layer_is_made_of_the_same_files() {
    let context = context("FROM scratch\nCOPY d /d\n");
    let archive = |jettison: &Jettison, form: &str| {
        let file = context.path().with_extension("tar");
        let output = format!("type=oci,compression={form},dest={}", file.display());
        let digest = jettison.build(context.path(), &["--output", &output]);
        fs::remove_file(file).unwrap();
        digest
    };
    let jettison = Jettison::new();
    for form in ["uncompressed", "gzip", "zstd", "uncompressed"] {
        assert_eq!(archive(&jettison, form), archive(&Jettison::new(), form), "{form}");
    }
    assert_eq!(snapshots(&jettison), 0);
}

#[test]
fn a_layer_that_was_lost_is_made_again() {
    let context = context("FROM scratch\nCOPY d /d\n");
    let jettison = Jettison::new();
    let image = jettison.build(context.path(), &[]);
    fs::remove_dir_all(jettison.store.path().join("blobs/sha256")).unwrap();
    fs::create_dir(jettison.store.path().join("blobs/sha256")).unwrap();
    assert_eq!(jettison.build(context.path(), &[]), image);
    jettison.run(&["prune", "--all"]).ok();
    assert_eq!(jettison.build(context.path(), &[]), image);
}

/// The key is made at the beginning, the copy when the long step is over. What is copied must not get an old key.
#[test]
fn files_that_change_while_another_step_runs_never_get_the_key_of_what_they_were() {
    let text = "FROM busybox\nRUN sleep 1; echo done\nCOPY d /d\n";
    for verify in ["--verify=off", "--verify=warn"] {
        let context = context(text);
        let jettison = Jettison::with_busybox();
        let mut command = jettison.command();
        let mut build = command.args(["build", "-q", verify]).arg(context.path()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(500));
        fs::write(context.path().join("d/a"), "2").unwrap();
        assert!(build.wait().unwrap().success(), "what is there when it is copied counts");
        let fresh = Jettison::with_busybox();
        assert_eq!(jettison.build(context.path(), &[verify]), fresh.build(context.path(), &[verify]));
        fs::write(context.path().join("d/a"), "1").unwrap();
        assert_eq!(jettison.build(context.path(), &[verify]), fresh.build(context.path(), &[verify]));
    }
}

/// A base of one layer is read without a mount, and overlayfs lists a whiteout of nothing where it merges nothing.
#[test]
fn whiteouts_of_an_only_layer_are_not_copied() {
    let work = folder("", &[("layer/d/kept", "k"), ("layer/d/.wh.gone", ""), ("layer/e/.wh..wh..opq", "")]);
    let path = |name: &str| work.path().join(name).to_str().unwrap().to_owned();
    program("tar", &["-cf", &path("layer.tar"), "-C", &path("layer"), "d", "e"]).ok();
    let sum = program("sha256sum", &[&path("layer.tar")]).ok();
    let diff_id = sum.split_whitespace().next().unwrap();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:{diff_id}"]}}}}"#
    );
    fs::write(path("config.json"), config).unwrap();
    let manifest = r#"[{"Config":"config.json","RepoTags":["only:1"],"Layers":["layer.tar"]}]"#;
    fs::write(path("manifest.json"), manifest).unwrap();
    let archive = path("image.tar");
    let parts = ["config.json", "layer.tar", "manifest.json"];
    program("tar", &[&["-cf", &archive, "-C", work.path().to_str().unwrap()][..], &parts].concat()).ok();
    let jettison = Jettison::new();
    jettison.run(&["load", "-i", &archive]).ok();
    for copy in ["COPY --from=only:1 / /", "COPY --from=only:1 /d /d\nCOPY --from=only:1 /d/* /e/"] {
        let context = folder(&format!("FROM scratch\n{copy}\n"), &[]);
        let (image, files) = (path("out.tar"), path("files.tar"));
        jettison.build(context.path(), &["--output", &format!("type=oci,dest={image}")]);
        jettison.build(context.path(), &["--output", &format!("type=tar,dest={files}")]);
        let listed = tar_list(Path::new(&files));
        assert!(listed.iter().any(|line| line.ends_with("d/kept")), "{listed:?}");
        assert!(!listed.iter().any(|line| line.contains("gone") || line.starts_with('c')), "{listed:?}");
        jettison.run(&["load", "-i", &image]).ok();
    }
}

/// A disk gives back other bytes than were written: the part of the old layer that they are in reaches no new one.
#[test]
fn a_new_layer_takes_nothing_damaged_from_an_old_one() {
    let jettison = Jettison::new();
    let text: String = (0..200_000).map(|n| (n * 7919 % 10_007).to_string()).collect::<Vec<_>>().join(" ");
    let context = folder("FROM scratch\nCOPY . /\n", &[("big", &text), ("zz", "1")]);
    let out = context.path().with_extension("out.tar");
    let output = format!("type=oci,compression=gzip,dest={}", out.display());
    let first = jettison.build(context.path(), &["--output", &output]);
    let blobs = jettison.store.path().join("blobs/sha256");
    let largest = fs::read_dir(blobs)
        .unwrap()
        .map(|e| e.unwrap().path())
        .max_by_key(|p| fs::metadata(p).unwrap().len());
    let largest = largest.unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    bytes[9_000] ^= 4;
    fs::write(&largest, bytes).unwrap();
    fs::write(context.path().join("zz"), "2").unwrap();
    let second = jettison.build(context.path(), &["--output", &output]);
    assert_ne!(first, second);
    let elsewhere = Jettison::new();
    assert_eq!(elsewhere.build(context.path(), &["--output", &output]), second, "as without an old layer");
    fs::remove_file(out).unwrap();
}
