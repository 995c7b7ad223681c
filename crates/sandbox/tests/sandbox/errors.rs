//! What keeps a step from running is told as an error, in terms of the image, and never as an exit code.

use std::os::unix::fs::PermissionsExt as _;

use jettison_sandbox::{Error, Mount, MountKind, Root, Source, Spec};

use crate::world::{World, run};

pub(crate) const CASES: &[super::Case] = &[
    ("programs_that_cannot_be_executed", programs_that_cannot_be_executed),
    ("users_that_are_not_there", users_that_are_not_there),
    ("directories_that_cannot_be_entered", directories_that_cannot_be_entered),
    ("mounts_that_fail_are_named", mounts_that_fail_are_named),
    ("a_failed_set_up_leaves_nothing", a_failed_set_up_leaves_nothing),
];

fn error(world: &World, change: impl FnOnce(&mut Spec)) -> Error {
    let mut spec = world.spec("true");
    change(&mut spec);
    run(&spec).err().expect("the step cannot run")
}

fn programs_that_cannot_be_executed(world: &World) {
    let layer = world.folder("programs");
    let file = |name: &str, content: &[u8], mode| {
        std::fs::write(layer.join(name), content).unwrap();
        std::fs::set_permissions(layer.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    file("script", b"#!/usr/bin/python3\n", 0o755);
    file("plain", b"#!/bin/sh\n", 0o644);
    file("foreign", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xf3\0", 0o755);
    file("nothing", b"echo hello\n", 0o755);
    let run = |argv: &[&str]| {
        error(world, |spec| {
            spec.argv = argv.iter().map(|&text| text.to_owned()).collect();
            let Root::Overlay { lowers, .. } = &mut spec.root else { unreachable!() };
            lowers.insert(0, layer.clone());
        })
        .to_string()
    };
    for (argv, expected) in [
        (&[][..], "the command is empty"),
        (&["no-such"], "no-such: not found in PATH"),
        (&["/no/such"], "/no/such: not found in the image"),
        (
            &["/script"],
            "/script (#!/usr/bin/python3): is there, but the interpreter or loader that it needs is not",
        ),
        (&["/plain"], "/plain: permission denied (not executable?)"),
        (&["/etc"], "/etc: permission denied (not executable?)"),
        (
            &["/foreign"],
            "/foreign: not a program for this machine (another architecture, or a script without a #! line)",
        ),
        (
            &["/nothing"],
            "/nothing: not a program for this machine (another architecture, or a script without a #! line)",
        ),
    ] {
        assert_eq!(run(argv), expected);
    }
}

fn users_that_are_not_there(world: &World) {
    let user = |name: &str| error(world, |spec| spec.user = name.into());
    assert_eq!(user("ghost"), Error::UnknownUser { user: "ghost".into() });
    assert_eq!(user("root:ghosts"), Error::UnknownGroup { group: "ghosts".into() });
    if !world.has_ids() {
        assert_eq!(user("1001:1002"), Error::IdNotMapped { uid: 1001, gid: 1002 });
    }
}

fn directories_that_cannot_be_entered(world: &World) {
    let error = error(world, |spec| spec.cwd = "/etc/passwd/x".into());
    assert_eq!(error.to_string(), "working directory /etc/passwd/x: Not a directory");
    let error = self::error(world, |spec| spec.cwd = "/etc/passwd".into());
    assert_eq!(error.to_string(), "working directory /etc/passwd: Not a directory");
}

fn mounts_that_fail_are_named(world: &World) {
    let mount = |target: &str, source: &str| {
        error(world, |spec| {
            let source = Source::Path(source.into());
            let kind = MountKind::Bind { source, read_only: true, recursive: false };
            spec.mounts = vec![Mount { target: target.into(), kind }];
        })
        .to_string()
    };
    assert_eq!(mount("/m", "/no/such"), "mount /no/such on /m: No such file or directory");
    assert_eq!(mount("/etc/passwd/x", "/etc"), "mount a mount point on /etc/passwd/x: Not a directory");
    let root = error(world, |spec| {
        spec.mounts = vec![Mount { target: "//./".into(), kind: MountKind::Tmpfs { size: None } }];
    });
    assert_eq!(root.to_string(), "mount anything on /: Device or resource busy");
    let error = error(world, |spec| {
        let Root::Overlay { lowers, .. } = &mut spec.root else { unreachable!() };
        *lowers = vec!["/no/layer".into(), "/no/other".into()];
    });
    assert_eq!(error.to_string(), "open the layer directory /no/layer: No such file or directory");
}

fn a_failed_set_up_leaves_nothing(world: &World) {
    let mut spec = world.spec("true");
    spec.argv = vec!["/no/such".into()];
    spec.mounts = vec![Mount { target: "/a/b".into(), kind: MountKind::Tmpfs { size: None } }];
    assert!(run(&spec).is_err());
    let Root::Overlay { upper, .. } = &spec.root else { unreachable!() };
    let left: Vec<_> = std::fs::read_dir(upper).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    // /etc was copied up for the mount points in it, and is as it was.
    assert!(left.iter().all(|name| name == "etc"), "{left:?}");
}
