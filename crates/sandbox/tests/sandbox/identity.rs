//! Whom the step runs as, and where.

use crate::world::{World, run};

pub(crate) const CASES: &[super::Case] = &[
    ("the_user_table", the_user_table),
    ("home_comes_from_passwd", home_comes_from_passwd),
    ("the_working_directory_is_made_for_the_user", the_working_directory_is_made_for_the_user),
];

fn the_user_table(world: &World) {
    if !world.has_ids() {
        assert_eq!(world.sh("id -u; id -g").ok(), "0\n0");
        return;
    }
    for (user, expected) in [
        ("", "0 0 0 10"),
        ("root", "0 0 0 10"),
        ("0", "0 0 0 10"),
        ("app", "1001 1002 1002 10 50"),
        ("1001", "1001 1002 1002 10 50"),
        ("1042", "1042 0 0"),
        ("app:staff", "1001 50 50"),
        ("1001:50", "1001 50 50"),
        ("1042:1043", "1042 1043 1043"),
    ] {
        let mut spec = world.spec("echo $(id -u) $(id -g) $(id -G)");
        spec.user = user.into();
        assert_eq!(run(&spec).unwrap().ok(), expected, "USER {user}");
    }
}

fn home_comes_from_passwd(world: &World) {
    let users: &[(&str, &str)] = if world.has_ids() {
        &[("", "/root"), ("app", "/home/app"), ("1001:50", "/home/app"), ("1042", "/"), ("lone", "/")]
    } else {
        &[("", "/root")]
    };
    for (user, home) in users {
        let mut spec = world.spec("echo $HOME");
        spec.user = (*user).into();
        assert_eq!(run(&spec).unwrap().ok(), *home, "USER {user}");
    }
}

fn the_working_directory_is_made_for_the_user(world: &World) {
    let user = if world.has_ids() { "app" } else { "" };
    let mut spec = world.spec("pwd; umask 0; touch here");
    spec.cwd = "/srv/deep/work".into();
    spec.user = user.into();
    // Whatever our own umask is.
    let umask = rustix::process::umask(rustix::fs::Mode::RWXU.complement());
    let outcome = run(&spec);
    rustix::process::umask(umask);
    let outcome = outcome.unwrap();
    assert_eq!(outcome.ok(), "/srv/deep/work");
    if user == "app" {
        let owner = spec_owner(world, "/srv /srv/deep /srv/deep/work /srv/deep/work/here", &outcome.upper);
        assert_eq!(owner, "755 1001:1002\n755 1001:1002\n755 1001:1002\n666 1001:1002");
    }
    // A directory that only root may enter can still be the working directory.
    if user == "app" {
        let mut spec = world.spec("pwd");
        spec.cwd = "/root".into();
        spec.user = user.into();
        assert_eq!(run(&spec).unwrap().ok(), "/root");
    }
}

/// Modes and owners as a step sees them.
fn spec_owner(world: &World, paths: &str, upper: &std::path::Path) -> String {
    let mut spec = world.spec(&format!("stat -c '%a %u:%g' {paths}"));
    spec.root = jettison_sandbox::Root::Overlay {
        lowers: vec![upper.to_path_buf(), world.lower()],
        upper: world.folder("upper"),
        work: world.folder("work"),
    };
    run(&spec).unwrap().ok().to_owned()
}
