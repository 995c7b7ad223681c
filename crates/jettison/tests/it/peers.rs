//! Our images in other programs: skopeo, podman, umoci, crun, docker.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::fixture::{Jettison, folder, have, program, root, skip};

const DOCKERFILE: &str = "FROM busybox
RUN echo hello > /greeting && chmod 4711 /greeting && ln /greeting /linked && ln -s greeting /soft && rm -r /home
WORKDIR /w
LABEL by=jettison
CMD [\"cat\", \"/greeting\"]
";

/// An OCI layout folder and a Docker archive of one image.
fn image() -> (tempfile::TempDir, String) {
    let jettison = Jettison::with_busybox();
    let out = tempfile::tempdir().unwrap();
    let folder = folder(DOCKERFILE, &[]);
    let digest = jettison.build(
        folder.path(),
        &[
            "-t",
            "app:1",
            "-o",
            &format!("type=oci,dest={},tar=false", out.path().join("oci").display()),
            "-o",
            &format!("type=docker,dest={}", out.path().join("docker.tar").display()),
        ],
    );
    (out, digest)
}

#[test]
fn skopeo_inspects_and_copies() {
    if !have("skopeo") {
        return;
    }
    let (out, digest) = image();
    let oci = format!("oci:{}:1", out.path().join("oci").display());
    let text = program("skopeo", &["inspect", &oci]).ok();
    let inspected: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(inspected["Digest"], digest.as_str());
    assert_eq!(inspected["Labels"]["by"], "jettison");
    let archive = format!("docker-archive:{}", out.path().join("docker.tar").display());
    program("skopeo", &["inspect", &archive]).ok();
    let copy = format!("dir:{}", out.path().join("copy").display());
    program("skopeo", &["--insecure-policy", "copy", &oci, &copy]).ok();
}

#[test]
fn umoci_unpacks_and_crun_runs() {
    if !root() || !have("umoci") {
        return;
    }
    let (out, _) = image();
    let bundle = out.path().join("bundle");
    let oci = format!("{}:1", out.path().join("oci").display());
    program("umoci", &["unpack", "--image", &oci, bundle.to_str().unwrap()]).ok();
    let greeting = bundle.join("rootfs/greeting");
    let metadata = fs::metadata(&greeting).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!((metadata.mode() & 0o7777, metadata.nlink()), (0o4711, 2));
    assert!(!bundle.join("rootfs/home").exists(), "the whiteout was not applied");
    if !have("crun") {
        return;
    }
    let config = bundle.join("config.json");
    let mut spec: serde_json::Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    spec["process"]["terminal"] = serde_json::Value::Bool(false);
    fs::write(&config, serde_json::to_vec(&spec).unwrap()).unwrap();
    let name = format!("jettison-test-{}", std::process::id());
    // crun refuses hosts with both kinds of cgroups; in a mount namespace of its own it sees only the new kind.
    let command = format!(
        "mount -t cgroup2 none /sys/fs/cgroup && crun --cgroup-manager=disabled run -b {} {name}",
        bundle.display()
    );
    assert_eq!(program("unshare", &["-m", "sh", "-c", &command]).ok(), "hello");
}

#[test]
fn podman_runs() {
    if !root() || !have("podman") {
        return;
    }
    let (out, _) = image();
    let path = |name: &str| out.path().join(name).display().to_string();
    let (root, runroot) = (path("podman"), path("podman-run"));
    let global =
        format!("podman --root {root} --runroot {runroot} --storage-driver vfs --cgroup-manager cgroupfs");
    // As for crun: podman's runtime refuses hosts with both kinds of cgroups.
    let podman = |command: &str| {
        let command = format!("mount -t cgroup2 none /sys/fs/cgroup && {global} {command}");
        program("unshare", &["-m", "sh", "-c", &command])
    };
    podman(&format!("load -i {}", path("docker.tar"))).ok();
    let limits = "--ulimit=nofile=1024:1024 --ulimit=nproc=1024:1024";
    let ran = podman(&format!("run --rm --network=host --cgroups=disabled {limits} docker.io/library/app:1"));
    assert_eq!(ran.ok(), "hello");
}

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn docker_loads() {
    if !root() || !have("unshare") || !have("dockerd") || !have("docker") {
        return;
    }
    let (out, digest) = image();
    let path = |name: &str| out.path().join(name).display().to_string();
    let socket = format!("unix://{}", path("docker.sock"));
    let log = fs::File::create(out.path().join("dockerd.log")).unwrap();
    // In namespaces of its own: whatever it mounts or starts ends with it, and the host's mounts are out of reach.
    let daemon = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "dockerd",
        ])
        .args(["--iptables=false", "--bridge=none", "--storage-driver=vfs", "-H", &socket])
        .args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    let _daemon = Daemon(daemon.unwrap());
    let start = Instant::now();
    let docker = |args: &[&str]| program("docker", &[&["-H", &socket[..]], args].concat());
    while docker(&["version"]).code != 0 {
        if start.elapsed() > Duration::from_secs(40) {
            let log = fs::read_to_string(out.path().join("dockerd.log")).unwrap_or_default();
            skip(&format!("dockerd does not start here: {}", log.lines().next_back().unwrap_or_default()));
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let loaded = docker(&["load", "-i", &path("docker.tar")]).ok();
    assert!(loaded.contains("app:1"), "{loaded}");
    let cmd =
        docker(&["image", "inspect", "app:1", "--format", "{{json .Config.Cmd}} {{.RootFS.Layers}}"]).ok();
    assert!(cmd.starts_with("[\"cat\",\"/greeting\"]"), "{cmd} {digest}");
}
