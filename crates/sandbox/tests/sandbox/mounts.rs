//! The mounts of a step, and what they must not leave behind.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::time::{Duration, SystemTime};

use jettison_sandbox::{MountKind, Root, Source};

use crate::world::{World, run};

pub(crate) const CASES: &[super::Case] = &[
    ("a_step_that_does_nothing_leaves_nothing", a_step_that_does_nothing_leaves_nothing),
    ("mount_points_leave_no_trace", mount_points_leave_no_trace),
    ("what_the_step_used_stays", what_the_step_used_stays),
    ("a_root_without_anything_stays_so", a_root_without_anything_stays_so),
    ("secrets_are_files_in_memory", secrets_are_files_in_memory),
    ("binds_are_read_only_or_not", binds_are_read_only_or_not),
    ("paths_inside_layers_cannot_escape", paths_inside_layers_cannot_escape),
    ("scratch_binds_discard_writes", scratch_binds_discard_writes),
    ("tmpfs_has_its_limit", tmpfs_has_its_limit),
    ("nested_mounts_in_any_order", nested_mounts_in_any_order),
    ("a_directory_can_be_the_root", a_directory_can_be_the_root),
    ("changes_are_in_the_upper", changes_are_in_the_upper),
];

fn tmpfs() -> MountKind {
    MountKind::Tmpfs { size: None }
}

fn bind(source: Source, read_only: bool) -> MountKind {
    MountKind::Bind { source, read_only, recursive: false }
}

fn secret(mode: u32) -> MountKind {
    MountKind::File { content: b"hush".to_vec(), mode, uid: 0, gid: 0 }
}

/// Paths in the upper that do not merely repeat a directory of the lower with the same times.
fn real_changes(world: &World, outcome: &crate::world::Outcome) -> Vec<String> {
    let same = |line: &String| {
        let name = line.split(' ').next().unwrap();
        let (above, below) = (outcome.upper.join(name), world.lower().join(name));
        let (Ok(above), Ok(below)) = (above.symlink_metadata(), below.symlink_metadata()) else {
            return false;
        };
        above.is_dir() && (above.mtime(), above.mtime_nsec()) == (below.mtime(), below.mtime_nsec())
    };
    outcome.changes().into_iter().filter(|line| !same(line)).collect()
}

fn a_step_that_does_nothing_leaves_nothing(world: &World) {
    let outcome = world.sh("true");
    outcome.ok();
    assert_eq!(real_changes(world, &outcome), [""; 0]);
}

fn mount_points_leave_no_trace(world: &World) {
    let outcome = world.sh_with(
        "cat /run/secrets/a; touch /new/cache/x; stat -c %Y /data",
        vec![("/run/secrets/a", secret(0o400)), ("/new/cache", tmpfs()), ("/data/below/it", tmpfs())],
    );
    let mtime = world.lower().join("data").metadata().unwrap().mtime();
    assert_eq!(outcome.ok(), format!("hush{mtime}"), "not even the times change");
    assert_eq!(real_changes(world, &outcome), [""; 0]);
}

fn what_the_step_used_stays(world: &World) {
    let outcome = world.sh_with("echo x >/a/other; echo y >/etc/mine", vec![("/a/b/c", tmpfs())]);
    outcome.ok();
    let names: Vec<String> =
        outcome.changes().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(names, ["a", "a/other", "etc", "etc/mine"]);
    // The time that the step gave /etc stays as well.
    let age =
        SystemTime::now().duration_since(outcome.upper.join("etc").metadata().unwrap().modified().unwrap());
    assert!(age.unwrap_or_default() < Duration::from_secs(60));
}

fn a_root_without_anything_stays_so(world: &World) {
    let lower = world.folder("bare");
    fs::copy("/bin/busybox", lower.join("busybox")).unwrap();
    let mut spec = world.spec("");
    spec.argv = vec!["/busybox".into(), "test".into(), "-c".into(), "/dev/null".into()];
    let root = |lowers| Root::Overlay { lowers, upper: world.folder("upper"), work: world.folder("work") };
    spec.root = root(vec![lower]);
    let outcome = run(&spec).unwrap();
    outcome.ok();
    assert_eq!(outcome.changes(), [""; 0], "no /proc, /sys, /dev, /etc");

    // And with no layer at all, the program comes by a mount.
    spec.root = root(vec![]);
    spec.mounts.push(jettison_sandbox::Mount {
        target: "/busybox".into(),
        kind: bind(Source::Path("/bin/busybox".into()), true),
    });
    let outcome = run(&spec).unwrap();
    outcome.ok();
    assert_eq!(outcome.changes(), [""; 0]);
}

fn secrets_are_files_in_memory(world: &World) {
    let script =
        "cat /s; stat -c ' %a %u:%g' /s; echo x 2>&1 >/s | grep -o 'Read-only'; grep ' /s ' /proc/mounts";
    let outcome = world.sh_with(script, vec![("/s", secret(0o400))]);
    let text = outcome.ok();
    assert!(text.starts_with("hush 400 0:0\n"), "{text}");
    let options = text.lines().last().unwrap();
    for option in ["tmpfs /s tmpfs ro,", "nosuid", "nodev", "noexec"] {
        assert!(options.contains(option), "{options}");
    }
    let outcome = world.sh_with("grep ' /s ' /proc/mounts", vec![("/s", secret(0o500))]);
    assert!(!outcome.ok().contains("noexec"));
    if world.has_ids() {
        let owned = MountKind::File { content: b"x".to_vec(), mode: 0o400, uid: 1001, gid: 50 };
        assert_eq!(world.sh_with("stat -c %u:%g /s", vec![("/s", owned)]).ok(), "1001:50");
    }
}

fn binds_are_read_only_or_not(world: &World) {
    let source = world.folder("source");
    fs::write(source.join("file"), "text").unwrap();
    let path = || Source::Path(source.clone());
    let outcome = world.sh_with("cat /m/file; touch /m/new", vec![("/m", bind(path(), true))]);
    assert!(outcome.err.contains("Read-only") && outcome.out == "text", "{}{}", outcome.out, outcome.err);
    world.sh_with("touch /m/new", vec![("/m", bind(path(), false))]).ok();
    assert!(source.join("new").exists());
    let file = bind(Source::Path(source.join("file")), true);
    let outcome = world.sh_with("cat /etc/deep/file", vec![("/etc/deep/file", file)]);
    assert_eq!(outcome.ok(), "text");
    assert_eq!(real_changes(world, &outcome), [""; 0]);
}

fn paths_inside_layers_cannot_escape(world: &World) {
    let (low, high, outside) = (world.folder("low"), world.folder("high"), world.folder("outside"));
    fs::create_dir_all(low.join("sub")).unwrap();
    fs::create_dir_all(high.join("sub")).unwrap();
    fs::write(low.join("sub/a"), "low a").unwrap();
    fs::write(low.join("sub/b"), "low b").unwrap();
    fs::write(high.join("sub/a"), "high a").unwrap();
    fs::write(outside.join("a"), "outside").unwrap();
    symlink(&outside, high.join("trap")).unwrap();
    symlink("/sub", high.join("link")).unwrap();
    let inside = |layers: &[&std::path::PathBuf], path: &str| {
        let layers = layers.iter().map(|&layer| layer.clone()).collect();
        bind(Source::Inside { layers, path: path.into() }, true)
    };
    let both = [&high, &low];
    for (path, script) in
        [("/", "cat /m/sub/a /m/sub/b"), ("sub", "cat /m/a /m/b"), ("/link", "cat /m/a /m/b")]
    {
        assert_eq!(world.sh_with(script, vec![("/m", inside(&both, path))]).ok(), "high alow b", "{path}");
    }
    assert_eq!(world.sh_with("cat /m", vec![("/m", inside(&both, "sub/b"))]).ok(), "low b");
    assert_eq!(world.sh_with("cat /m/a", vec![("/m", inside(&[&high], "sub"))]).ok(), "high a");
    let mut spec = world.spec("cat /m/a");
    spec.mounts = vec![jettison_sandbox::Mount { target: "/m".into(), kind: inside(&[&high], "trap") }];
    let error = run(&spec).err().unwrap().to_string();
    assert_eq!(error, "mount trap on /m: No such file or directory");
}

fn scratch_binds_discard_writes(world: &World) {
    let source = world.folder("source");
    fs::create_dir(source.join("sub")).unwrap();
    fs::write(source.join("sub/file"), "text").unwrap();
    let view = |source| MountKind::ScratchBind { source, scratch: world.folder("scratch") };
    let script = "cat /m/sub/file; echo changed >/m/sub/file; rm -r /m/sub; touch /m/new; ls /m";
    let outcome = world.sh_with(script, vec![("/m", view(Source::Path(source.clone())))]);
    assert_eq!(outcome.ok(), "textnew");
    assert_eq!(real_changes(world, &outcome), [""; 0]);
    let inside = Source::Inside { layers: vec![source.clone()], path: "sub".into() };
    assert_eq!(world.sh_with("echo x >>/m/file; cat /m/file", vec![("/m", view(inside))]).ok(), "textx");
    let file = Source::Path(source.join("sub/file"));
    assert_eq!(world.sh_with("echo y >>/m; cat /m", vec![("/m", view(file))]).ok(), "texty");
    let layers = Source::Inside { layers: vec![source.clone(), world.lower()], path: "/".into() };
    assert_eq!(
        world.sh_with("cat /m/sub/file; rm /m/data/file; ls /m/data", vec![("/m", view(layers))]).ok(),
        "text"
    );
    assert_eq!(fs::read_to_string(source.join("sub/file")).unwrap(), "text");
    assert_eq!(fs::read_dir(&source).unwrap().count(), 1);
    assert!(world.lower().join("data/file").exists());
}

fn tmpfs_has_its_limit(world: &World) {
    let small = MountKind::Tmpfs { size: Some(64 * 1024) };
    let outcome =
        world.sh_with("stat -c %a /t; dd if=/dev/zero of=/t/x bs=1k count=100", vec![("/t", small)]);
    assert!(outcome.out.starts_with("1777") && outcome.err.contains("No space left"), "{}", outcome.err);
}

fn nested_mounts_in_any_order(world: &World) {
    let source = world.folder("source");
    fs::create_dir(source.join("inner")).unwrap();
    let outcome = world.sh_with(
        "touch /foo/bar/x /foo/bar/inner/y; ls /foo/bar/inner; cat /etc/hosts",
        vec![
            ("/foo/bar/inner", tmpfs()),
            ("/foo/bar", bind(Source::Path(source.clone()), false)),
            ("/etc", tmpfs()),
        ],
    );
    assert_eq!(outcome.ok(), "y\n127.0.0.1 localhost buildkitsandbox");
    assert!(source.join("x").exists() && !source.join("inner/y").exists());
    assert_eq!(real_changes(world, &outcome), [""; 0]);
}

fn a_directory_can_be_the_root(world: &World) {
    let root = world.folder("root");
    fs::create_dir(root.join("bin")).unwrap();
    fs::copy("/bin/busybox", root.join("bin/sh")).unwrap();
    let mut spec = world.spec("echo x >/made && test -c /dev/null");
    spec.root = Root::Directory(root.clone());
    run(&spec).unwrap().ok();
    let mut names: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["bin", "made"]);
}

fn changes_are_in_the_upper(world: &World) {
    let outcome = world.sh("rm /data/file; mkdir /opt; echo x >/opt/file; rm -r /home; mkdir /home");
    outcome.ok();
    let changes = real_changes(world, &outcome);
    assert_eq!(
        changes,
        ["data 755 0:0", "data/file 0 0:0", "home 755 0:0", "opt 755 0:0", "opt/file 644 0:0"]
    );
}
