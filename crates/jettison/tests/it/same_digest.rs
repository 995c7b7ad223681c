//! Speed does not cost truth: whatever a store knows and however many threads there are, an image has one digest.
//!
//! Random contexts and edits; each state is built in a store that saw all states before, in an empty one, by one thread,
//! and in one whose first build was killed somewhere. `PROPTEST_CASES` asks for more than the few that CI runs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use proptest::prelude::*;

use crate::fixture::{Jettison, have};

/// What a Dockerfile may hold between FROM and the end; most read `d`.
const STEPS: [&str; 9] = [
    "COPY d /d",
    "COPY --link d /app/",
    "COPY d/a* d/s /x/",
    "COPY --chmod=0640 --chown=1:2 d /d",
    "COPY --parents d/./s /p/",
    "RUN cat /d/* > /sum 2>&1 || true",
    "RUN find / -xdev -name 'f*' | sort > /list && mkdir -p /d && touch /d/more",
    "WORKDIR /d/w",
    "COPY <<EOF /d/inline\ntext\nEOF",
];

#[derive(Clone, Debug)]
enum Edit {
    Write(&'static str, usize, u8),
    Mode(&'static str, u32),
    Remove(&'static str),
    Link(&'static str),
    Nothing,
}

fn edit() -> impl Strategy<Value = Edit> {
    let name = || prop::sample::select(vec!["a", "a2", "s/f", "s/f2", "s/t/f3", "large"]);
    prop_oneof![
        5 => (name(), 0..3_usize, any::<u8>()).prop_map(|(name, size, byte)| Edit::Write(name, size, byte)),
        1 => (name(), prop::sample::select(vec![0o600, 0o755])).prop_map(|(name, mode)| Edit::Mode(name, mode)),
        1 => name().prop_map(Edit::Remove),
        1 => name().prop_map(Edit::Link),
        1 => Just(Edit::Nothing),
    ]
}

fn apply(context: &Path, edit: &Edit) {
    let place = |name: &str| {
        let path = context.join("d").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    match edit {
        Edit::Write(name, size, byte) => {
            let path = place(name);
            let _ = fs::remove_file(&path);
            let bytes = (0..[3_u32, 5_000, 900_000][*size]).map(|n| (n.wrapping_mul(n) >> 7) as u8 ^ *byte);
            fs::write(path, bytes.collect::<Vec<u8>>()).unwrap();
        }
        Edit::Mode(name, mode) => drop(fs::set_permissions(place(name), fs::Permissions::from_mode(*mode))),
        Edit::Remove(name) => drop(fs::remove_file(place(name))),
        Edit::Link(name) => drop(symlink("a", place(name))),
        Edit::Nothing => {}
    }
}

fn arguments(context: &Path) -> Vec<String> {
    ["build", "-q", "--verify=off"].into_iter().chain(context.to_str()).map(str::to_owned).collect()
}

fn build(jettison: &Jettison, context: &Path) -> String {
    let arguments = arguments(context);
    jettison.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).ok()
}

/// With one processor.
fn build_alone(jettison: &Jettison, context: &Path) -> String {
    let plain = jettison.command();
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(plain.get_program()).args(arguments(context)).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Begins a build and kills it.
fn build_half(jettison: &Jettison, context: &Path, after: Duration) {
    let mut command = jettison.command();
    let mut child =
        command.args(arguments(context)).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(4),
        max_shrink_iters: 20,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn cold_cached_interrupted_and_by_one_thread(
        base in prop::sample::select(vec!["scratch", "busybox"]),
        steps in prop::collection::vec(prop::sample::select(STEPS.to_vec()), 1..4),
        edits in prop::collection::vec(prop::collection::vec(edit(), 1..4), 1..4),
        kill_after_ms in 0..200_u64,
    ) {
        if !have("taskset") {
            return Ok(());
        }
        let context = tempfile::tempdir().unwrap();
        let context = context.path();
        let runs = |step: &&&str| base == "busybox" || !step.starts_with("RUN");
        let steps: Vec<&str> = steps.iter().filter(runs).copied().collect();
        fs::write(context.join("Dockerfile"), format!("FROM {base}\n{}\n", steps.join("\n"))).unwrap();
        for path in ["a", "s/f"] {
            apply(context, &Edit::Write(path, 1, 0));
        }
        let cached = Jettison::with_busybox();
        for edits in &edits {
            for edit in edits {
                apply(context, edit);
            }
            let cold = Jettison::with_busybox().try_build(context, &["-q", "--verify=off"]);
            if cold.code != 0 {
                // A wildcard that matches nothing any more; then it fails everywhere.
                prop_assert_ne!(cached.try_build(context, &["-q", "--verify=off"]).code, 0);
                continue;
            }
            let cold = cold.ok();
            prop_assert_eq!(&build(&cached, context), &cold, "cached");
            prop_assert_eq!(&build(&cached, context), &cold, "nothing changed");
            prop_assert_eq!(&build_alone(&Jettison::with_busybox(), context), &cold, "one thread");
            let interrupted = Jettison::with_busybox();
            build_half(&interrupted, context, Duration::from_millis(kill_after_ms));
            prop_assert_eq!(&build(&interrupted, context), &cold, "interrupted and resumed");
        }
    }
}
