//! `--output` and its friends: every kind of result.

use std::fs;

use crate::fixture::{Jettison, folder, tar_list};

const HELLO: &str = "FROM scratch\nCOPY hello /hello\nCMD [\"/hello\"]\n";

#[test]
fn quiet_prints_the_digest_alone() {
    let jettison = Jettison::new();
    let folder = folder(HELLO, &[("hello", "hi\n")]);
    let ran = jettison.run(&["build", "-q", folder.path().to_str().unwrap()]);
    assert!(ran.stderr.is_empty(), "{}", ran.stderr);
    let digest = ran.ok();
    assert!(digest.starts_with("sha256:") && digest.len() == 71, "{digest}");
}

#[test]
fn tar_and_local_hold_the_files() {
    let jettison = Jettison::new();
    let folder = folder(HELLO, &[("hello", "hi\n")]);
    let out = tempfile::tempdir().unwrap();
    let tar = out.path().join("files.tar");
    let local = out.path().join("local");
    jettison.build(folder.path(), &["-o", &format!("type=tar,dest={}", tar.display())]);
    assert_eq!(tar_list(&tar), ["-rw-r--r-- 0/0 3 hello"]);
    jettison.build(folder.path(), &["-o", local.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(local.join("hello")).unwrap(), "hi\n");
}

#[test]
fn a_tar_on_standard_output() {
    let jettison = Jettison::new();
    let folder = folder(HELLO, &[("hello", "hi\n")]);
    let output = jettison.command().args(["build", "-q", "-o", "-"]).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let path = folder.path().join("out.tar");
    fs::write(&path, output.stdout).unwrap();
    assert_eq!(tar_list(&path), ["-rw-r--r-- 0/0 3 hello"]);
}

#[test]
fn oci_and_docker_archives_and_folders() {
    let jettison = Jettison::new();
    let folder = folder(HELLO, &[("hello", "hi\n")]);
    let out = tempfile::tempdir().unwrap();
    for (kind, documents) in
        [("oci", "index.json oci-layout"), ("docker", "index.json manifest.json oci-layout")]
    {
        let tar = out.path().join(format!("{kind}.tar"));
        let dir = out.path().join(kind);
        let digest = jettison.build(
            folder.path(),
            &[
                "-t",
                "app:1",
                "-o",
                &format!("type={kind},dest={}", tar.display()),
                "-o",
                &format!("type={kind},dest={},tar=false", dir.display()),
            ],
        );
        let names: Vec<String> =
            tar_list(&tar).iter().map(|l| l.rsplit(' ').next().unwrap().to_owned()).collect();
        assert!(names.join(" ").ends_with(documents), "{names:?}");
        assert!(names.contains(&format!("blobs/sha256/{}", &digest[7..])), "{names:?}");
        assert!(dir.join("oci-layout").exists());
        assert_eq!(dir.join("manifest.json").exists(), kind == "docker");
    }
}

#[test]
fn iidfile_and_metadata_file_are_written_on_success_only() {
    let jettison = Jettison::with_busybox();
    let out = tempfile::tempdir().unwrap();
    let (iid, metadata) = (out.path().join("iid"), out.path().join("metadata.json"));
    let args =
        ["-t", "app", "--iidfile", iid.to_str().unwrap(), "--metadata-file", metadata.to_str().unwrap()];
    let bad = folder("FROM busybox\nRUN exit 3\n", &[]);
    jettison.try_build(bad.path(), &args).fails(1);
    assert!(!iid.exists() && !metadata.exists());
    let good = folder(HELLO, &[("hello", "hi\n")]);
    let digest = jettison.build(good.path(), &args);
    assert_eq!(fs::read_to_string(iid).unwrap(), digest);
    let metadata: serde_json::Value = serde_json::from_slice(&fs::read(metadata).unwrap()).unwrap();
    assert_eq!(metadata["containerimage.digest"], digest);
    assert_eq!(metadata["image.name"], "docker.io/library/app:latest");
    assert!(metadata["containerimage.config.digest"].as_str().unwrap().starts_with("sha256:"));
}

#[test]
fn zstd_and_uncompressed_layers_have_the_same_content() {
    let jettison = Jettison::new();
    let folder = folder(HELLO, &[("hello", "hi\n")]);
    let mut diff_ids = Vec::new();
    for (compression, media_type) in
        [("gzip", "tar+gzip"), ("zstd", "tar+zstd"), ("uncompressed", "layer.v1.tar")]
    {
        let digest = jettison.build(folder.path(), &["-o", &format!("type=image,compression={compression}")]);
        let image = jettison.inspect(&digest);
        let layer = image["manifest"]["layers"][0]["mediaType"].as_str().unwrap();
        assert!(layer.ends_with(media_type), "{layer}");
        diff_ids.push(image["config"]["rootfs"]["diff_ids"].clone());
    }
    assert_eq!(diff_ids[0], diff_ids[1]);
    assert_eq!(diff_ids[0], diff_ids[2]);
}

#[test]
fn the_summary_says_how_much_was_left_behind() {
    let jettison = Jettison::with_busybox();
    let folder = folder(
        "FROM busybox AS build\nRUN echo hi > /hello\nFROM scratch\nCOPY --from=build /hello /hello\n",
        &[],
    );
    let ran = jettison.try_build(folder.path(), &["-t", "tiny"]);
    let summary = ran.stderr.lines().find(|line| line.contains("smaller than")).unwrap_or_default();
    assert!(summary.contains("sha256:"), "{}", ran.stderr);
}

#[test]
fn a_mirrored_folder_holds_the_result_and_nothing_else() {
    let jettison = Jettison::new();
    let context = folder(
        "FROM scratch\nCOPY hello /hello\nCOPY hello /kept/a\nCOPY hello /file\n",
        &[("hello", "hi\n")],
    );
    let out = tempfile::tempdir().unwrap();
    let elsewhere = out.path().join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::write(elsewhere.join("precious"), "").unwrap();
    let to = out.path().join("to");
    for path in ["kept", "file/was/a/directory", "gone/with/all"] {
        fs::create_dir_all(to.join(path)).unwrap();
    }
    fs::write(to.join("kept/old"), "").unwrap();
    fs::write(to.join("gone/with/all/of/it"), "").unwrap_err();
    std::os::unix::fs::symlink(&elsewhere, to.join("link")).unwrap();
    let output = format!("type=local,mode=delete,dest={}", to.display());
    let error = jettison.try_build(context.path(), &["-o", &output]).fails(2);
    assert!(error.contains("--allow buildx.local.delete"), "{error}");
    assert!(to.join("kept/old").exists());
    jettison.build(context.path(), &["-o", &output, "--allow", "buildx.local.delete"]);
    let listed = crate::fixture::program("find", &[to.to_str().unwrap(), "-printf", "%P\n"]).ok();
    let mut names: Vec<&str> = listed.lines().filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    assert_eq!(names, ["file", "hello", "kept", "kept/a"]);
    assert!(elsewhere.join("precious").exists(), "links are not followed");
}

#[test]
fn forced_compression_reaches_the_layers_of_the_base() {
    let jettison = Jettison::new();
    let base = folder("FROM scratch\nCOPY hello /base\n", &[("hello", "base\n")]);
    jettison.build(base.path(), &["-t", "base"]);
    let context = folder("FROM base\nCOPY hello /own\n", &[("hello", "own\n")]);
    let out = tempfile::tempdir().unwrap();
    let layers = |name: &str, more: &str| {
        let layout = out.path().join(name);
        let output = format!("type=oci,tar=false,dest={}{more}", layout.display());
        let digest = jettison.build(context.path(), &["-o", &output]);
        let blob = |digest: &str| {
            let file = layout.join("blobs/sha256").join(digest.trim().strip_prefix("sha256:").unwrap());
            serde_json::from_slice::<serde_json::Value>(&fs::read(file).unwrap()).unwrap()
        };
        let manifest = blob(&digest);
        let types = manifest["layers"].as_array().unwrap().iter().map(|layer| {
            let media_type = layer["mediaType"].as_str().unwrap();
            media_type.strip_prefix("application/vnd.oci.image.layer.v1.").unwrap().to_owned()
        });
        let types: Vec<String> = types.collect();
        (types, blob(manifest["config"]["digest"].as_str().unwrap()), digest)
    };
    let (types, plain, _) = layers("plain", "");
    assert_eq!(types, ["tar+gzip", "tar+gzip"]);
    let (types, ..) = layers("own", ",compression=zstd");
    assert_eq!(types, ["tar+gzip", "tar+zstd"], "the base is left as it is");
    let (types, forced, digest) = layers("forced", ",compression=zstd,force-compression=true");
    assert_eq!(types, ["tar+zstd", "tar+zstd"]);
    assert_eq!(forced, plain, "the files are the same, and so is the config");
    assert_eq!(layers("again", ",compression=zstd,force-compression=true").2, digest);
    let (types, ..) = layers("none", ",compression=uncompressed,force-compression=true");
    assert_eq!(types, ["tar", "tar"]);
    jettison.run(&["fsck"]).ok();
    jettison.run(&["prune", "--all"]).ok();
    jettison.run(&["fsck"]).ok();
    let (types, ..) = layers("once more", ",compression=zstd,force-compression=true");
    assert_eq!(types, ["tar+zstd", "tar+zstd"]);
}

#[test]
fn a_name_can_be_made_of_the_digest() {
    let jettison = Jettison::new();
    let context = folder(HELLO, &[("hello", "hi\n")]);
    let digest = jettison.build(context.path(), &["-o", "type=image,dangling-name-prefix=loose"]);
    let names = jettison.run(&["images"]).ok();
    assert!(names.contains("loose"), "{names}");
    assert!(jettison.run(&["inspect", &format!("loose@{}", digest.trim())]).ok().contains("/hello"));
    jettison.run(&["rm", &format!("loose@{}", digest.trim())]).ok();
    let only = "type=image,name=app,dangling-name-prefix=loose,danging-name-empty-only=true";
    jettison.build(context.path(), &["-o", only]);
    assert!(!jettison.run(&["images"]).ok().contains("loose"));
}
