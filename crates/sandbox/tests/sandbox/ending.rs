//! How a step ends, and that nothing of it remains.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use jettison_sandbox::{Root, Spec, spawn};

use crate::modes::{Guarded, gone};
use crate::world::{World, finish};

/// Run a step with our own input and output.
pub(crate) const INHERIT: &str = "--inherit";
/// Run a step that hangs, in a folder, and hang as well.
pub(crate) const HANG: &str = "--hang";

pub(crate) const CASES: &[super::Case] = &[
    ("exit_codes_and_output_arrive", exit_codes_and_output_arrive),
    ("killing_ends_all_descendants", killing_ends_all_descendants),
    ("dropping_the_child_ends_it", dropping_the_child_ends_it),
    ("the_end_of_the_step_ends_what_it_left_running", the_end_of_the_step_ends_what_it_left_running),
    ("kill_9_of_our_process_leaves_nothing", kill_9_of_our_process_leaves_nothing),
    ("a_killed_launcher_is_replaced", a_killed_launcher_is_replaced),
    ("signals_reach_the_step", signals_reach_the_step),
    ("a_step_outlives_the_thread_that_started_it", a_step_outlives_the_thread_that_started_it),
    ("many_steps_at_once", many_steps_at_once),
    ("inherited_input_and_output_are_ours", inherited_input_and_output_are_ours),
];

/// Two levels of children that sleep, each with a number that can be found again.
fn nest(number: u32) -> String {
    format!("(sleep {number} & sh -c 'sleep {number} & echo ready; sleep {number}') & sleep {number}")
}

/// How many processes of the host have this number in their arguments.
fn count(number: u32) -> usize {
    let number = number.to_string();
    let is_ours = |path: &Path| {
        let text = fs::read(path.join("cmdline")).unwrap_or_default();
        text.split(|&byte| byte == 0).any(|argument| argument == number.as_bytes())
    };
    fs::read_dir("/proc").unwrap().filter(|entry| is_ours(&entry.as_ref().unwrap().path())).count()
}

/// Waits until all of [`nest`] is there.
fn wait_for_nest(number: u32) {
    let start = Instant::now();
    while count(number) < 4 {
        assert!(start.elapsed() < Duration::from_secs(2), "only {} processes", count(number));
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A number that is in no other process's arguments.
fn number() -> u32 {
    1_000_000 + std::process::id() * 10 % 1_000_000
}

fn exit_codes_and_output_arrive(world: &World) {
    let outcome = world.sh("echo out; echo err >&2; exit 42");
    assert_eq!((outcome.exit.code, outcome.exit.signal), (Some(42), None));
    assert_eq!((outcome.out.as_str(), outcome.err.as_str()), ("out\n", "err\n"));
    assert_eq!(outcome.exit.shell_code(), 42);
    assert!(!outcome.exit.success() && !outcome.exit.oom_killed);
    // More than a pipe holds.
    assert_eq!(world.sh("head -c 3000000 /dev/zero").out.len(), 3_000_000);
}

fn killing_ends_all_descendants(world: &World) {
    let number = number() + 1;
    let mut child = spawn(&world.spec(&nest(number))).unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    wait_for_nest(number);
    let killer = child.killer();
    let thread = std::thread::spawn(move || child.wait().unwrap());
    std::thread::sleep(Duration::from_millis(20));
    let start = Instant::now();
    killer.kill();
    let exit = thread.join().unwrap();
    assert_eq!((exit.code, exit.signal), (None, Some(9)));
    assert_eq!(count(number), 0);
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    killer.kill();
    assert_eq!(exit.shell_code(), 137);
}

fn dropping_the_child_ends_it(world: &World) {
    let number = number() + 2;
    let mut child = spawn(&world.spec(&nest(number))).unwrap();
    let mut byte = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
    drop(child);
    assert_eq!(count(number), 0);
}

fn the_end_of_the_step_ends_what_it_left_running(world: &World) {
    let number = number() + 3;
    let start = Instant::now();
    let outcome = world.sh(&format!("sleep {number} & sleep {number} & exit 3"));
    assert_eq!(outcome.exit.code, Some(3));
    assert_eq!(count(number), 0);
    assert!(start.elapsed() < Duration::from_secs(2));
}

fn kill_9_of_our_process_leaves_nothing(world: &World) {
    let number = number() + 4;
    let folder = world.folder("hang");
    fs::write(folder.join("number"), number.to_string()).unwrap();
    std::os::unix::fs::symlink(world.lower(), folder.join("lower")).unwrap();
    let mut program = Command::new(std::env::current_exe().unwrap());
    let mut child = Guarded(program.arg(HANG).arg(&folder).stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    wait_for_nest(number);
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    let start = Instant::now();
    while count(number) > 0 {
        assert!(start.elapsed() < Duration::from_secs(1), "{} processes remain", count(number));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(gone(child.0.id()));
}

fn a_killed_launcher_is_replaced(world: &World) {
    let launchers = || -> Vec<String> {
        let ours = format!("/proc/self/task/{}/children", std::process::id());
        let is_launcher = |pid: &String| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.contains("(jettison-launch) S")
        };
        fs::read_to_string(ours).unwrap().split_whitespace().map(str::to_owned).filter(is_launcher).collect()
    };
    for _ in 0..2 {
        assert_eq!(world.sh("echo here").out, "here\n");
        let [launcher] = &launchers()[..] else { panic!("one launcher serves all: {:?}", launchers()) };
        Command::new("kill").args(["-9", launcher]).status().unwrap();
        while !launchers().is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    assert_eq!(world.sh("echo still").out, "still\n");
}

fn inherited_input_and_output_are_ours(world: &World) {
    let folder = world.folder("inherit");
    std::os::unix::fs::symlink(world.lower(), folder.join("lower")).unwrap();
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.arg(INHERIT).arg(&folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"given\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"given\n"[..], &b"also\n"[..]));
    assert_eq!(output.status.code(), Some(4));
}

/// The process of the case above.
pub(crate) fn inherit(folder: &Path) -> ExitCode {
    let mut spec = spec_in(folder, "cat; echo also >&2; exit 4");
    spec.stdio = jettison_sandbox::Stdio::Inherit;
    let exit = spawn(&spec).unwrap().wait().unwrap();
    ExitCode::from(exit.shell_code() as u8)
}

/// The process of the case about kill -9.
pub(crate) fn hang(folder: &Path) -> ExitCode {
    let number = fs::read_to_string(folder.join("number")).unwrap();
    let mut child = spawn(&spec_in(folder, &nest(number.parse().unwrap()))).unwrap();
    std::io::copy(child.stdout.as_mut().unwrap(), &mut std::io::stdout()).unwrap();
    ExitCode::SUCCESS
}

fn spec_in(folder: &Path, script: &str) -> Spec {
    let (upper, work) = (folder.join("upper"), folder.join("work"));
    fs::create_dir(&upper).unwrap();
    fs::create_dir(&work).unwrap();
    let root = Root::Overlay { lowers: vec![folder.join("lower")], upper, work };
    let mut spec = Spec::new(root, ["/bin/sh", "-c", script].map(str::to_owned).to_vec());
    spec.env = vec!["PATH=/bin".into()];
    spec
}

fn signals_reach_the_step(world: &World) {
    let mut child =
        spawn(&world.spec("trap 'echo caught; exit 5' TERM; echo ready; while true; do sleep 0.01; done"))
            .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    output.read_line(&mut text).unwrap();
    child.killer().signal(15);
    output.read_line(&mut text).unwrap();
    assert_eq!(text, "ready\ncaught\n");
    assert_eq!(child.wait().unwrap().code, Some(5));
}

fn a_step_outlives_the_thread_that_started_it(world: &World) {
    let spec = world.spec("sleep 0.1; echo done");
    let child = std::thread::spawn(move || spawn(&spec).unwrap()).join().unwrap();
    let (exit, out, _) = finish(child).unwrap();
    assert_eq!((exit.code, out.as_str()), (Some(0), "done\n"));
}

fn many_steps_at_once(world: &World) {
    let specs: Vec<Spec> = (0..24).map(|n| world.spec(&format!("echo {n} >/out; exit {n}"))).collect();
    std::thread::scope(|scope| {
        for chunk in specs.chunks(4) {
            scope.spawn(move || {
                for spec in chunk {
                    let (exit, ..) = finish(spawn(spec).unwrap()).unwrap();
                    let Root::Overlay { upper, .. } = &spec.root else { unreachable!() };
                    let written = fs::read_to_string(upper.join("out")).unwrap();
                    assert_eq!(exit.code.map(|code| code.to_string()).as_deref(), Some(written.trim_end()));
                }
            });
        }
    });
}
