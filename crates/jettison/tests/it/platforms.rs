//! Several platforms at once: an index, files side by side, steps that are shared.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::fixture::{Jettison, Registry, folder, program, tar_list};

const BOTH: &str = "linux/amd64,linux/arm64";
/// Cross-compiles, so to say: the first stage runs here, whatever the target is.
const CROSS: &str = "FROM --platform=$BUILDPLATFORM busybox AS build\nRUN cat /proc/sys/kernel/random/uuid > /id\nARG TARGETARCH\nRUN echo $TARGETARCH > /arch\nFROM scratch\nARG TARGETPLATFORM\nLABEL platform=$TARGETPLATFORM\nCOPY --from=build /id /arch /\n";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Reads a blob of an OCI layout.
fn blob(layout: &Path, digest: &Value) -> Value {
    let name = digest.as_str().unwrap().replace(':', "/");
    json(&fs::read_to_string(layout.join("blobs").join(name)).unwrap())
}

#[test]
fn an_index_of_images_that_are_right_for_their_platforms() {
    let jettison = Jettison::with_busybox();
    let context = folder(CROSS, &[]);
    let out = tempfile::tempdir().unwrap();
    let layout = out.path().join("layout");
    let output = format!("type=oci,tar=false,dest={}", layout.display());
    let args = ["--platform", BOTH, "-t", "app", "--output", &output];
    let ran = jettison.try_build(context.path(), &args);
    assert!(
        ran.stderr.contains("[linux/arm64 build 2/") && ran.stderr.contains("[linux/amd64 build"),
        "{}",
        ran.stderr
    );
    let shared: Vec<&str> =
        ran.stderr.lines().filter(|l| l.contains("uuid")).filter_map(|l| l.split(' ').next()).collect();
    let done = |n: &str| ran.stderr.lines().any(|l| l.starts_with(&format!("{n} DONE")));
    assert_eq!(shared.iter().filter(|n| done(n)).count(), 1, "what both need runs once: {}", ran.stderr);
    let digest = ran.ok();
    let top = json(&fs::read_to_string(layout.join("index.json")).unwrap());
    assert_eq!(top["manifests"][0]["digest"], digest.as_str());
    let index = blob(&layout, &top["manifests"][0]["digest"]);
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    for (entry, arch) in index["manifests"].as_array().unwrap().iter().zip(["amd64", "arm64"]) {
        assert_eq!(entry["platform"], json(&format!("{{\"architecture\":\"{arch}\",\"os\":\"linux\"}}")));
        let manifest = blob(&layout, &entry["digest"]);
        let config = blob(&layout, &manifest["config"]["digest"]);
        assert_eq!(config["architecture"], arch);
        assert_eq!(config["config"]["Labels"]["platform"], format!("linux/{arch}"));
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    }
    let again = jettison.build(context.path(), &args);
    assert_eq!(again, digest);
    let metadata = out.path().join("metadata.json");
    jettison.build(context.path(), &["--platform", BOTH, "--metadata-file", metadata.to_str().unwrap()]);
    let metadata = json(&fs::read_to_string(metadata).unwrap());
    assert_eq!(metadata["containerimage.digest"], digest.as_str());
    assert!(metadata.get("containerimage.config.digest").is_none());
}

#[test]
fn no_cache_runs_what_is_shared_once_and_all_see_the_same() {
    let jettison = Jettison::with_busybox();
    let context = folder(CROSS, &[]);
    let out = tempfile::tempdir().unwrap();
    let output = out.path().to_str().unwrap();
    let first = jettison.try_build(context.path(), &["--platform", BOTH, "--no-cache", "-o", output]);
    first.ok();
    let id = |platform: &str| fs::read_to_string(out.path().join(platform).join("id")).unwrap();
    let before = id("linux_amd64");
    assert_eq!(before, id("linux_arm64"));
    jettison.try_build(context.path(), &["--platform", BOTH, "--no-cache", "-o", output]).ok();
    assert_ne!(id("linux_amd64"), before);
    assert_eq!(id("linux_amd64"), id("linux_arm64"));
}

#[test]
fn files_lie_in_a_folder_for_each_platform() {
    let jettison = Jettison::with_busybox();
    let context = folder(CROSS, &[]);
    let out = tempfile::tempdir().unwrap();
    let (local, tar, flat) = (out.path().join("local"), out.path().join("x.tar"), out.path().join("flat"));
    let outputs = [
        format!("type=local,dest={}", local.display()),
        format!("type=tar,dest={}", tar.display()),
        format!("type=local,platform-split=false,dest={}", flat.display()),
    ];
    let mut args = vec!["--platform", "linux/amd64,linux/arm/v7"];
    args.extend(outputs.iter().flat_map(|o| ["--output", o.as_str()]));
    jettison.build(context.path(), &args);
    for (platform, arch) in [("linux_amd64", "amd64\n"), ("linux_arm_v7", "arm\n")] {
        assert_eq!(fs::read_to_string(local.join(platform).join("arch")).unwrap(), arch);
    }
    let names: Vec<String> =
        tar_list(&tar).iter().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect();
    assert!(names.contains(&"linux_arm_v7/arch".to_owned()), "{names:?}");
    assert!(flat.join("arch").is_file());
    let one = out.path().join("one");
    let split = format!("type=local,platform-split=true,dest={}", one.display());
    jettison.build(context.path(), &["--platform", "linux/amd64", "--output", &split]);
    assert!(one.join("linux_amd64/arch").is_file());
}

#[test]
fn a_registry_gets_the_index_and_gives_each_platform_its_image_as_base() {
    let Some(registry) = Registry::start("") else { return };
    let jettison = Jettison::with_busybox();
    let name = registry.name("base:1");
    let context = folder(CROSS, &[]);
    for (output, media_type) in [
        (format!("type=registry,name={name}"), "application/vnd.oci.image.index.v1+json"),
        (
            format!("type=registry,oci-mediatypes=false,name={name}"),
            "application/vnd.docker.distribution.manifest.list.v2+json",
        ),
    ] {
        jettison.build(context.path(), &["--platform", BOTH, "--output", &output]);
        let url = format!("http://127.0.0.1:{}/v2/base/manifests/1", registry.port);
        let accept = format!("Accept: {media_type}");
        let index = json(&program("curl", &["-sSf", "-H", &accept, &url]).ok());
        assert_eq!(index["mediaType"], media_type);
        let other = Jettison::new();
        let on_top = folder(&format!("FROM {name}\nCOPY f /f\n"), &[("f", "1")]);
        let out = tempfile::tempdir().unwrap();
        other.build(on_top.path(), &["--platform", BOTH, "-o", out.path().to_str().unwrap()]);
        for arch in ["amd64", "arm64"] {
            let text = fs::read_to_string(out.path().join(format!("linux_{arch}/arch"))).unwrap();
            assert_eq!(text.trim(), arch, "{media_type}");
        }
    }
}

#[test]
fn what_cannot_be_several_platforms_is_refused() {
    let jettison = Jettison::new();
    let context = folder("FROM scratch\nCOPY f /\n", &[("f", "1")]);
    for args in [&["--output", "type=docker,dest=/dev/null"][..], &["--load"]] {
        let all = [&["--platform", BOTH], args].concat();
        let error = jettison.try_build(context.path(), &all).fails(2);
        assert!(error.contains("cannot hold an index: several platforms"), "{error}");
    }
    let error = jettison.try_build(context.path(), &["--platform", "linux/amd64,x/y/z/w"]).fails(2);
    assert!(error.contains("x/y/z/w"), "{error}");
    let single = jettison.build(context.path(), &["--platform", "linux/amd64"]);
    assert_eq!(jettison.build(context.path(), &["--platform", "local,linux/amd64"]), single);
    let forced = jettison.build(
        context.path(),
        &["--platform", "linux/amd64", "--build-arg", "BUILDKIT_MULTI_PLATFORM=1", "-t", "app"],
    );
    assert_ne!(forced, single);
}

#[test]
fn a_base_that_is_here_for_another_platform_only_is_named_as_such() {
    let Some(registry) = Registry::start("") else { return };
    let jettison = Jettison::new();
    let name = registry.name("base:1");
    let base = folder("FROM scratch\nCOPY f /\n", &[("f", "1")]);
    jettison.build(base.path(), &["--platform", "linux/arm64", "-t", &name]);
    let child = folder(&format!("FROM {name}\nCOPY f /g\n"), &[("f", "1")]);
    let error = jettison.try_build(child.path(), &["--platform", "linux/amd64"]).fails(4);
    assert!(error.contains("it is here for linux/arm64 and not for linux/amd64"), "{error}");
    assert!(error.contains("to take that one: --platform=linux/arm64"), "{error}");
    jettison.build(child.path(), &["--platform", "linux/arm64"]);
}

#[test]
fn the_first_platform_that_fails_says_why() {
    let jettison = Jettison::with_busybox();
    let context =
        folder("FROM --platform=$BUILDPLATFORM busybox\nARG TARGETARCH\nRUN test $TARGETARCH = amd64\n", &[]);
    let error = jettison.try_build(context.path(), &["--platform", BOTH, "-t", "app"]).fails(1);
    assert!(error.contains("Dockerfile:3:1") && error.contains("exit code: 1"), "{error}");
    jettison.run(&["inspect", "app"]).fails(4);
}

/// An executable for arm64 that writes `hello from arm64`: write(1, …), exit(0).
fn arm64_program() -> Vec<u8> {
    let text = b"hello from arm64\n";
    let (base, header) = (0x40_0000_u64, 120_u64);
    let code: [u32; 8] = [
        0xd280_0020, // mov x0, 1
        0x1000_00e1, // adr x1, text (28 bytes on)
        0xd280_0222, // mov x2, 17
        0xd280_0808, // mov x8, 64 (write)
        0xd400_0001, // svc 0
        0xd280_0000, // mov x0, 0
        0xd280_0ba8, // mov x8, 93 (exit)
        0xd400_0001, // svc 0
    ];
    let length = header + 32 + text.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0\x01\0\0\0".to_vec();
    for word in [base + header, 64, 0] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, base, base, length, length, 0x1000_u64] {
        elf.extend(word.to_le_bytes());
    }
    assert_eq!(elf.len() as u64, header);
    elf.extend(code.iter().flat_map(|word| word.to_le_bytes()));
    elf.extend(text);
    elf
}

fn arm64_context() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let context = folder("FROM scratch\nCOPY hello /hello\nRUN [\"/hello\"]\nCMD [\"/hello\"]\n", &[]);
    let path = context.path().join("hello");
    fs::write(&path, arm64_program()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    context
}

/// Whether the kernel of this machine runs arm64 by itself or through a handler.
fn runs_arm64() -> bool {
    cfg!(target_arch = "aarch64") || Path::new("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists()
}

#[test]
fn foreign_programs_without_an_emulator_are_refused_with_a_way_out() {
    if runs_arm64() {
        // Nothing is missing: there is nothing to refuse.
        eprintln!("skipped: arm64 runs here");
        return;
    }
    let jettison = Jettison::new().env("PATH", "/nonexistent");
    let error = jettison.try_build(arm64_context().path(), &["--platform", "linux/arm64"]).fails(6);
    assert!(error.contains("Dockerfile:3:1") && error.contains("cannot run linux/arm64 programs"), "{error}");
    assert!(error.contains("qemu-user-static") && error.contains("$BUILDPLATFORM"), "{error}");
}

#[test]
fn foreign_programs_run_through_the_kernels_handler_or_one_of_our_own() {
    let context = arm64_context();
    if runs_arm64() {
        let built = Jettison::new().try_build(context.path(), &["--platform", "linux/arm64"]);
        assert!(built.stderr.contains("hello from arm64"), "{}", built.stderr);
        return;
    }
    // In a user namespace there is a place for a handler that nobody else sees.
    if !crate::fixture::root()
        || !crate::fixture::have("qemu-aarch64-static")
        || !crate::fixture::have("setpriv")
    {
        return;
    }
    let of_root = Jettison::new();
    let built = of_root.try_build(context.path(), &["--platform", "linux/arm64"]);
    assert!(built.stderr.contains("hello from arm64"), "{}", built.stderr);
    let by_root = built.ok();
    let args = ["--platform", "linux/arm64", "-t", "foreign", "--verify=run,error"];
    let tried = of_root.try_build(context.path(), &args);
    assert!(
        tried.stderr.contains("starts: /hello (static); started and ended with exit code 0"),
        "{}",
        tried.stderr
    );
    let verified = of_root.run(&["verify", "--run", "--platform", "linux/arm64", "foreign"]).ok();
    assert!(verified.contains("started and ended with exit code 0; it said: hello from arm64"), "{verified}");
    let there = Path::new("/proc/sys/fs/binfmt_misc/jettison-aarch64");
    assert!(!there.exists(), "the host's handlers are left alone");
    let home = tempfile::tempdir().unwrap();
    let user = "4242";
    let program = home.path().join("jettison");
    fs::copy(env!("CARGO_BIN_EXE_jettison"), &program).unwrap();
    for path in [home.path(), context.path()] {
        crate::fixture::program("chown", &["-R", user, path.to_str().unwrap()]).ok();
    }
    let ran: crate::fixture::Ran = std::process::Command::new("setpriv")
        .args(["--reuid", user, "--regid", user, "--clear-groups", program.to_str().unwrap()])
        .args(["build", "--progress=plain", "--platform", "linux/arm64", context.path().to_str().unwrap()])
        .env("HOME", home.path())
        .env("JETTISON_ROOT", home.path().join("store"))
        .output()
        .unwrap()
        .into();
    assert!(ran.stderr.contains("hello from arm64"), "{}", ran.stderr);
    assert_eq!(ran.ok(), by_root, "the same image for everybody");
}
