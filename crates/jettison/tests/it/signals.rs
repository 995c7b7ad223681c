//! Ctrl-C and SIGTERM: everything ends within a second and nothing is left.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::fixture::{Jettison, folder};

/// A build whose step has said `started`, and the rest of what it says.
#[track_caller]
fn started(jettison: &Jettison, context: &Path, options: &[&str]) -> (Child, impl Sized + use<>) {
    let mut child = jettison
        .command()
        .args(["build", "--progress=plain"])
        .args(options)
        .arg(context)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("started")), "the step did not start");
    (child, lines)
}

#[track_caller]
fn ends(signal: &str, code: i32) {
    let jettison = Jettison::with_busybox();
    let mark = format!("3{:05}.25", std::process::id());
    let folder = folder(&format!("FROM busybox\nRUN echo started; sleep {mark} & sleep {mark}\n"), &[]);
    let before = jettison
        .build(crate::fixture::folder("FROM busybox\nRUN echo kept > /k\n", &[]).path(), &["-t", "kept"]);
    let (mut child, _output) = started(&jettison, folder.path(), &["-t", "kept"]);
    let start = Instant::now();
    Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
    assert_eq!(status.code(), Some(code));
    std::thread::sleep(Duration::from_millis(100));
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains(&mark), "a process is left");
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(jettison.store.path().to_str().unwrap()), "a mount is left");
    assert_eq!(jettison.inspect("kept")["digest"], before.as_str(), "what was built is still there");
    let again = folder_again();
    jettison.build(again.path(), &[]);
    let left = std::fs::read_dir(jettison.store.path().join("tmp")).unwrap().flatten().count();
    assert_eq!(left, 0, "temporary folders are left");
}

fn folder_again() -> tempfile::TempDir {
    folder("FROM busybox\nRUN true\n", &[])
}

#[test]
fn interrupt() {
    ends("-INT", 130);
}

#[test]
fn terminate() {
    ends("-TERM", 143);
}

#[test]
fn kill_leaves_a_store_that_works() {
    let jettison = Jettison::with_busybox();
    let mark = format!("4{:05}.25", std::process::id());
    let folder = folder(&format!("FROM busybox\nRUN echo started; sleep {mark}\n"), &[]);
    let (mut child, _output) = started(&jettison, folder.path(), &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains(&mark), "a process outlived its parent");
    }
    jettison.build(folder_again().path(), &["-t", "app"]);
    let left = std::fs::read_dir(jettison.store.path().join("tmp")).unwrap().flatten().count();
    assert_eq!(left, 0, "what a killed build left is not cleaned");
}

/// Not of a signal, but of an error: what another build holds is not waited for any more.
#[test]
fn a_build_that_has_failed_does_not_wait_for_another_one() {
    let jettison = Jettison::with_busybox();
    let held = "--mount=type=cache,id=held,target=/c,sharing=locked";
    let long = folder(&format!("FROM busybox\nRUN {held} echo started; sleep 30\n"), &[]);
    let (mut other, _output) = started(&jettison, long.path(), &[]);
    let failing = folder(
        &format!(
            "FROM busybox AS waits\nRUN {held} true\nFROM busybox AS fails\nRUN exit 3\nFROM busybox\n\
             RUN --mount=from=waits,target=/a --mount=from=fails,target=/b true\n"
        ),
        &[],
    );
    let ran = jettison.try_build(failing.path(), &[]);
    assert!(ran.stderr.contains("did not complete successfully: exit code: 3"), "{}", ran.stderr);
    assert!(other.try_wait().unwrap().is_none(), "it waited until the other build had ended");
    other.kill().unwrap();
    other.wait().unwrap();
}
