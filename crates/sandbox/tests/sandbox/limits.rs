//! Limits that the processes of a step have together: control groups, where they can be had.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use jettison_sandbox::{ControlGroups, Error, Resources, spawn_in};

use crate::world::{World, finish};

pub(crate) const CASES: &[super::Case] = &[
    ("a_step_beyond_its_memory_is_killed_and_that_is_known", beyond_its_memory),
    ("limits_are_those_of_the_step_and_gone_with_it", limits_are_gone_with_the_step),
    ("groups_of_killed_builds_are_removed_and_others_stay", leftovers_are_removed),
    ("a_group_is_made_below_the_one_that_is_named", below_a_parent),
    ("a_value_that_the_kernel_refuses_is_an_error", refused_values),
];

/// `None`, with the reason, where groups cannot be had.
fn find(resources: &Resources, parent: Option<&str>) -> Option<ControlGroups> {
    let (groups, missing) = ControlGroups::find(resources, parent).unwrap();
    for what in &missing {
        assert!(!what.reason.is_empty());
        eprintln!("skipped: limits of {}: {}", what.what, what.reason);
    }
    groups.filter(|_| missing.is_empty())
}

/// Directories of control groups with this name, anywhere.
fn named(is_it: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    fn walk(path: &Path, is_it: &dyn Fn(&str) -> bool, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if is_it(&entry.file_name().to_string_lossy()) {
                    found.push(entry.path());
                }
                walk(&entry.path(), is_it, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), &is_it, &mut found);
    found
}

fn ours() -> Vec<PathBuf> {
    let prefix = format!("jettison-{}-", std::process::id());
    named(|name| name.starts_with(&prefix))
}

fn beyond_its_memory(world: &World) {
    let limits = Resources { memory_bytes: Some(32 << 20), ..Resources::default() };
    let Some(groups) = find(&limits, None) else { return };
    let group = groups.make().unwrap();
    let hungry = world.spec("x=$(head -c 100000000 /dev/zero | tr '\\0' a); echo survived");
    let (exit, out, _) = finish(spawn_in(&hungry, Some(&group)).unwrap()).unwrap();
    assert!(!exit.success() && !out.contains("survived"), "{exit:?}");
    assert!(group.has_killed());
    let modest = groups.make().unwrap();
    let spec = world.spec("echo survived");
    let (exit, out, _) = finish(spawn_in(&spec, Some(&modest)).unwrap()).unwrap();
    assert!(exit.success() && out.contains("survived") && !modest.has_killed());
}

fn limits_are_gone_with_the_step(world: &World) {
    let limits = Resources {
        memory_bytes: Some(64 << 20),
        cpu_quota_us: Some(50_000),
        cpuset_cpus: Some("0".to_owned()),
        ..Resources::default()
    };
    let Some(groups) = find(&limits, None) else { return };
    assert_eq!(ours(), [] as [PathBuf; 0], "the trial is removed");
    let group = groups.make().unwrap();
    let spec = world.spec("echo ready; grep Cpus_allowed_list /proc/self/status; sleep 1000");
    let mut child = spawn_in(&spec, Some(&group)).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    assert!(lines.next().unwrap().unwrap().ends_with("\t0"));
    let read = |file: &str| ours().iter().find_map(|path| fs::read_to_string(path.join(file)).ok());
    let memory = read("memory.limit_in_bytes").or_else(|| read("memory.max"));
    assert_eq!(memory.unwrap().trim(), "67108864");
    let quota = read("cpu.cfs_quota_us").or_else(|| read("cpu.max"));
    assert!(quota.unwrap().starts_with("50000"));
    // Nobody else is in there: the shell, and perhaps what it has started.
    assert!((1..=2).contains(&read("cgroup.procs").unwrap().lines().count()));
    child.killer().kill();
    child.wait().unwrap();
    drop(group);
    assert_eq!(ours(), [] as [PathBuf; 0]);
}

fn leftovers_are_removed(_: &World) {
    let limits = Resources { cpu_shares: Some(512), ..Resources::default() };
    let Some(groups) = find(&limits, None) else { return };
    let held = groups.make().unwrap();
    let left = ours()[0].with_file_name("jettison-1-left");
    fs::create_dir(&left).unwrap();
    drop(find(&limits, None).unwrap());
    assert!(!left.exists());
    assert_eq!(ours().len(), 1, "what is held stays");
    drop(held);
}

fn below_a_parent(world: &World) {
    let name = format!("jettest{}", std::process::id());
    let Some(groups) = find(&Resources::default(), Some(&format!("/{name}/inner"))) else { return };
    let group = groups.make().unwrap();
    let spec = world.spec("echo ready; sleep 1000");
    let mut child = spawn_in(&spec, Some(&group)).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    for path in ours() {
        let members = fs::read_to_string(path.join("cgroup.procs")).unwrap();
        assert!(path.parent().unwrap().ends_with(format!("{name}/inner")), "{}", path.display());
        assert!((1..=2).contains(&members.lines().count()), "{}", path.display());
    }
    assert!(!ours().is_empty());
    drop(child);
    drop(group);
    drop(groups);
    assert_eq!(named(|other| other == name), [] as [PathBuf; 0]);
}

fn refused_values(_: &World) {
    let limits = Resources { cpuset_cpus: Some("4095".to_owned()), ..Resources::default() };
    match ControlGroups::find(&limits, None) {
        Err(Error::Limit { file, value, .. }) => assert_eq!((&*file, &*value), ("cpuset.cpus", "4095")),
        Ok((None, missing)) => eprintln!("skipped: {}", missing[0].reason),
        other => panic!("{other:?}"),
    }
    assert_eq!(ours(), [] as [PathBuf; 0]);
}
